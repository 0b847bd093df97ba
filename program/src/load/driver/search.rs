//! The search for the highest rate that keeps a bound.
//!
//! The rate doubles until it breaks the bound, or falls to a quarter until it keeps the bound. Then
//! the search takes the geometric mean of the two ends, until they are close. A rate that breaks
//! the bound is tried a second time, because another program may have kept the host busy.

use crate::load::measure::Step;
/// The two ends are close enough at this ratio.
const CLOSE: f64 = 1.05;

/// The most rates that are tried.
const MOST_STEPS: usize = 40;

/// A search in progress.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    next: f64,
    /// The highest rate that kept the bound.
    good: Option<f64>,
    /// The lowest rate that broke the bound.
    bad: Option<f64>,
    pub(crate) steps: Vec<Step>,
    /// The next rate has broken the bound once.
    is_second: bool,
}

impl Search {
    pub(crate) const fn new(first: f64) -> Search {
        Search { next: first, good: None, bad: None, steps: Vec::new(), is_second: false }
    }

    /// Returns the rate to try next.
    pub(crate) const fn rate(&self) -> f64 {
        self.next
    }

    /// Returns the highest rate so far that kept the bound.
    pub(crate) const fn highest(&self) -> Option<f64> {
        self.good
    }

    /// Adds the result of a rate. Returns `false` when the search is over.
    pub(crate) fn judge(&mut self, step: Step) -> bool {
        let rate = self.next;
        if !step.holds && !self.is_second {
            self.is_second = true;
            self.steps.push(step);
            return self.steps.len() < MOST_STEPS;
        }
        self.is_second = false;
        if step.holds {
            self.good = Some(self.good.unwrap_or(rate).max(rate));
        } else {
            self.bad = Some(self.bad.unwrap_or(rate).min(rate));
        }
        self.steps.push(step);
        self.next = match (self.good, self.bad) {
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (Some(good), None) => good * 2.0,
            (None, Some(bad)) => bad / 4.0,
            (None, None) => rate,
        };
        let is_close = self.good.zip(self.bad).is_some_and(|(good, bad)| bad <= good * CLOSE);
        !is_close && self.steps.len() < MOST_STEPS && self.next >= 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches against a server that keeps the bound up to a rate.
    fn found(first: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first);
        while search.judge(Step { holds: search.rate() <= limit, ..Step::default() }) {}
        (search.highest(), search.steps.len())
    }

    #[test]
    fn the_limit_is_found_from_both_sides() {
        for limit in [3.0, 999.0, 1_000.0, 54_321.0, 1e6] {
            let (highest, steps) = found(1_000.0, limit);
            let highest = highest.expect("there is one");
            assert!(highest <= limit && highest * CLOSE >= limit, "{highest} for {limit}");
            assert!(steps <= 30, "{steps} steps");
        }
        assert_eq!(found(1_000.0, 0.1).0, None);
    }

    /// Each rate breaks the bound the first time.
    #[test]
    fn one_bad_moment_does_not_decide() {
        let mut search = Search::new(1_000.0);
        let mut tries = std::collections::BTreeMap::new();
        let mut holds = |rate: f64| {
            let count: &mut u32 = tries.entry(rate as u64).or_default();
            *count += 1;
            *count > 1 && rate <= 50_000.0
        };
        while search.judge(Step { holds: holds(search.rate()), ..Step::default() }) {}
        let highest = search.highest().expect("there is one");
        assert!(highest <= 50_000.0 && highest * CLOSE >= 50_000.0, "{highest}");
    }
}
