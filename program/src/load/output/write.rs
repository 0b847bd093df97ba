//! Writes the report to files and standard output.

use super::html::html;
use super::text::Text;
use crate::load::measure::Report;
use crate::load::plan::Options;
use crate::terminal::{Failure, Log, plain, print};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Checks before a run that the files of the report can be written. Files that exist keep their
/// content.
pub(crate) fn check(options: &Options) -> Result<(), Failure> {
    let paths = [&options.json, &options.csv, &options.html].into_iter().flatten();
    for path in paths.filter(|path| path.as_path() != Path::new("-")) {
        OpenOptions::new().append(true).create(true).open(path).map_err(|error| unwritten(path, &error))?;
    }
    Ok(())
}

/// Writes the report as JSON and as a page to the files of the options, and as text to standard
/// output. If another form is written to standard output, the text goes to standard error. If one
/// cannot be written, the others are written nevertheless.
pub(crate) fn write(options: &Options, report: &Report, log: &Log) -> Result<(), Failure> {
    let is_taken = [&options.json, &options.csv].iter().any(|path| path.as_deref() == Some(Path::new("-")));
    let text = plain(&Text(report).to_string());
    let mut outcomes = Vec::new();
    if is_taken {
        log.say(&text);
    } else {
        outcomes.push(save(Path::new("-"), &text));
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(report);
        let json = json.map_err(|error| Failure(format!("cannot write JSON: {error}")));
        outcomes.push(json.and_then(|json| save(path, &(json + "\n"))));
    }
    if let Some(path) = &options.html {
        outcomes.push(save(path, &html(report)));
    }
    outcomes.into_iter().collect()
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        return print(text);
    }
    std::fs::write(path, text).map_err(|error| unwritten(path, &error))
}

pub(super) fn unwritten(path: &Path, error: &io::Error) -> Failure {
    if path == Path::new("-") {
        return Failure(format!("cannot write to standard output: {error}"));
    }
    Failure(format!("cannot write {}: {error}. Choose another file, or \"-\" for standard output", path.display()))
}
