//! Watches a run, and makes a report of its measurements.

use super::measure::process::{self, Cpu};
use super::measure::{Asked, Expected, Histograms, Latencies, Latency, Record, Report, Second, Server};
use super::metrics::Endpoint;
use super::output::{Table, limits};
use super::plan::{Options, Plan};
use super::run::{Progress, Watcher};
use super::ui::{Facts, Ui};
use crate::doctor;
use crate::terminal::{Failure, Log};
use std::net::SocketAddr;

/// Watches the process of the server, and shows the progress.
pub(crate) struct Observer {
    /// Where the progress is shown.
    log: Option<Log>,
    table: Option<Table>,
    metrics: Option<Endpoint>,
    ui: Option<Ui>,
    /// What the server used at the end of the last second, with --ui.
    last: process::Usage,
    pids: Vec<u32>,
    began: process::Usage,
    opened: Option<process::Usage>,
    held: Option<process::Usage>,
    files: Option<(u64, u64)>,
}

impl Observer {
    /// Begins to watch. `servers` are those on this host. There is no plan if agents do the work.
    pub(crate) fn new(
        options: &Options,
        servers: &[SocketAddr],
        plan: Option<&Plan>,
        log: &Log,
    ) -> Result<Observer, Failure> {
        let pids = match (&options.pid[..], servers) {
            ([], [_, ..]) => process::listeners(servers),
            (given, _) => given.to_vec(),
        };
        let began = process::usage(&pids);
        let metrics = options.metrics.as_deref().map(|address| Endpoint::begin(address, options.connections.into()));
        let metrics = metrics.transpose()?;
        if let Some(metrics) = &metrics {
            log.say(&format!("lariat: the metrics of this run are at {}\n", metrics.url));
        }
        let shown = (!options.quiet && !options.ui).then(|| log.clone());
        let table = options.csv.as_deref().map(Table::begin).transpose()?;
        // At last: nothing after it fails.
        let ui = if options.ui { Some(Ui::begin(facts(options, plan), log)?) } else { None };
        Ok(Observer { log: shown, table, metrics, ui, last: began, pids, began, opened: None, held: None, files: None })
    }
}

impl Watcher for Observer {
    fn opened(&mut self) {
        self.opened = Some(process::usage(&self.pids));
        self.files = self.pids.first().and_then(|pid| process::files(*pid));
    }

    fn held(&mut self) {
        self.held = Some(process::usage(&self.pids));
    }

    fn second(&mut self, second: &Second) {
        if let Some(table) = &self.table {
            table.second(second);
        }
        if let Some(metrics) = &self.metrics {
            metrics.second(second);
        }
        if let Some(ui) = &self.ui {
            let now = process::usage(&self.pids);
            let used = now.cpu_since(&std::mem::replace(&mut self.last, now)).seconds;
            ui.second(second, share(used, second.length_s, RESOLUTION).filter(|_| !self.pids.is_empty()));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(log) = &self.log {
            log.show(progress.at(), progress.line());
        }
        if let Some(metrics) = &self.metrics {
            metrics.progress(progress);
        }
        if let Some(ui) = &self.ui {
            ui.progress(progress);
        }
    }
}

impl Observer {
    /// Ends the progress and the table, and makes the report. Returns also whether the table could
    /// be written.
    pub(crate) fn report(mut self, options: &Options, asked: Asked, record: Record) -> (Report, Result<(), Failure>) {
        drop(self.ui.take());
        let table = self.table.take().map_or(Ok(()), Table::end);
        if let Some(log) = &self.log {
            log.end_status(false);
        }
        let Histograms { connect, tls, handshake, round_trip, last_receiver, send_delay } = &record.times;
        let [connect, tls, handshake, trips, last, delay] =
            [connect, tls, handshake, round_trip, last_receiver, send_delay].map(|pairs| Latency::from_pairs(pairs));
        let measured = |latency: &Latency| (!latency.is_empty()).then(|| latency.summary());
        let shown = if last.is_empty() { &trips } else { &last };
        let curve = shown.curve().into_iter().map(|(share, nanos)| (share, nanos as f64 / 1e3)).collect();
        let server = self.server(&record);
        let mut client = record.client;
        client.cpu_share_opening = share(record.cpu_opening_s, record.connections.opening_s, OWN_RESOLUTION);
        client.cpu_share_holding = share(record.cpu_holding_s, record.holding_s, OWN_RESOLUTION);
        let opened = record.connections.first_opened();
        client.cpu_ns_per_handshake = Cpu::exact(record.cpu_opening_s).each(opened);
        client.cpu_ns_per_message = Cpu::exact(record.cpu_holding_s).each(record.counted);
        client.memory_bytes_per_connection = each(record.memory as f64, record.connections.most);
        let mut report = Report {
            schema: 1,
            lariat: env!("CARGO_PKG_VERSION").to_owned(),
            asked,
            ended: record.ended,
            elapsed_s: record.elapsed_s,
            connections: record.connections,
            messages: record.messages,
            latency: Latencies {
                connect: connect.summary(),
                tls: measured(&tls),
                handshake: handshake.summary(),
                round_trip: measured(&trips),
                last_receiver: measured(&last),
                send_delay: measured(&delay),
            },
            histograms: record.times,
            search: record.search,
            steps: record.steps,
            walks: record.walks,
            storms: record.storms,
            malformed: record.malformed,
            compression: record.compression,
            errors: record.errors,
            limits: Vec::new(),
            client,
            server,
            expectations: Vec::new(),
            series: record.series,
            curve,
        };
        report.limits = limits(&report);
        report.expectations = options
            .expect
            .iter()
            .map(|expectation| {
                let (measured, holds) = expectation.check(&report);
                Expected { expectation: expectation.text().to_owned(), measured, holds }
            })
            .collect();
        (report, table)
    }

    fn server(&self, record: &Record) -> Option<Server> {
        let first = *self.pids.first()?;
        let opened = self.opened.unwrap_or(self.began);
        let held = self.held.unwrap_or(opened);
        let (opening, holding) = (opened.cpu_since(&self.began), held.cpu_since(&opened));
        let memory = |usage: process::Usage| usage.memory.saturating_sub(self.began.memory) as f64;
        let has_memory = self.began.memory > 0;
        let connections = &record.connections;
        Some(Server {
            pids: self.pids.clone(),
            name: process::name(first).unwrap_or_else(|| "ended".to_owned()),
            cpu_share_opening: share(opening.seconds, connections.opening_s, RESOLUTION),
            cpu_share_holding: share(holding.seconds, record.holding_s, RESOLUTION),
            cpu_ns_per_handshake: opening.each(connections.first_opened()),
            cpu_ns_per_message: holding.each(record.counted),
            memory_bytes_per_connection: each(memory(opened), connections.most).filter(|_| has_memory),
            memory_bytes_per_connection_at_end: each(memory(held), connections.most).filter(|_| has_memory),
            files_limit: self.files.map(|(limit, _)| limit),
            files_open: self.files.map(|(_, open)| open),
        })
    }
}

/// Returns what is known before a run of the limits that it may come near.
fn facts(options: &Options, plan: Option<&Plan>) -> Facts {
    let host = doctor::read();
    let ports = host.ports.map(|(first, last)| u64::from(last.saturating_sub(first)) + 1);
    Facts {
        asked: options.connections.into(),
        processes: options.processes.into(),
        files: plan.and(host.files_soft),
        ports: plan.and_then(|plan| Some(ports? * plan.routes.len() as u64)),
    }
}

/// The clock of another process's CPU time counts hundredths of a second. Over 20 of them, a share
/// is right within 5 %.
const RESOLUTION: f64 = 0.2;

/// Over so many seconds, this process's own clock gives a share.
const OWN_RESOLUTION: f64 = 0.01;

/// Returns the share of one processor, or `None` over an interval that the clock does not resolve.
fn share(cpu_s: f64, seconds: f64, resolution: f64) -> Option<f64> {
    (seconds >= resolution).then(|| cpu_s / seconds)
}

/// Returns `sum / count`, or `None` if `count` is 0.
fn each(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum / count as f64 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_an_interval_that_the_clock_resolves() {
        // One tick of 10 ms in a phase of 2 ms is not 500 %.
        assert_eq!(share(0.01, 0.002, RESOLUTION), None);
        assert_eq!((share(0.0, 0.0, RESOLUTION), share(0.0, 0.0, OWN_RESOLUTION)), (None, None));
        assert_eq!((share(0.5, 1.0, RESOLUTION), share(0.01, 0.02, OWN_RESOLUTION)), (Some(0.5), Some(0.5)));
    }
}
