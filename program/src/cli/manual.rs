//! `lariat man`: the manual pages.

use crate::terminal::{Failure, print};
use clap::Command;
use clap_mangen::{Man, generate_to};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

/// Print the manual page, or write the pages of all commands into a folder.
///
/// To read it: lariat man > lariat.1 && man ./lariat.1
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Write lariat.1, lariat-serve.1 and so on into this folder. It is made if it is not there
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints the page of this command line, or writes all pages.
pub(super) fn run(options: &Options, command: Command) -> Result<ExitCode, Failure> {
    match &options.folder {
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| generate_to(command, folder))
            .map_err(|error| Failure(format!("cannot write manual pages into {}: {error}", folder.display())))?,
        None => {
            let page = page(command).map_err(|error| Failure(format!("cannot make the manual page: {error}")))?;
            print(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the page of a command.
fn page(command: Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.disable_help_subcommand(true)).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
