//! `lariat load`: how many connections does a server hold, how fast does it answer, and what stops
//! it there?
//!
//! | file | the question that it answers |
//! |---|---|
//! | `options`, `plan` | what is asked for, and what follows from it? |
//! | `driver` | what do the connections do? A [`Handler`](lariat::Handler) whose clients are outgoing connections |
//! | `message`, `pacer`, `pending`, `publications`, `search` | what is sent, when, and what is still to come back? |
//! | `run`, `workers` | how does one process turn its loop, and how do several share the work? |
//! | `tally`, `latency`, `problems`, `record` | what has happened? |
//! | `process`, `limits` | what did client and server use, and what limited them? |
//! | `report`, `text`, `html`, `csv`, `progress`, `expect` | how is it told, and is it good enough? |
//!
//! Latencies count from the time at which something was meant to be done, so that a server that
//! stalls for a second has a second in its percentiles, and not a pause in the measurement.
//! [`report`] documents what `--json` writes.

mod clock;
mod csv;
mod driver;
mod expect;
mod html;
mod latency;
mod limits;
mod message;
mod options;
mod pacer;
mod pending;
mod plan;
mod problems;
mod process;
mod progress;
mod publications;
mod record;
mod report;
mod run;
mod search;
mod tally;
mod text;
mod workers;

pub(super) use options::Options;

use super::doctor::{self, Verdict};
use super::{Failure, print, units};
use latency::Latency;
use plan::{Plan, Usage};
use progress::{Line, Progress};
use record::Record;
use report::{Asked, Expected, Latencies, Report, Server};
use run::Watcher;
use std::path::Path;
use std::process::ExitCode;
use text::Text;
use workers::Worker;

/// Exit code 1 if what was expected does not hold, or nothing could be measured; 2 for wrong usage.
pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    super::raise_descriptor_limit();
    let host = doctor::read();
    let plan = match Plan::new(options, &host) {
        Ok(plan) => plan,
        Err(Usage(sentence)) => {
            eprintln!("lariat: {sentence}");
            return Ok(ExitCode::from(2));
        }
    };
    if options.worker.is_some() {
        Worker::finish(measure(plan, &mut Worker));
        return Ok(ExitCode::SUCCESS);
    }
    for finding in plan.findings(options, &host).iter().filter(|finding| finding.verdict == Verdict::Stops) {
        let most = finding.connections.map_or_else(String::new, |most| format!(" at {}", units::grouped(most)));
        eprintln!("lariat: {} ({}) will stop this{most}", finding.what, finding.value);
        if let Some(advice) = &finding.advice {
            eprintln!("        -> {advice}");
        }
    }
    let asked = plan.asked.clone();
    let mut observer = Observer::new(options, &plan);
    let record = if options.processes > 1 {
        workers::run(options.processes, &mut observer)?
    } else {
        measure(plan, &mut observer)?
    };
    let report = observer.report(options, asked, record);
    write(options, &report)?;
    Ok(if report.holds() && report.connections.opened > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(plan: Plan, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    run::run(plan, watcher).map_err(|error| Failure(format!("the run has failed: {error}")))
}

/// Who looks at the server's process and shows how it goes.
struct Observer {
    line: Option<Line>,
    pids: Vec<u32>,
    began: process::Usage,
    opened: Option<process::Usage>,
    held: Option<process::Usage>,
    files: Option<(u64, u64)>,
}

impl Observer {
    fn new(options: &Options, plan: &Plan) -> Observer {
        let pids = match (&options.pid[..], plan.is_local) {
            ([], true) => process::listeners(&plan.addresses),
            (given, _) => given.to_vec(),
        };
        let began = process::usage(&pids);
        Observer { line: Some(Line::new(options.quiet)), pids, began, opened: None, held: None, files: None }
    }
}

impl Watcher for Observer {
    fn opened(&mut self) {
        self.opened = Some(process::usage(&self.pids));
        self.files = self.pids.first().and_then(|pid| process::files(*pid));
    }

    fn held(&mut self) {
        self.held = Some(process::usage(&self.pids));
        self.line = None;
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(line) = &mut self.line {
            line.show(progress);
        }
    }
}

impl Observer {
    fn report(self, options: &Options, asked: Asked, record: Record) -> Report {
        let [connect, handshake, trips, last, delay] =
            [&record.connect, &record.handshake, &record.trips, &record.last, &record.delay]
                .map(|pairs| Latency::from_pairs(pairs));
        let measured = |latency: &Latency| (!latency.is_empty()).then(|| latency.summary());
        let shown = if last.is_empty() { &trips } else { &last };
        let curve = shown.curve().into_iter().map(|(share, nanos)| (share, nanos as f64 / 1e3)).collect();
        let server = self.server(&record);
        let mut client = record.client;
        let share = |cpu: f64, seconds: f64| if seconds > 0.0 { cpu / seconds } else { 0.0 };
        client.cpu_share_opening = share(record.cpu_opening_s, record.connections.opening_s);
        client.cpu_share_holding = share(record.cpu_holding_s, record.holding_s);
        let opened = record.connections.opened - record.connections.churned;
        client.cpu_ns_per_handshake = each(record.cpu_opening_s * 1e9, opened);
        client.cpu_ns_per_message = each(record.cpu_holding_s * 1e9, record.counted);
        client.memory_bytes_per_connection = each(record.memory as f64, record.connections.most);
        let mut report = Report {
            schema: 1,
            lariat: env!("CARGO_PKG_VERSION"),
            asked,
            ended: record.ended,
            elapsed_s: record.elapsed_s,
            connections: record.connections,
            messages: record.messages,
            latency: Latencies {
                connect: connect.summary(),
                handshake: handshake.summary(),
                round_trip: measured(&trips),
                last_receiver: measured(&last),
                send_delay: measured(&delay),
            },
            search: record.search,
            errors: record.errors,
            limits: Vec::new(),
            client,
            server,
            expectations: Vec::new(),
            series: record.series,
            curve,
        };
        report.limits = limits::limits(&report);
        report.expectations = options
            .expect
            .iter()
            .map(|expectation| {
                let (measured, holds) = expectation.check(&report);
                Expected { expectation: expectation.text().to_owned(), measured, holds }
            })
            .collect();
        report
    }

    fn server(&self, record: &Record) -> Option<Server> {
        let first = *self.pids.first()?;
        let opened = self.opened.unwrap_or(self.began);
        let held = self.held.unwrap_or(opened);
        let (opening, holding) = (opened.cpu_since(&self.began) as f64, held.cpu_since(&opened) as f64);
        let share = |nanos: f64, seconds: f64| if seconds > 0.0 { nanos / 1e9 / seconds } else { 0.0 };
        let memory = |usage: process::Usage| usage.memory.saturating_sub(self.began.memory) as f64;
        let has_memory = self.began.memory > 0;
        let connections = &record.connections;
        Some(Server {
            pids: self.pids.clone(),
            name: process::name(first).unwrap_or_else(|| "gone".to_owned()),
            cpu_share_opening: share(opening, connections.opening_s),
            cpu_share_holding: share(holding, record.holding_s),
            cpu_ns_per_handshake: each(opening, connections.opened - connections.churned),
            cpu_ns_per_message: each(holding, record.counted),
            memory_bytes_per_connection: each(memory(opened), connections.most).filter(|_| has_memory),
            memory_bytes_per_connection_at_end: each(memory(held), connections.most).filter(|_| has_memory),
            files_limit: self.files.map(|(limit, _)| limit),
            files_open: self.files.map(|(_, open)| open),
        })
    }
}

/// So much for each of `count`; `None` if there are none.
fn each(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum / count as f64 * 10.0).round() / 10.0)
}

/// Writes the report wherever it was asked for; as text on standard output, unless something else
/// is there.
fn write(options: &Options, report: &Report) -> Result<(), Failure> {
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
        save(path, &html::html(report))?;
    }
    if let Some(path) = &options.csv {
        save(path, &csv::csv(report))?;
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
