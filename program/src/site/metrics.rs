//! `/metrics`: shows Prometheus what the server has done and what it holds.

use super::options::MoreMetrics;
use lariat::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lariat::http::{HeaderValue, Response};
use lariat::{Answer, ClientId, Clients, Handler, Request};
use std::fmt::Write;
use std::fs;

/// Answers with [`Stats`](lariat::Stats) and, where there is a `/proc`, the descriptors and memory
/// of the process.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) more: Option<MoreMetrics>,
}

impl Handler for Metrics {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        let mut text = clients.stats().to_prometheus();
        write_process(&mut text);
        if let Some(more) = &self.more {
            text += &more.write();
        }
        let mut response = Response::new(text.into_bytes());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.into()
    }
}

/// Writes the metrics of the process, under the names that the Prometheus client libraries use.
fn write_process(text: &mut String) {
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse::<usize>().ok()
    };
    let metrics: [(&str, &str, Option<usize>); 3] = [
        ("process_open_fds", "Open file descriptors.", descriptors),
        ("process_max_fds", "The most open file descriptors.", most),
        (
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            kilobytes("VmRSS:").map(|kilobytes| kilobytes << 10),
        ),
    ];
    for (name, help, value) in metrics {
        if let Some(value) = value {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")
                .expect("writing to a String cannot fail");
        }
    }
}
