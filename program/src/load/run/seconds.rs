//! The seconds of several processes, added up as they come.

use crate::load::measure::Second;
use std::collections::VecDeque;

/// The seconds of several processes.
pub(super) struct Seconds {
    parts: Vec<Part>,
    /// The sums so far.
    pub(super) series: Vec<Second>,
}

#[derive(Clone, Default)]
struct Part {
    /// Seconds that are not added up yet.
    waiting: VecDeque<Second>,
    has_ended: bool,
}

impl Seconds {
    pub(super) fn new(parts: usize) -> Seconds {
        Seconds { parts: vec![Part::default(); parts], series: Vec::new() }
    }

    pub(super) fn push(&mut self, part: usize, second: Second) {
        self.parts[part].waiting.push_back(second);
    }

    /// No more seconds come from this process.
    pub(super) fn end(&mut self, part: usize) {
        self.parts[part].has_ended = true;
    }

    /// Returns the next second, once each process has told it, has told a later one, or has ended.
    pub(super) fn next(&mut self) -> Option<&Second> {
        if self.parts.iter().any(|part| part.waiting.is_empty() && !part.has_ended) {
            return None;
        }
        let number = self.parts.iter().filter_map(|part| part.waiting.front()).map(Second::number).min()?;
        let told = self.parts.iter_mut().filter_map(|part| {
            let is_due = part.waiting.front().is_some_and(|second| second.number() == number);
            if is_due { part.waiting.pop_front() } else { None }
        });
        let sum = told.reduce(|mut sum, second| {
            sum.add(&second);
            sum
        });
        self.series.push(sum?);
        self.series.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_held_up_does_not_shift_the_seconds_after_it() {
        let second = |at_s, length_s, sent| Second { at_s, length_s, sent, ..Second::default() };
        let mut seconds = Seconds::new(2);
        (1..=6).for_each(|at| seconds.push(0, second(f64::from(at) + 0.001, 1.0, 1)));
        // It stands still from 1.5 s to 4.5 s.
        for (at_s, length_s) in [(1.0, 1.0), (4.5, 3.5), (5.0, 0.5), (6.0, 1.0)] {
            seconds.push(1, second(at_s, length_s, 100));
        }
        while seconds.next().is_some() {}
        let sums: Vec<(u64, u64)> = seconds.series.iter().map(|second| (second.number(), second.sent)).collect();
        assert_eq!(sums, [(0, 101), (1, 1), (2, 1), (3, 1), (4, 101), (4, 100), (5, 101)]);
    }

    #[test]
    fn a_second_is_complete_once_all_have_told_it_or_ended() {
        let mut seconds = Seconds::new(3);
        let second = |sent, p99_us| Second { sent, p99_us, ..Second::default() };
        seconds.push(0, second(1, 5.0));
        seconds.push(0, second(10, 5.0));
        seconds.push(1, second(2, 9.0));
        assert_eq!(seconds.next(), None);
        seconds.push(2, second(3, 7.0));
        assert_eq!(seconds.next(), Some(&second(6, 9.0)));
        assert_eq!(seconds.next(), None);
        // One has been killed, and another has reached its end.
        seconds.end(1);
        assert_eq!(seconds.next(), None);
        seconds.end(2);
        assert_eq!(seconds.next(), Some(&second(10, 5.0)));
        assert_eq!(seconds.next(), None);
        seconds.end(0);
        assert_eq!(seconds.next(), None);
        assert_eq!(seconds.series.len(), 2);
    }
}
