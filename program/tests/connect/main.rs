//! `lariat connect` as a process.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own, and certificates have dates")]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod flow;
mod messages;
mod secured;

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// What a run has written, and its exit code.
#[derive(Debug)]
struct Run {
    stdout: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

impl Run {
    #[track_caller]
    fn says(&self, words: &str) {
        assert!(self.stderr.contains(words), "{words:?} is missing: {self:?}");
    }

    #[track_caller]
    fn wrote(&self, stdout: &str) {
        assert_eq!(String::from_utf8_lossy(&self.stdout), stdout, "{self:?}");
    }
}

/// Starts `lariat connect` with these words as arguments, and with pipes.
fn start(url: &str, arguments: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lariat"));
    command.args(["connect", url]).args(arguments.split_whitespace()).env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
}

/// Runs `lariat connect` to its end with this standard input.
fn connect(url: &str, arguments: &str, input: impl Into<Vec<u8>>) -> Run {
    let (mut child, input) = (start(url, arguments), input.into());
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let run = finished(child);
    writer.join().expect("nobody panics");
    run
}

/// Waits for the end.
fn finished(mut child: Child) -> Run {
    let mut stderr = child.stderr.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text).expect("text")
    });
    let mut stdout = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout).expect("a pipe");
    }
    let stderr = reader.join().expect("nobody panics");
    Run { stdout, stderr, code: child.wait().expect("it is our child").code() }
}
