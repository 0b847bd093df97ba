//! `/metrics`: shows Prometheus what the server has done and what it holds.

use super::all_loops::answer_for_all;
use super::options::MoreMetrics;
use lariat::backplane::BackplaneStatus;
use lariat::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lariat::http::{HeaderValue, Response};
use lariat::{Answer, ClientId, Clients, Handler, Request, Stats};
use std::fmt::Write;
use std::fs;

/// Answers with the [`Stats`](lariat::Stats) of all loops and, where there is a `/proc`, the
/// descriptors and memory of the process.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) more: Option<MoreMetrics>,
}

impl Handler for Metrics {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        let more = self.more.clone();
        answer_for_all(
            clients,
            id,
            |clients| clients.stats(),
            move |clients, all| respond(all, clients.backplane_status(), more.as_ref()),
        )
    }

    /// Nothing: the metrics of the program are those of the new process.
    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}

fn respond(all: Vec<Stats>, backplane: Option<BackplaneStatus>, more: Option<&MoreMetrics>) -> Answer {
    let of_each = write_each_loop(&all);
    let mut text = all.into_iter().sum::<Stats>().to_prometheus();
    text += &of_each;
    if let Some(status) = backplane {
        text += &write_backplane(status);
    }
    write_process(&mut text);
    if let Some(more) = more {
        text += &more.write();
    }
    let mut response = Response::new(text.into_bytes());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.into()
}

/// Returns what shows whether the loops have equal shares. The other metrics are those of all loops
/// together.
fn write_each_loop(all: &[Stats]) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: fn(&Stats) -> f64| {
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (number, stats) in all.iter().enumerate() {
            text += &format!("{name}{{loop=\"{number}\"}} {}\n", value(stats));
        }
    };
    metric("lariat_loop_connections", "gauge", "Open connections of each event loop.", |stats| {
        stats.connections.open as f64
    });
    metric("lariat_loop_messages_total", "counter", "Messages that each event loop has received.", |stats| {
        stats.received.messages() as f64
    });
    metric("lariat_loop_busy_seconds_total", "counter", "Time that each event loop has not waited.", |stats| {
        stats.turn_micros.sum() as f64 / 1e6
    });
    text
}

/// Returns how the connection to the backplane is.
fn write_backplane(status: BackplaneStatus) -> String {
    let metrics = [
        ("lariat_backplane_up", "gauge", "Whether the backplane can be reached.", u64::from(status.is_up)),
        (
            "lariat_backplane_losses_total",
            "counter",
            "How often the backplane could not be reached any more, or at the start.",
            status.losses,
        ),
        ("lariat_backplane_refused_total", "counter", "Messages that the backplane did not take.", status.refused),
        ("lariat_backplane_gaps_total", "counter", "How often messages of a topic may have been lost.", status.gaps),
        (
            "lariat_backplane_kept_bytes",
            "gauge",
            "Bytes of messages that this server keeps of topics with a history.",
            status.kept_bytes as u64,
        ),
    ];
    metrics.iter().fold(String::new(), |text, (name, kind, help, value)| {
        text + &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
    })
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
