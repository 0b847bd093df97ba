//! The program `lariat`; all of it is in `src/cli`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lariat::cli::run()
}
