//! What has become of the steps of a scenario.

use crate::load::measure::{Detail, ErrorCount, Latency, ScenarioStep};
use crate::load::scenario::{Op, Scenario};

/// One for each step, then one for each rule.
#[derive(Debug)]
pub(super) struct Tallies(Vec<Tally>);

/// What has become of a step, or of a rule.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: u64,
    failures: Vec<Detail>,
    first_failed: Option<u32>,
    latency: Option<Latency>,
}

impl Tallies {
    pub(super) fn new(scenario: &Scenario) -> Tallies {
        let tally = |is_measured: bool| Tally { latency: is_measured.then(Latency::new), ..Tally::default() };
        let steps = scenario.steps.iter().map(|step| tally(step.op.is_measured()));
        Tallies(steps.chain(scenario.rules.iter().map(|_| tally(false))).collect())
    }

    /// A step has been done, in so many nanoseconds.
    pub(super) fn done(&mut self, place: usize, nanos: u64) {
        let tally = &mut self.0[place];
        tally.done += 1;
        if let Some(latency) = &mut tally.latency {
            latency.record(nanos);
        }
    }

    /// A step has failed on this connection.
    pub(super) fn failed(&mut self, place: usize, connection: u32, why: String) {
        let tally = &mut self.0[place];
        tally.failed += 1;
        tally.first_failed = tally.first_failed.into_iter().chain([connection]).min();
        let mut details = ErrorCount { details: std::mem::take(&mut tally.failures), ..ErrorCount::default() };
        details.detail(1, why);
        tally.failures = details.details;
    }

    /// Describes all steps and rules, in the order of their lines.
    pub(super) fn report(&self, scenario: &Scenario) -> Vec<ScenarioStep> {
        let lines = scenario.steps.iter().map(|step| (step.line, &step.text));
        let lines = lines.chain(scenario.rules.iter().map(|rule| (rule.line, &rule.text)));
        let step = |((line, text), tally): ((u32, &String), &Tally)| ScenarioStep {
            line,
            text: text.clone(),
            done: tally.done,
            failed: tally.failed,
            failures: tally.failures.clone(),
            first_failed: tally.first_failed,
            latency: tally.latency.as_ref().filter(|latency| !latency.is_empty()).map(Latency::summary),
            histogram: tally.latency.as_ref().map(Latency::to_pairs).unwrap_or_default(),
        };
        let is_end = |place: usize| matches!(scenario.steps.get(place).map(|step| &step.op), Some(Op::End { .. }));
        let steps = lines.zip(&self.0).enumerate().filter(|(place, _)| !is_end(*place));
        let mut steps: Vec<ScenarioStep> = steps.map(|(_, both)| step(both)).collect();
        steps.sort_by_key(|step| step.line);
        steps
    }
}
