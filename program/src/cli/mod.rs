//! The program: arguments become options, options become a run, and a run an exit code.
//!
//! | exit code | meaning |
//! |--:|---|
//! | 0 | all went well |
//! | 1 | it failed, with a sentence on standard error that says what to do; or what was expected did not hold |
//! | 2 | wrong usage |

mod doctor;
mod listen;
mod load;
mod serve;
mod status;
mod units;

use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// A WebSocket server: one thread, one loop, 64 bytes for an idle connection.
///
/// Without a command, `lariat` serves. RUST_LOG=lariat=debug logs each connection's life.
#[derive(Debug, Parser)]
#[command(name = "lariat", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the site: its apps, /echo and /broadcast.
    Serve(serve::Options),
    Load(Box<load::Options>),
    Doctor(doctor::Options),
}

/// What could not be done, and what to do about it.
#[derive(Debug)]
struct Failure(String);

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    // clap exits with 2 for wrong usage, and with 0 after --help and --version.
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let outcome = match arguments.command {
        Some(Command::Serve(options)) => serve::run(&options),
        Some(Command::Load(options)) => load::run(&options),
        Some(Command::Doctor(options)) => doctor::run(&options),
        None => serve::run(&arguments.serve),
    };
    outcome.unwrap_or_else(|Failure(sentence)| {
        eprintln!("lariat: {sentence}");
        ExitCode::FAILURE
    })
}

/// Prints to standard output; nobody may be reading.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A connection takes a descriptor; the soft limit is mostly far below the hard one.
fn raise_descriptor_limit() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(rlimit::INFINITY) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
}
