//! What is known of a run while it goes on.

use crate::load::measure::Second;
use crate::load::run::Progress;
use std::collections::VecDeque;

/// The seconds that are shown.
const SECONDS: usize = 600;

/// What does not change in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) asked: u64,
    /// Of all agents together.
    pub(crate) processes: u64,
    /// Whether this process itself turns the loop of the run, which ends with signals.
    pub(crate) has_loop: bool,
    /// The files that each process may open.
    pub(crate) files: Option<u64>,
    /// The connections for which there are ports.
    pub(crate) ports: Option<u64>,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) facts: Facts,
    pub(super) progress: Progress,
    /// The last ones.
    pub(super) seconds: VecDeque<Second>,
    /// The share of a processor that the server used in the last second, if it is on this host.
    pub(super) server_cpu: Option<f64>,
    /// Whether a key has ended the run.
    pub(super) is_ending: bool,
}

impl View {
    pub(super) fn new(facts: Facts) -> View {
        let mut view = View { facts, ..View::default() };
        view.progress.asked = facts.asked;
        view
    }

    /// Whether a loop turns: here, or in workers that have told their progress.
    pub(super) fn has_begun(&self) -> bool {
        self.facts.has_loop || !self.progress.phase.is_empty()
    }

    pub(super) fn second(&mut self, second: &Second) {
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second.clone());
    }

    pub(super) fn last(&self) -> Option<&Second> {
        self.seconds.back()
    }

    /// Returns a value of each second, with its time.
    pub(super) fn points(&self, value: fn(&Second) -> f64) -> Vec<(f64, f64)> {
        self.seconds.iter().map(|second| (second.at_s, value(second))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_takes_no_more_memory() {
        let mut view = View::new(Facts::default());
        for at in 0..2 * SECONDS {
            view.second(&Second { at_s: at as f64, ..Second::default() });
        }
        let points = view.points(|second| second.at_s);
        assert_eq!((points.len(), points[0]), (SECONDS, (SECONDS as f64, SECONDS as f64)));
    }
}
