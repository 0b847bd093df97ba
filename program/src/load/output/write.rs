//! Writes the report to files and standard output.

use super::html::html;
use super::junit::junit;
use super::text::Text;
use crate::load::measure::Report;
use crate::load::plan::{Outputs, Usage};
use crate::terminal::{Failure, Log, plain, print};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Returns where forms other than text are written.
fn forms<'a>(outputs: &'a Outputs, csv: Option<&'a Path>) -> impl Iterator<Item = &'a Path> {
    let forms = [&outputs.json, &outputs.html, &outputs.junit];
    forms.into_iter().filter_map(|path| path.as_deref()).chain(csv)
}

/// Refuses to write two forms to standard output.
pub(crate) fn check_forms(outputs: &Outputs, csv: Option<&Path>) -> Result<(), Usage> {
    match forms(outputs, csv).filter(|path| *path == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(Usage(
            "cannot combine two of --json, --html, --junit and --csv with \"-\": standard output takes one of them"
                .to_owned(),
        )),
    }
}

/// Checks before a run that the files of the report and of its seconds can be written. Files that
/// exist keep their content.
pub(crate) fn check(outputs: &Outputs, csv: Option<&Path>) -> Result<(), Failure> {
    for path in forms(outputs, csv).filter(|path| *path != Path::new("-")) {
        OpenOptions::new().append(true).create(true).open(path).map_err(|error| unwritten(path, &error))?;
    }
    Ok(())
}

/// Writes the report as JSON, as a page and as JUnit XML to the files of the options, and as text
/// to standard output. If another form is written to standard output, as the seconds may be, the
/// text goes to standard error. If one cannot be written, the others are written nevertheless.
pub(crate) fn write(outputs: &Outputs, csv: Option<&Path>, report: &Report, log: &Log) -> Result<(), Failure> {
    let is_taken = forms(outputs, csv).any(|path| path == Path::new("-"));
    let text = plain(&Text(report).to_string());
    let mut outcomes = Vec::new();
    if is_taken {
        log.say(&text);
    } else {
        outcomes.push(save(Path::new("-"), &text));
    }
    if let Some(path) = &outputs.json {
        outcomes.push(write_json(path, report));
    }
    if let Some(path) = &outputs.html {
        outcomes.push(save(path, &html(report)));
    }
    if let Some(path) = &outputs.junit {
        let xml = junit(report).map_err(|error| Failure(format!("cannot write JUnit XML: {error}")));
        outcomes.push(xml.and_then(|xml| save(path, &xml)));
    }
    outcomes.into_iter().collect()
}

/// Writes something as JSON to a file, or for "-" to standard output.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value);
    let json = json.map_err(|error| Failure(format!("cannot write JSON: {error}")))?;
    save(path, &(json + "\n"))
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
