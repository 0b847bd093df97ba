//! The commands, and the exit code of each.

use super::{completions, manual, serve};
use crate::terminal::{Failure, Log};
use crate::{cert, connect, doctor, load};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// A WebSocket server: one thread, one event loop, 56 bytes for an idle connection.
///
/// Without a command, `lariat` runs `lariat serve`. RUST_LOG=lariat=debug logs when connections
/// open and close, and why.
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
    Serve(Box<serve::Options>),
    Connect(Box<connect::Options>),
    Load(Box<load::Arguments>),
    Doctor(doctor::Options),
    Cert(cert::Options),
    Completions(completions::Options),
    Man(manual::Options),
}

/// Returns the command line as clap knows it.
pub(super) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    // clap exits with 2 for wrong usage, and with 0 after --help and --version.
    let arguments = Arguments::parse();
    let log = Flushed(Log::start());
    let outcome = match arguments.command {
        Some(Command::Serve(options)) => serve::run(&options, &log.0),
        Some(Command::Connect(options)) => connect::run(&options, &log.0),
        Some(Command::Load(options)) => load::run(&options, &log.0),
        Some(Command::Doctor(options)) => doctor::run(&options),
        Some(Command::Cert(options)) => cert::run(&options),
        Some(Command::Completions(options)) => completions::run(&options, &command()),
        Some(Command::Man(options)) => manual::run(&options, command()),
        None => serve::run(&arguments.serve, &log.0),
    };
    outcome.unwrap_or_else(|Failure(sentence)| {
        // Nothing may hold up the end, even if standard error is not read.
        log.0.say(&format!("lariat: {sentence}\n"));
        ExitCode::FAILURE
    })
}

/// The log, which is flushed when the program ends, also by a panic.
struct Flushed(Log);

impl Drop for Flushed {
    fn drop(&mut self) {
        self.0.flush();
    }
}
