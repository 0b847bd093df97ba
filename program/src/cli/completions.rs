//! `lariat completions`: the options of the program, for shells.

use crate::terminal::{Failure, print};
use clap::Command;
use clap_complete::{Shell, generate};
use std::process::ExitCode;

/// Print a script that completes commands and options in a shell.
///
/// For bash: lariat completions bash > ~/.local/share/bash-completion/completions/lariat
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for this command line.
pub(super) fn run(options: &Options, command: &Command) -> Result<ExitCode, Failure> {
    print(&script(options.shell, command)).map(|()| ExitCode::SUCCESS)
}

fn script(shell: Shell, command: &Command) -> String {
    let mut script = Vec::new();
    generate(shell, &mut visible(command), "lariat", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns a command line without what is hidden: `generate` would offer it.
fn visible(command: &Command) -> Command {
    let about = command.get_about().cloned();
    let mut seen = Command::new(command.get_name().to_owned()).about(about.unwrap_or_default());
    if let Some(version) = command.get_version() {
        seen = seen.version(version.to_owned());
    }
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    seen.args(arguments.cloned()).subcommands(commands.map(visible))
}

#[cfg(test)]
mod tests {
    use super::super::arguments::command;
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_all_commands_and_options_but_hidden_ones() {
        let command = command();
        for shell in Shell::value_variants() {
            let script = script(*shell, &command);
            for name in command.get_subcommands().map(Command::get_name).chain(["max-message", "connections"]) {
                assert!(script.contains(name), "{name} is missing for {shell}");
            }
            assert!(!script.contains("worker"), "a hidden option is offered in {shell}");
        }
    }
}
