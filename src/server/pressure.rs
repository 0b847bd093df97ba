//! What happens when clients together hold nearly as much memory as the server may use?
//!
//! | held, of the [`memory_budget`](super::Config::memory_budget) | what follows |
//! |---|---|
//! | less than three quarters | nothing |
//! | more | whoever holds more than is still free is not read any more: those who hold most, first. When it holds less than that, or enough is free again, it goes on; if that takes longer than [`pause_timeout`](super::Config::pause_timeout), it is closed |
//! | all of it | those who hold most are closed with 1013 until an eighth is free, and upgrades get 503 until a quarter is |
//!
//! A small message needs next to nothing, so those who send such ones notice nothing of it.

use super::client::{Client, ClientId, Flags};
use super::clients::Clients;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, State, Timeout};
use std::collections::VecDeque;
use std::time::Duration;

/// However short memory is, so much is read at a time.
const LEAST_READ: usize = 1 << 10;

/// What has come of memory running short.
#[derive(Debug)]
pub(crate) struct Pressure {
    timeout: Duration,
    /// Those who are not read, since when, the longest first. Some may be read again by now, or gone.
    paused: VecDeque<(ClientId, Tick)>,
    /// The budget has been used up, and not enough is free again to let newcomers in.
    is_full: bool,
    /// How often somebody was not read any more.
    pub(crate) pauses: u64,
    /// How many had to go because they held most.
    pub(crate) evictions: u64,
    /// How often the budget was used up.
    pub(crate) exhaustions: u64,
}

impl Pressure {
    pub(crate) const fn new(timeout: Duration) -> Pressure {
        Pressure { timeout, paused: VecDeque::new(), is_full: false, pauses: 0, evictions: 0, exhaustions: 0 }
    }

    /// Whether newcomers have to wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// When somebody has been paused for too long.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.paused.front().map(|(_, since)| since.after(self.timeout))
    }
}

impl<D> Clients<D> {
    /// How many bytes to read at a time: `most`, unless memory runs short.
    #[inline]
    pub(crate) fn read_size(&self, most: usize) -> usize {
        if self.shared.is_near_budget() { (self.shared.free_budget() / 16).clamp(LEAST_READ, most) } else { most }
    }

    /// After a read: makes sure that no more is held than may be. Whether what is queued should be written before more is
    /// read.
    #[inline]
    pub(crate) fn is_short(&mut self) -> bool {
        self.relieve();
        self.shared.is_near_budget() && !self.writable.is_empty()
    }

    /// Whether a client may not be read, because memory runs short and it holds more than is free; it is paused then.
    #[inline]
    pub(crate) fn must_pause(&mut self, index: usize) -> bool {
        self.shared.is_near_budget() && self.pauses(index)
    }

    #[cold]
    fn pauses(&mut self, index: usize) -> bool {
        self.shared.review_budget();
        if !self.shared.is_near_budget() || !self.holds_too_much(index) {
            return false;
        }
        let client = &mut self.slab[index];
        if client.flags.raise(Flags::PAUSED) {
            let id = client.id(index);
            self.pressure.pauses += 1;
            self.pressure.paused.push_back((id, self.now));
        }
        true
    }

    fn holds_too_much(&self, index: usize) -> bool {
        self.slab[index].connection.holds() > self.shared.free_budget()
    }

    /// A client holds less than before: if it was paused, it may go on.
    pub(crate) fn resume_lighter(&mut self, index: usize) {
        if self.slab[index].flags.has(Flags::PAUSED) && !self.holds_too_much(index) {
            self.resume_reading(index);
        }
    }

    fn resume_reading(&mut self, index: usize) {
        self.slab[index].flags.clear(Flags::PAUSED);
        if self.slab[index].flags.lower(Flags::UNREAD) {
            self.queue_read(index);
        }
    }

    /// Once a turn: lets go on who may, and ends those who have waited for too long.
    #[inline]
    pub(crate) fn review_pressure(&mut self) {
        if self.shared.is_near_budget() || self.pressure.is_full || !self.pressure.paused.is_empty() {
            self.review_paused();
        }
    }

    #[cold]
    fn review_paused(&mut self) {
        self.shared.review_budget();
        let is_near = self.shared.is_near_budget();
        if self.pressure.is_full && !is_near {
            self.pressure.is_full = false;
            log::info!("memory is free again: newcomers are welcome");
        }
        while let Some((id, since)) = self.pressure.paused.front().copied() {
            let is_over = since.after(self.pressure.timeout).is_due(self.now);
            let Some(index) = self.find(id).filter(|index| self.slab[*index].flags.has(Flags::PAUSED)) else {
                self.pressure.paused.pop_front();
                continue;
            };
            if !is_near || (is_over && !self.holds_too_much(index)) {
                self.resume_reading(index);
            } else if is_over {
                self.evict(index, CloseReason::Timeout(Timeout::Pause));
            } else {
                break;
            }
            self.pressure.paused.pop_front();
        }
    }

    /// If the budget is used up, those who hold most have to go.
    #[inline]
    pub(crate) fn relieve(&mut self) {
        if self.shared.is_over_budget() {
            self.evict_worst();
        }
    }

    #[cold]
    fn evict_worst(&mut self) {
        self.shared.review_budget();
        if !self.shared.is_over_budget() {
            return;
        }
        if !std::mem::replace(&mut self.pressure.is_full, true) {
            self.pressure.exhaustions += 1;
            let (held, clients) = (self.shared.held(), self.len());
            log::warn!(
                "{held} bytes are held for {clients} clients, nearly the whole memory budget: newcomers get 503, those who hold most are closed with 1013"
            );
        }
        // Those come last who have had no chance yet to take what waits for them.
        let holds = |(index, client): (usize, &Client<D>)| {
            let all = client.connection.holds();
            let is_to_blame = client.flags.has(Flags::BLOCKED) || client.connection.is_receiving();
            (all > 0 && client.connection.state() != State::Closed).then_some((is_to_blame, all, index))
        };
        let mut holders: Vec<(bool, usize, usize)> = self.slab.iter().filter_map(holds).collect();
        holders.sort_unstable();
        while let Some((_, _, index)) = holders.pop().filter(|_| !self.shared.is_relieved()) {
            self.pressure.evictions += 1;
            self.evict(index, CloseReason::Evicted);
        }
        self.shared.review_budget();
    }

    fn evict(&mut self, index: usize, reason: CloseReason) {
        self.slab[index].flags.clear(Flags::PAUSED);
        self.forget_latest(index);
        self.slab[index].connection.evict(&mut self.shared, self.now, reason);
        self.settle(index);
    }
}
