//! `--metrics`: what other programs see during a run.

use crate::common::program::lariat;
use crate::{Counting, echo};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

/// A run that is killed when this is dropped.
struct Running {
    child: Child,
    /// HOST:PORT of the metrics.
    address: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let arguments = [&["load", "--hold", "1h", "--metrics", "127.0.0.1:0"], arguments].concat();
        let mut child =
            lariat(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("it is piped");
        BufReader::new(stderr).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("lariat: the metrics of this run are at http://");
        let address = address.and_then(|rest| rest.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        Running { child, address }
    }

    /// Returns the head and the body of a response.
    fn fetch(&self, line: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        parse(&self.fetch("GET /metrics").1)
    }

    /// Waits until the metrics are as they should be, and returns them.
    fn until(&self, is_right: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        let mut metrics = self.metrics();
        crate::common::until(|| {
            metrics = self.metrics();
            is_right(&metrics)
        });
        metrics
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parses OpenMetrics strictly: each sample belongs to the metric before it, whose type and help
/// are known, and the text ends with its mark. Returns the samples by their names with labels.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.strip_suffix("# EOF\n").expect("the end is marked").lines();
    let (mut samples, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let (mut name, mut kind, mut has_help) = ("", "", false);
    for line in lines {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(seen.insert(name), "{name} comes twice");
            assert!(["gauge", "counter", "histogram", "stateset"].contains(&kind), "{line}");
            has_help = false;
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (of, unit) = rest.split_once(' ').expect("a name and a unit");
            assert!(of == name && name.ends_with(&format!("_{unit}")), "{line}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with(&format!("{name} ")), "{line}");
            has_help = true;
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a name and a value");
            let (sample, labels) = key.split_once('{').map_or((key, ""), |(sample, labels)| (sample, labels));
            assert!(labels.is_empty() || labels.ends_with("\"}"), "{line}");
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            assert!(has_help && suffixes.iter().any(|suffix| sample == format!("{name}{suffix}")), "{line}");
            let value: f64 = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(value >= 0.0, "{line}");
            assert_eq!(samples.insert(key.to_owned(), value), None, "{line}");
        }
    }
    samples
}

#[test]
fn a_run_is_seen_while_it_goes_on() {
    let (server, seen) = Counting::new(echo);
    let served = crate::common::serve(server);
    let url = format!("ws://{}/", served.addr);
    for processes in ["1", "2"] {
        let run = Running::start(&[&url, "-c", "6", "--echo", "-m", "100", "--processes", processes]);
        let trips = "lariat_load_round_trip_seconds_count";
        let metrics = run.until(|metrics| {
            metrics["lariat_load_open_connections"] == 6.0
                && metrics[trips] > 0.0
                && metrics["lariat_load_last_second_latency_seconds{quantile=\"0.5\"}"] > 0.0
        });
        assert_eq!(metrics["lariat_load_asked_connections"], 6.0);
        assert_eq!(metrics["lariat_load_connections_opened_total"], 6.0);
        assert_eq!(metrics["lariat_load_connections_failed_total"], 0.0);
        assert_eq!(metrics["lariat_load_phase{lariat_load_phase=\"holding\"}"], 1.0);
        assert_eq!(metrics["lariat_load_round_trip_seconds_bucket{le=\"+Inf\"}"], metrics[trips]);
        assert!(metrics["lariat_load_round_trip_seconds_sum"] > 0.0);
        assert!(metrics["lariat_load_messages_sent_total"] >= metrics["lariat_load_messages_received_total"] - 1.0);
        let later = run.until(|later| later[trips] > metrics[trips]);
        assert!(later["lariat_load_run_seconds"] >= metrics["lariat_load_run_seconds"]);
        assert!(seen.lock().expect("nobody has panicked").messages as f64 >= later[trips]);
    }
}

#[test]
fn the_content_type_is_that_of_openmetrics_and_nothing_else_is_there() {
    let (server, _) = Counting::new(echo);
    let served = crate::common::serve(server);
    let run = Running::start(&[&format!("ws://{}/", served.addr), "-c", "1"]);
    let (head, _) = run.fetch("GET /metrics");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains(kind), "{head}");
    assert!(run.fetch("GET /").0.starts_with("HTTP/1.1 404 "));
    assert!(run.fetch("POST /metrics").0.starts_with("HTTP/1.1 405 "));
    assert_eq!(run.fetch("HEAD /metrics").1, "");
}

#[test]
fn errors_are_counted_by_kind() {
    let (server, _) = Counting::new(echo);
    let served = crate::common::serve(server);
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let run = Running::start(&[&format!("ws://{}/", served.addr), &format!("ws://{dead}/"), "-c", "8"]);
    let metrics = run.until(|metrics| metrics["lariat_load_phase{lariat_load_phase=\"holding\"}"] == 1.0);
    assert_eq!(metrics["lariat_load_errors_total{kind=\"connect-refused\"}"], 4.0);
    assert_eq!(metrics["lariat_load_connections_failed_total"], 4.0);
    assert_eq!(metrics["lariat_load_open_connections"], 4.0);
}

#[test]
fn an_address_that_cannot_be_used_ends_the_run_before_it_begins() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|addr| (addr.to_string(), taken)).expect("an address");
    for address in [&taken.0, "127.0.0.1", "no-such-host.invalid:1"] {
        let output = lariat(&["load", "ws://127.0.0.1:9/", "--metrics", address]).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(&format!("--metrics {address}")) && output.stdout.is_empty(), "{stderr}");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
    }
}
