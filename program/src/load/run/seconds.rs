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

    /// Returns the next second, once each process has told it or has ended.
    pub(super) fn next(&mut self) -> Option<&Second> {
        if self.parts.iter().any(|part| part.waiting.is_empty() && !part.has_ended) {
            return None;
        }
        let told = self.parts.iter_mut().filter_map(|part| part.waiting.pop_front());
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
