//! The two times of a loop.
//!
//! * The **loop's time** is that of timers. It passes as the poller's clock does, except while a
//!   watched loop is held.
//! * The **clients' time** is that of every deadline of a client. It also stands still while the
//!   loop is absent: its process is stopped, a handler takes long, or the host does not call it. So
//!   no client is closed for a silence that the server caused.
//!
//! The wheel counts in the loop's time. A client's deadline is armed with the clients' time that
//! has been lost so far. If more is lost until then, the deadline comes early, and is armed again.

use crate::protocol::time::{Epoch, LONGEST, Moment, Tick};
use crate::server::net::Clock;
use std::time::Duration;

/// The two times of a loop.
#[derive(Debug)]
pub(crate) struct LoopClock {
    clock: Clock,
    /// The beginning of the loop's time.
    epoch: Epoch,
    /// The beginning of the turn.
    turn: Moment,
    /// The loop's time at the beginning of the turn.
    now: Tick,
    /// Milliseconds of the loop's time that the clients' time has lost, modulo 2³².
    lost: u32,
}

impl LoopClock {
    pub(super) fn new(clock: Clock) -> LoopClock {
        let (epoch, turn) = (Epoch::default(), clock.now());
        LoopClock { clock, epoch, turn, now: epoch.tick(turn), lost: 0 }
    }

    /// Begins a turn.
    #[inline]
    pub(super) const fn begin_turn(&mut self, turn: Moment) {
        (self.turn, self.now) = (turn, self.epoch.tick(turn));
    }

    /// Returns the loop's time at the beginning of the turn.
    #[inline]
    pub(super) const fn now(&self) -> Tick {
        self.now
    }

    /// Returns the same in nanoseconds.
    pub(crate) const fn now_nanos(&self) -> u64 {
        self.epoch.nanos(self.turn)
    }

    /// Reads the clock, and returns the loop's time in nanoseconds. In a long turn, that is later
    /// than its beginning.
    pub(super) fn read_nanos(&self) -> u64 {
        self.epoch.nanos(self.clock.now())
    }

    /// Reads the clock, and returns the time since it began. It never stands still.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now().elapsed()
    }

    /// Returns the clients' time at the beginning of the turn.
    pub(super) const fn client_now(&self) -> Tick {
        Tick::from_millis(self.now().millis().wrapping_sub(self.lost))
    }

    /// Turns the clients' time into the loop's.
    pub(crate) const fn of_client(&self, time: Tick) -> Tick {
        Tick::from_millis(time.millis().wrapping_add(self.lost))
    }

    /// Returns how long it is from `now` until `due`, in the loop's time.
    pub(crate) const fn until(&self, due: Tick, now: Moment) -> Duration {
        self.epoch.until(due, now)
    }

    /// The loop's time stood still for this long, and then went on by `passes`.
    pub(crate) const fn stood_still(&mut self, stood: Duration, passes: Duration) {
        self.epoch = self.epoch.later(stood).sooner(passes);
    }

    /// The loop was absent. Ticks that lie further apart than [`LONGEST`] cannot be compared, so
    /// the loop's time passes no faster than that.
    pub(super) fn lose(&mut self, absent: Duration) {
        let lost = absent.min(LONGEST);
        self.epoch = self.epoch.later(absent - lost);
        self.now = self.epoch.tick(self.turn);
        self.lost = self.lost.wrapping_add(lost.as_millis() as u32);
    }
}
