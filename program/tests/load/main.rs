//! `lariat load` and `lariat doctor` as processes. The counts of the report are those of the
//! server.
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod agents;
mod bad_servers;
mod doctor;
#[cfg(unix)]
mod followers;
#[cfg(target_os = "linux")]
mod killed;
mod malformed;
mod metrics;
mod reports;
mod runs;
mod scenarios;
mod schema;
mod storms;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod ui;

use common::program::lariat;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message};
use serde_json::Value;
use std::process::Output;
use std::sync::{Arc, Mutex};

/// What a server saw.
#[derive(Debug, Default)]
struct Seen {
    opened: u64,
    open: u64,
    most: u64,
    messages: u64,
    bytes: u64,
    texts: Vec<String>,
    /// Ended by a Close with 1000.
    normal: u64,
    ended_otherwise: u64,
}

/// A server that counts, and handles messages with a function.
struct Counting {
    seen: Arc<Mutex<Seen>>,
    act: fn(&mut Clients<()>, ClientId, Message<'_>),
}

impl Counting {
    fn new(act: fn(&mut Clients<()>, ClientId, Message<'_>)) -> (Counting, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        (Counting { seen: Arc::clone(&seen), act }, seen)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody has panicked")
    }
}

impl Handler for Counting {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "all");
        let mut seen = self.seen();
        seen.opened += 1;
        seen.open += 1;
        seen.most = seen.most.max(seen.open);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        (self.act)(clients, id, message);
        let mut seen = self.seen();
        seen.messages += 1;
        seen.bytes += message.as_bytes().len() as u64;
        if seen.texts.len() < 1_000 {
            seen.texts.extend(message.as_text().map(str::to_owned));
        }
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        let is_normal = matches!(reason, CloseReason::Peer(Some(frame)) if frame.code == CloseCode::Normal);
        let mut seen = self.seen();
        seen.open -= 1;
        seen.normal += u64::from(is_normal);
        seen.ended_otherwise += u64::from(!is_normal);
    }
}

fn echo(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    let _ = clients.send(id, message);
}

/// A report, the exit code of the program, and its standard error.
#[derive(Debug)]
struct Run {
    report: Value,
    code: Option<i32>,
    stderr: String,
}

/// Runs `lariat load` to its end.
fn load(url: &str, arguments: &str) -> Run {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let output = lariat(&[&["load", url, "--json", "-"], &arguments[..]].concat()).output();
    finished(&output.expect("the program runs"))
}

fn finished(output: &Output) -> Run {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    Run { report, code: output.status.code(), stderr }
}

impl Run {
    /// Returns a number of the report by its path.
    #[track_caller]
    fn number(&self, path: &str) -> f64 {
        let value = self.report.pointer(&format!("/{}", path.replace(' ', "/")));
        value.and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {path} in {:#}", self.report))
    }

    #[track_caller]
    fn count(&self, path: &str) -> u64 {
        let number = self.number(path);
        assert!(number >= 0.0 && number.fract() == 0.0, "{path} is {number}");
        number as u64
    }

    /// Returns the count of each error.
    fn errors(&self) -> Vec<(String, u64)> {
        let errors = self.report["errors"].as_array().expect("a list").iter();
        let kind = |error: &Value| {
            (error["kind"].as_str().unwrap_or_default().to_owned(), error["count"].as_u64().unwrap_or(0))
        };
        errors.map(kind).collect()
    }

    #[track_caller]
    fn only_error(&self, kind: &str) -> u64 {
        match &self.errors()[..] {
            [(only, count)] if only == kind => *count,
            errors => panic!("{errors:?} instead of {kind} alone: {}", self.stderr),
        }
    }

    /// Returns what limited the run, the most likely cause first.
    fn limits(&self) -> Vec<&str> {
        let limits = self.report["limits"].as_array().expect("a list").iter();
        // Limits that depend on other work of the host are left out.
        let load = ["client-cpu", "client-late", "server-cpu", "rate-not-reached", "server-backlog"];
        limits.filter_map(|limit| limit["limit"].as_str()).filter(|limit| !load.contains(limit)).collect()
    }
}
