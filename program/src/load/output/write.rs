//! Writes the report to files and standard output.

use super::csv::csv;
use super::html::html;
use super::text::Text;
use crate::load::measure::Report;
use crate::load::plan::Options;
use crate::terminal::{Failure, print};
use std::path::Path;

/// Writes the report to the files of the options, and as text to standard output. If another form
/// is written to standard output, the text goes to standard error.
pub(crate) fn write(options: &Options, report: &Report) -> Result<(), Failure> {
    let is_taken = [&options.json, &options.csv].iter().any(|path| path.as_deref() == Some(Path::new("-")));
    let text = Text(report).to_string();
    if is_taken {
        eprint!("{text}");
    } else {
        print(&text);
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(report);
        save(path, &(json.map_err(|error| Failure(format!("cannot write JSON: {error}")))? + "\n"))?;
    }
    if let Some(path) = &options.html {
        save(path, &html(report))?;
    }
    if let Some(path) = &options.csv {
        save(path, &csv(report))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        print(text);
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| {
        Failure(format!("cannot write {}: {error}. Choose another file, or \"-\" for standard output", path.display()))
    })
}
