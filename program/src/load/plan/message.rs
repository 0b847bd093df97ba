//! The text or file of `--message`.

use super::options::{Options, Usage};
use crate::load::content::{Names, Payload};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The most bytes of a message.
const MOST: u64 = 1 << 30;

/// Returns the content of all messages.
pub(super) fn payload(options: &Options, names: Names<'_>) -> Result<Payload, Usage> {
    match &options.message {
        None => Ok(Payload::random(options.size, options.binary, options.seed)),
        Some(message) => Payload::new(content(message, options.processes)?, options.binary, names).map_err(Usage),
    }
}

/// Returns the content of `--message`: of its file, or its text.
pub(super) fn content(message: &str, processes: u32) -> Result<Vec<u8>, Usage> {
    let path = Path::new(message);
    if path.exists() || names_a_file(message) {
        return read(path, processes).map_err(|why| Usage(format!("--message {message}: {why}")));
    }
    Ok(message.as_bytes().to_vec())
}

/// Returns the length of each message, about.
pub(super) fn length(options: &Options) -> Result<u64, Usage> {
    let Some(message) = &options.message else { return Ok(options.size as u64) };
    let length = Path::new(message).metadata().map_or(message.len() as u64, |file| file.len());
    if length > MOST {
        return Err(Usage(format!("--message {message}: this file is too large: use at most 1GiB")));
    }
    Ok(length)
}

/// Returns whether a message can only be meant as a path. A chat's `/quit` is a text.
fn names_a_file(message: &str) -> bool {
    let is_path = message.starts_with("./") || message.starts_with("../");
    let is_absolute = message.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
    (is_path || is_absolute) && !message.contains(char::is_whitespace)
}

fn read(path: &Path, processes: u32) -> Result<Vec<u8>, String> {
    let kind = path.metadata().map_err(|error| format!("cannot read this file: {error}"))?;
    if kind.is_dir() {
        return Err("this is a folder, and not a file".to_owned());
    }
    if processes > 1 && !kind.is_file() {
        return Err("with --processes, each process reads the file: use a regular one".to_owned());
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot read this file: {error}"))?;
    file.take(MOST + 1).read_to_end(&mut content).map_err(|error| format!("cannot read this file: {error}"))?;
    if content.len() as u64 > MOST {
        return Err("this file is too large: use at most 1GiB".to_owned());
    }
    Ok(content)
}
