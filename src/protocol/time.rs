//! Time for connections: a count of milliseconds in four bytes.
//!
//! A reading of a clock takes 8 or 16 bytes, and a connection keeps several points in time, so the
//! protocol counts in [`Tick`]s. They wrap around after 49.7 days. Two of them can be compared if
//! they lie less than [`LONGEST`] apart, and every deadline is checked long before that.

use std::time::Duration;

/// The longest timeout that can be expressed: 12 days, less than half of the wrap-around.
pub const LONGEST: Duration = Duration::from_secs(12 * 24 * 60 * 60);

/// A point in time: milliseconds since the loop's [`Epoch`], modulo 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tick(u32);

impl Tick {
    /// The tick with this number of milliseconds.
    pub const fn from_millis(millis: u32) -> Tick {
        Tick(millis)
    }

    /// The first tick that does not begin before so many nanoseconds have passed.
    pub const fn not_before(nanos: u64) -> Tick {
        Tick(nanos.div_ceil(NANOS) as u32)
    }

    /// Milliseconds since the epoch, modulo 2³².
    pub const fn millis(self) -> u32 {
        self.0
    }

    /// Returns the point `timeout` later, rounded up to a whole millisecond and capped at
    /// [`LONGEST`].
    #[must_use]
    pub fn after(self, timeout: Duration) -> Tick {
        let timeout = timeout.min(LONGEST);
        let millis = timeout.as_secs() as u32 * 1_000 + timeout.subsec_nanos().div_ceil(1_000_000);
        Tick(self.0.wrapping_add(millis))
    }

    /// Returns the point `ago` earlier, rounded to an earlier whole millisecond and capped at
    /// [`LONGEST`].
    #[must_use]
    pub fn before(self, ago: Duration) -> Tick {
        Tick(self.0.wrapping_sub(Tick(0).after(ago).0))
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Tick) -> Duration {
        let millis = self.0.wrapping_sub(earlier.0) as i32;
        Duration::from_millis(millis.max(0) as u64)
    }

    /// Whether this point comes before `other`.
    pub const fn is_before(self, other: Tick) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether a deadline at this point has come at `now`.
    pub const fn is_due(self, now: Tick) -> bool {
        !now.is_before(self)
    }

    /// Returns the earlier of the two.
    #[must_use]
    pub const fn earlier(self, other: Tick) -> Tick {
        if other.is_before(self) { other } else { self }
    }

    /// Returns the earlier of two points that may be missing.
    pub const fn earliest(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.earlier(other)),
            (Some(only), None) | (None, Some(only)) => Some(only),
            (None, None) => None,
        }
    }
}

/// A reading of the loop's clock: nanoseconds since its start. They suffice for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `elapsed` after the start.
    pub const fn new(elapsed: Duration) -> Moment {
        Moment(elapsed.as_secs() * 1_000_000_000 + elapsed.subsec_nanos() as u64)
    }

    /// The time since the start.
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns the nanoseconds since `earlier`; zero if that is later.
    pub const fn nanos_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// Returns the moment `by` later.
    #[must_use]
    pub const fn after(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(Moment::new(by).0))
    }
}

/// The moment from which a loop counts its ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch(Moment);

impl Epoch {
    /// Moves the epoch `by` later: time has stood still.
    #[must_use]
    pub const fn later(self, by: Duration) -> Epoch {
        Epoch(self.0.after(by))
    }

    /// Moves the epoch `by` earlier: time has passed after all.
    #[must_use]
    pub const fn sooner(self, by: Duration) -> Epoch {
        Epoch(Moment(self.0.nanos_since(Moment::new(by))))
    }

    /// Returns the nanoseconds that have passed at `now`.
    pub const fn nanos(self, now: Moment) -> u64 {
        now.nanos_since(self.0)
    }

    /// Returns the tick at `now`: the whole milliseconds that have passed.
    pub const fn tick(self, now: Moment) -> Tick {
        Tick((now.nanos_since(self.0) / NANOS) as u32)
    }

    /// Returns the time from `now` until the tick `due` begins; zero if it has begun.
    pub const fn until(self, due: Tick, now: Moment) -> Duration {
        let elapsed = now.nanos_since(self.0);
        let millis = due.0.wrapping_sub((elapsed / NANOS) as u32) as i32;
        if millis <= 0 { Duration::ZERO } else { Duration::from_nanos(millis as u64 * NANOS - elapsed % NANOS) }
    }
}

/// Nanoseconds of a tick.
const NANOS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_compare_across_the_wrap_around() {
        let before = Tick(u32::MAX - 5);
        let after = before.after(Duration::from_millis(10));
        assert_eq!(after, Tick(4));
        assert!(before.is_before(after) && !after.is_before(before));
        assert!(!after.is_due(before) && before.is_due(after) && after.is_due(after));
        assert_eq!(after.since(before), Duration::from_millis(10));
        assert_eq!(before.since(after), Duration::ZERO);
        assert_eq!(after.earlier(before), before);
    }

    #[test]
    fn a_tick_begins_when_its_count_of_milliseconds_has_passed() {
        let micros = Duration::from_micros;
        let (epoch, now) = (Epoch::default().later(micros(500)), Moment::new(micros(11_200)));
        assert_eq!(epoch.tick(now), Tick(10));
        assert_eq!(epoch.until(Tick(13), now), micros(2_300));
        assert_eq!(epoch.until(Tick(10), now), Duration::ZERO);
        assert_eq!(epoch.until(Tick(5), now), Duration::ZERO);
        assert_eq!(epoch.sooner(micros(500)).tick(now), Tick(11));
        assert_eq!(epoch.later(micros(50_000)).tick(now), Tick(0));
    }

    #[test]
    fn moments_are_as_far_apart_as_the_clock_says() {
        let (first, long) = (Moment::new(Duration::from_secs(3)), Duration::from_secs(40 * 365 * 86_400));
        assert_eq!(first.after(long).since(first), long);
        assert_eq!(first.since(first.after(long)), Duration::ZERO);
        assert_eq!(first.after(long).elapsed(), long + Duration::from_secs(3));
    }

    #[test]
    fn a_timeout_is_never_shortened() {
        assert_eq!(Tick(0).after(Duration::from_nanos(1)), Tick(1));
        assert_eq!(Tick(0).after(Duration::from_micros(1_000)), Tick(1));
        assert_eq!(Tick(0).after(Duration::MAX), Tick(LONGEST.as_millis() as u32));
    }
}
