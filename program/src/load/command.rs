//! `lariat load`: from its options to its exit code.

use super::agents::{self, Campaign, Token};
use super::measure::{Asked, Record};
use super::observer::Observer;
use super::output::{check, write};
use super::plan::{Options, Plan, SharedPlan, Usage};
use super::run::{Watcher, Worker, run_part, run_processes};
use crate::doctor::{self, Verdict};
use crate::terminal::{Failure, Log, units};
use std::process::ExitCode;

/// Runs `lariat load`. The exit code is 1 if an expectation does not hold, no connection opened, or
/// a process of its own was lost, and 2 for wrong usage.
pub(crate) fn run(options: &Options, log: &Log) -> Result<ExitCode, Failure> {
    if let Some(address) = &options.agent {
        return match agents::check_agent().and_then(|()| Token::of(options)) {
            Ok(token) => agents::serve(address, token, log),
            Err(wrong) => Ok(wrong_usage(&wrong, log)),
        };
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
            return Ok(ExitCode::from(2));
        }
        Err(wrong) => return Ok(wrong_usage(&wrong, log)),
    };
    if options.worker.is_some() {
        Worker::finish(measure(plan, &mut Worker));
        return Ok(ExitCode::SUCCESS);
    }
    check(options)?;
    for finding in plan.findings(options, &host).iter().filter(|finding| finding.verdict == Verdict::Stops) {
        let most = finding.connections.map_or_else(String::new, |most| format!(" at {}", units::grouped(most)));
        log.say(&format!("lariat: this run will reach a limit{most}: {} ({})\n", finding.what, finding.value));
        if let Some(advice) = &finding.advice {
            log.say(&format!("        -> {advice}\n"));
        }
    }
    let asked = plan.asked.clone();
    let servers = if plan.is_local { &plan.addresses[..] } else { &[] };
    let mut observer = Observer::new(options, servers, Some(&plan), log)?;
    let record = if options.processes > 1 {
        run_processes(options.processes, &mut observer, log)?
    } else {
        measure(plan, &mut observer)?
    };
    finish(options, observer, asked, record, log)
}

/// Lets agents on other hosts do the run.
fn lead(options: &Options, log: &Log) -> Result<ExitCode, Failure> {
    let prepared = SharedPlan::new(options).and_then(|plan| Ok((plan, Campaign::new(options)?)));
    let (plan, campaign) = match prepared {
        Ok(prepared) => prepared,
        Err(wrong) => return Ok(wrong_usage(&wrong, log)),
    };
    check(options)?;
    let mut observer = Observer::new(options, &plan.local_servers, None, log)?;
    let record = campaign.run(&mut observer, log)?;
    finish(options, observer, plan.asked, record, log)
}

fn wrong_usage(Usage(sentence): &Usage, log: &Log) -> ExitCode {
    log.say(&format!("lariat: {sentence}\n"));
    ExitCode::from(2)
}

fn finish(options: &Options, observer: Observer, asked: Asked, record: Record, log: &Log) -> Result<ExitCode, Failure> {
    let (report, table) = observer.report(options, asked, record);
    write(options, &report, log).and(table)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(plan: Plan, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    run_part(plan, watcher).map_err(|error| Failure(format!("the run has failed: {error}")))
}
