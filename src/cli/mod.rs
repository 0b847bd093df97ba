//! The program: arguments become options, options become a run, and a run an exit code.
//!
//! | exit code | meaning |
//! |--:|---|
//! | 0 | all went well |
//! | 1 | it failed, with a sentence on standard error that says what to do |
//! | 2 | wrong usage |

mod listen;
mod serve;
mod status;
mod units;

use clap::{Parser, Subcommand};
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
}

/// What could not be done, and what to do about it.
#[derive(Debug)]
struct Failure(String);

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    // clap exits with 2 for wrong usage, and with 0 after --help and --version.
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let options = match arguments.command {
        Some(Command::Serve(options)) => options,
        None => arguments.serve,
    };
    match serve::run(&options) {
        Ok(code) => code,
        Err(Failure(sentence)) => {
            eprintln!("lariat: {sentence}");
            ExitCode::FAILURE
        }
    }
}
