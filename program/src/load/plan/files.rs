//! The files that a run reads. Agents on other hosts are sent their content.

use super::message;
use super::options::{Options, Usage};
use std::path::Path;

/// The content of a file that an option names, or of what may be written instead of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    /// The name of the option, without its dashes.
    pub(crate) option: &'static str,
    pub(crate) content: Vec<u8>,
}

/// Returns the files of a run, in the order in which their options may be repeated. A new option
/// that names a file is read here, and listed in `agents/travel.rs`. Files of `--ca`, `--cert` and
/// `--key` are not among them: a key never travels.
pub(crate) fn input_files(options: &Options) -> Result<Vec<InputFile>, Usage> {
    let message = options.message.iter().map(|message| {
        // Read once, so that it need not be a regular file.
        Ok(InputFile { option: "message", content: message::content(message, 1)? })
    });
    let paths = [("data", &options.data), ("scenario", &options.scenario)];
    let paths = paths.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
    let read = |(option, path): (&'static str, &Path)| {
        let wrong = |error| Usage(format!("--{option} {}: cannot read this file: {error}", path.display()));
        Ok(InputFile { option, content: std::fs::read(path).map_err(wrong)? })
    };
    message.chain(paths.map(read)).collect()
}
