//! Watches a run: the process of the server, the progress, the seconds.

use super::compose::{compose, share};
use super::measure::process;
use super::measure::{Asked, Record, Report, Second, Server};
use super::metrics::Endpoint;
use super::output::Table;
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
            // Without memory: in the loop of the run, reading that of a large server takes too
            // long.
            let now = process::cpu(&self.pids);
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
    pub(crate) fn report(
        mut self,
        options: &Options,
        asked: Asked,
        mut record: Record,
    ) -> (Report, Result<(), Failure>) {
        drop(self.ui.take());
        let table = self.table.take().map_or(Ok(()), Table::end);
        if let Some(log) = self.log.take() {
            log.end_status(false);
        }
        record.server = self.server(&record);
        (compose(asked, record, &options.outputs.expect), table)
    }

    fn server(&self, record: &Record) -> Option<Server> {
        let first = *self.pids.first()?;
        let opened = self.opened.unwrap_or(self.began);
        let held = self.held.unwrap_or(opened);
        let (opening, holding) = (opened.cpu_since(&self.began), held.cpu_since(&opened));
        let memory = |usage: process::Usage| usage.memory.saturating_sub(self.began.memory);
        let has_memory = self.began.memory > 0;
        let resolved = |cpu: process::Cpu| cpu.is_resolved().then_some(cpu.seconds);
        Some(Server {
            pids: self.pids.clone(),
            name: process::name(first).unwrap_or_else(|| "ended".to_owned()),
            cpu_opening_s: resolved(opening),
            cpu_holding_s: resolved(holding),
            memory_bytes: has_memory.then(|| memory(opened)),
            memory_bytes_at_end: has_memory.then(|| memory(held)),
            cpu_share_opening: share(opening.seconds, record.connections.opening_s, RESOLUTION),
            cpu_share_holding: share(holding.seconds, record.holding_s, RESOLUTION),
            files_limit: self.files.map(|(limit, _)| limit),
            files_open: self.files.map(|(_, open)| open),
            ..Server::default()
        })
    }
}

impl Drop for Observer {
    /// After an error, ends the progress, and keeps the seconds of the table so far.
    fn drop(&mut self) {
        drop(self.ui.take());
        if let Some(table) = self.table.take() {
            // The error that ended the run counts.
            let _ = table.end();
        }
        if let Some(log) = self.log.take() {
            log.end_status(false);
        }
    }
}

/// Returns what is known before a run of the limits that it may come near.
fn facts(options: &Options, plan: Option<&Plan>) -> Facts {
    let host = doctor::read();
    let ports = host.ports.map(|(first, last)| u64::from(last.saturating_sub(first)) + 1);
    Facts {
        asked: options.connections.into(),
        processes: options.workers(),
        has_loop: plan.is_some() && options.processes == 1,
        files: plan.and(host.files_soft),
        ports: plan.and_then(|plan| Some(ports? * plan.routes.len() as u64)),
    }
}

/// The clock of another process's CPU time counts hundredths of a second. Over 20 of them, a share
/// is right within 5 %.
const RESOLUTION: f64 = 0.2;
