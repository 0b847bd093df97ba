//! `lariat load`: from its options to its exit code.

use super::agents::{self, Campaign, Token};
use super::compare::{self, Diff};
use super::measure::{Asked, Record};
use super::merge::{self, Merge};
use super::observer::Observer;
use super::output::{check, check_forms, write};
use super::plan::{Options, Plan, SharedPlan, Usage};
use super::run::{Watcher, Worker, run_part, run_processes};
use crate::doctor::{self, Verdict};
use crate::terminal::{Failure, Log, units};
use std::process::ExitCode;

/// Open many connections to a server, hold them, send messages, and report what limited the run.
///
/// Without --echo, --subscribe, --follow, --scenario, --until or --messages-per-second, the
/// connections are only held.
/// With --echo and no rate, each connection sends its next message when the last one has come back.
/// With a rate, messages are sent on time, regardless of what comes back.
///
/// Several hosts can share a run: `lariat load --agent ADDR` on each of them, and --agents here.
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
    if let Some(address) = &options.agent {
        return match agents::check_agent().and_then(|()| Token::of(options)) {
            Ok(token) => agents::serve(address, token, log).map(Ok),
            Err(usage) => Ok(Err(usage)),
        };
    }
    if let Err(usage) = check_forms(&options.outputs, options.csv.as_deref()) {
        return Ok(Err(usage));
    }
    if !options.agents.is_empty() {
        return lead(options, log);
    }
    doctor::raise_descriptor_limit();
    let host = doctor::read();
    let plan = match Plan::new(options, &host) {
        Ok(plan) => plan,
        // The parent reports it: it may be on another host, with other files and names.
        Err(Usage(sentence)) if options.worker.is_some() => {
            Worker::finish(Err(Failure(sentence)));
            return Ok(Ok(ExitCode::from(2)));
        }
        Err(usage) => return Ok(Err(usage)),
    };
    if options.worker.is_some() {
        Worker::finish(measure(plan, &mut Worker::default()));
        return Ok(Ok(ExitCode::SUCCESS));
    }
    check(&options.outputs, options.csv.as_deref())?;
    for finding in plan.findings(options, &host).iter().filter(|finding| finding.verdict == Verdict::Stops) {
        let most = finding.connections.map_or_else(String::new, |most| format!(" at {}", units::grouped(most)));
        log.say(&format!("lariat: this run will reach a limit{most}: {} ({})\n", finding.what, finding.value));
        if let Some(advice) = &finding.advice {
            log.say(&format!("        -> {advice}\n"));
        }
    }
    let asked = plan.asked.clone();
    // A Unix socket has no port by which its server could be found.
    let servers = if plan.is_local && plan.unix.is_none() { &plan.addresses[..] } else { &[] };
    let mut observer = Observer::new(options, servers, Some(&plan), log)?;
    let record = if options.processes > 1 {
        run_processes(options.processes, &mut observer, log)?
    } else {
        measure(plan, &mut observer)?
    };
    finish(options, observer, asked, record, log).map(Ok)
}

/// Lets agents on other hosts do the run.
fn lead(options: &Options, log: &Log) -> Result<Result<ExitCode, Usage>, Failure> {
    let prepared = SharedPlan::new(options).and_then(|plan| Ok((plan, Campaign::new(options)?)));
    let (plan, campaign) = match prepared {
        Ok(prepared) => prepared,
        Err(usage) => return Ok(Err(usage)),
    };
    check(&options.outputs, options.csv.as_deref())?;
    let mut observer = Observer::new(options, &plan.local_servers, None, log)?;
    let record = campaign.run(&mut observer, log)?;
    finish(options, observer, plan.asked, record, log).map(Ok)
}

fn finish(options: &Options, observer: Observer, asked: Asked, record: Record, log: &Log) -> Result<ExitCode, Failure> {
    let (report, table) = observer.report(options, asked, record);
    write(&options.outputs, options.csv.as_deref(), &report, log).and(table)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(plan: Plan, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    run_part(plan, watcher).map_err(|error| Failure(format!("the run has failed: {error}")))
}
