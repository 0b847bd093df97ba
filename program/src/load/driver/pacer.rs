//! When the next thing is due, at a given rate.

/// Evenly spaced times in nanoseconds. A late step does not move the times after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    start: u64,
    interval: f64,
    taken: u64,
}

impl Pacer {
    /// Returns a pacer of `rate` times per second. The first time is `start`.
    pub(crate) fn new(start: u64, rate: f64) -> Pacer {
        Pacer { start, interval: 1e9 / rate, taken: 0 }
    }

    /// Returns the next time.
    #[inline]
    pub(crate) fn due(&self) -> u64 {
        self.start.saturating_add((self.taken as f64 * self.interval) as u64)
    }

    /// Takes the next time if it is due, and returns it.
    #[inline]
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.due();
        (due <= now).then(|| {
            self.taken += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_steps_are_made_up_for_and_move_no_later_step() {
        let mut pacer = Pacer::new(1_000, 3e6);
        assert_eq!(pacer.take(999), None);
        assert_eq!((pacer.take(1_000), pacer.take(1_000)), (Some(1_000), None));
        let late: Vec<u64> = std::iter::from_fn(|| pacer.take(2_000)).collect();
        assert_eq!(late, [1_333, 1_666, 2_000]);
        let mut pacer = Pacer::new(0, 7.0);
        let count = std::iter::from_fn(|| pacer.take(3_600_000_000_000 - 1)).count();
        assert_eq!(count, 7 * 3_600, "none is lost to rounding in an hour");
    }
}
