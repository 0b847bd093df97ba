//! When is the next thing due, if so many are due per second?

/// Points in time, evenly spaced, in nanoseconds. Being late moves none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    start: u64,
    interval: f64,
    taken: u64,
}

impl Pacer {
    /// `rate` per second, the first one at `start`.
    pub(crate) fn new(start: u64, rate: f64) -> Pacer {
        Pacer { start, interval: 1e9 / rate, taken: 0 }
    }

    /// When the next one is due.
    #[inline]
    pub(crate) fn due(&self) -> u64 {
        self.start.saturating_add((self.taken as f64 * self.interval) as u64)
    }

    /// Takes the next one if it is due, and says for when it was meant.
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
    fn lateness_is_made_up_for_and_never_moves_what_follows() {
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
