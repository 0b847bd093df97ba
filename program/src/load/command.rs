//! `lariat load`: from its options to its exit code.

use super::compare::{self, Diff};
use super::measure::Record;
use super::merge::{self, Merge};
use super::observer::Observer;
use super::output::{check, write};
use super::plan::{Options, Plan, Usage};
use super::run::{Watcher, Worker, run_part, run_workers};
use crate::doctor::{self, Verdict};
use crate::terminal::{Failure, Log, units};
use std::process::ExitCode;

/// Open many connections to a server, hold them, send messages, and report what limited the run.
///
/// Without --echo, --subscribe, --follow or --messages-per-second, the connections are only held.
/// With --echo and no rate, each connection sends its next message when the last one has come back.
/// With a rate, messages are sent on time, regardless of what comes back.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Reports>,
    #[command(flatten)]
    options: Options,
}

/// What is done with the reports of earlier runs.
#[derive(Debug, clap::Subcommand)]
enum Reports {
    Merge(Merge),
    Diff(Diff),
}

/// Runs `lariat load`, or one of its commands for reports.
pub(crate) fn run(arguments: &Arguments, log: &Log) -> Result<ExitCode, Failure> {
    let outcome = match &arguments.command {
        Some(Reports::Merge(options)) => merge::run(options, log)?,
        Some(Reports::Diff(options)) => compare::run(options, log),
        None => measured(&arguments.options, log)?,
    };
    Ok(outcome.unwrap_or_else(|Usage(sentence)| {
        log.say(&format!("lariat: {sentence}\n"));
        ExitCode::from(2)
    }))
}

/// Does a run. The exit code is 1 if an expectation does not hold, no connection opened, or
/// a process of its own was lost, and 2 for wrong usage.
fn measured(options: &Options, log: &Log) -> Result<Result<ExitCode, Usage>, Failure> {
    doctor::raise_descriptor_limit();
    let host = doctor::read();
    let plan = match Plan::new(options, &host) {
        Ok(plan) => plan,
        Err(usage) => return Ok(Err(usage)),
    };
    if options.worker.is_some() {
        Worker::finish(measure(plan, &mut Worker));
        return Ok(Ok(ExitCode::SUCCESS));
    }
    let csv = options.csv.as_deref();
    check(&options.outputs, csv)?;
    for finding in plan.findings(options, &host).iter().filter(|finding| finding.verdict == Verdict::Stops) {
        let most = finding.connections.map_or_else(String::new, |most| format!(" at {}", units::grouped(most)));
        log.say(&format!("lariat: this run will reach a limit{most}: {} ({})\n", finding.what, finding.value));
        if let Some(advice) = &finding.advice {
            log.say(&format!("        -> {advice}\n"));
        }
    }
    let asked = plan.asked.clone();
    let mut observer = Observer::new(options, &plan, log)?;
    let record = if options.processes > 1 {
        run_workers(options.processes, &mut observer, log)?
    } else {
        measure(plan, &mut observer)?
    };
    let (report, table) = observer.report(options, asked, record);
    write(&options.outputs, csv, &report, log).and(table)?;
    Ok(Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn measure(plan: Plan, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    run_part(plan, watcher).map_err(|error| Failure(format!("the run has failed: {error}")))
}
