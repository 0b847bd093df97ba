//! The program `lariat`. All of it is in the library `lariat_cli`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lariat_cli::cli::run()
}
