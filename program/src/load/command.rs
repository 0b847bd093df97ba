//! `lariat load`: from its options to its exit code.

use super::measure::Record;
use super::observer::Observer;
use super::output::{check, write};
use super::plan::{Options, Plan, Usage};
use super::run::{Watcher, Worker, run_part, run_workers};
use crate::doctor::{self, Verdict};
use crate::terminal::{Failure, Log, units};
use std::process::ExitCode;

/// Runs `lariat load`. The exit code is 1 if an expectation does not hold, no connection opened, or
/// a process of its own was lost, and 2 for wrong usage.
pub(crate) fn run(options: &Options, log: &Log) -> Result<ExitCode, Failure> {
    doctor::raise_descriptor_limit();
    let host = doctor::read();
    let plan = match Plan::new(options, &host) {
        Ok(plan) => plan,
        Err(Usage(sentence)) => {
            log.say(&format!("lariat: {sentence}\n"));
            return Ok(ExitCode::from(2));
        }
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
    let mut observer = Observer::new(options, &plan, log)?;
    let record = if options.processes > 1 {
        run_workers(options.processes, &mut observer, log)?
    } else {
        measure(plan, &mut observer)?
    };
    let (report, table) = observer.report(options, asked, record);
    write(options, &report, log).and(table)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(plan: Plan, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    run_part(plan, watcher).map_err(|error| Failure(format!("the run has failed: {error}")))
}
