//! What happens when clients together hold nearly as much memory as the server may use?
//!
//! | held, of the [`memory_budget`](crate::Config::memory_budget) | what follows |
//! |---|---|
//! | less than three quarters | nothing |
//! | more | whoever holds more than is still free is not read any more: those who hold most, first. When it holds less than that, or enough is free again, it goes on; if that takes longer than [`pause_timeout`](crate::Config::pause_timeout), it is closed |
//! | all of it | those who hold most are closed with 1013 until an eighth is free, and upgrades get 503 until a quarter is; if that takes longer than the pause timeout, more are closed |
//!
//! A small message needs next to nothing, so those who send such ones notice nothing of it.

use super::clients::Clients;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Mark, State, Timeout};
use crate::server::table::{At, Client, Flags, Reason};
use std::collections::BinaryHeap;
use std::time::Duration;

/// That memory has run out is told so often, and not more.
const QUIET: Duration = Duration::from_secs(60);

/// Spare buffers that were not needed for so long are freed.
const TRIM: Duration = Duration::from_secs(1);

/// However short memory is, so much is read at a time.
const LEAST_READ: usize = 1 << 10;

/// What has come of memory running short.
#[derive(Debug)]
pub(crate) struct Pressure {
    timeout: Duration,
    /// Bytes that were free when it was last asked who of them may go on.
    free: usize,
    /// Since when newcomers have to wait: the budget was used up then, and not enough has become
    /// free.
    full_since: Option<Tick>,
    /// When spare buffers are to be freed, if there are many.
    trim_at: Option<Tick>,
    /// When the log was told so last.
    told: Option<Tick>,
    /// How often somebody was not read any more.
    pub(crate) pauses: u64,
    /// How many had to go because they held most.
    pub(crate) evictions: u64,
    /// How often the budget was used up.
    pub(crate) exhaustions: u64,
}

impl Pressure {
    pub(crate) const fn new(timeout: Duration) -> Pressure {
        Pressure {
            timeout,
            free: 0,
            full_since: None,
            trim_at: None,
            told: None,
            pauses: 0,
            evictions: 0,
            exhaustions: 0,
        }
    }

    /// Whether newcomers have to wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// When newcomers have waited for too long, or buffers have been spare for long enough.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        Tick::earliest(self.full_until(), self.trim_at)
    }

    fn full_until(&self) -> Option<Tick> {
        self.full_since.map(|since| since.after(self.timeout))
    }
}

impl<D> Clients<D> {
    /// How many bytes to read at a time: `most`, unless memory runs short.
    #[inline]
    pub(crate) fn read_size(&self, most: usize) -> usize {
        if self.table.shared().is_near_budget() {
            (self.table.shared().free_budget() / 16).clamp(LEAST_READ, most)
        } else {
            most
        }
    }

    /// How many bytes to read in a turn: `most`, unless memory runs short. What is read becomes
    /// output.
    pub(crate) fn read_share(&self, most: usize) -> usize {
        if self.table.shared().is_near_budget() {
            (self.table.shared().free_budget() / 4).clamp(LEAST_READ, most)
        } else {
            most
        }
    }

    // ---- those who are not read -----------------------------------------------------------------

    /// Closes the gate of a client that is to be read, if memory is short and it holds more than is
    /// free. Not of one that has hung up: not much more can come, and then it holds nothing.
    #[inline]
    pub(crate) fn pause_if_heavy(&mut self, index: usize) {
        if self.table.shared().is_near_budget() && !self.table[index].flags.has(Flags::READ_CLOSED) {
            self.pause_if_too_heavy(index);
        }
    }

    #[cold]
    fn pause_if_too_heavy(&mut self, index: usize) {
        self.table.shared_mut().review_budget();
        if !self.table.shared().is_near_budget() || !self.holds_too_much(index) {
            return;
        }
        let until = self.table.now().after(self.pressure.timeout);
        if self.table.close_until(index, Reason::Memory, until) {
            self.pressure.pauses += 1;
            self.pressure.free = self.table.shared().free_budget();
        }
    }

    /// Bytes that others could have if a client were gone.
    fn holds(&self, index: usize) -> usize {
        self.table[index].connection.holds() + self.waits_apart(index)
    }

    /// Contexts do not count: they do not grow with what is read.
    fn holds_too_much(&self, index: usize) -> bool {
        self.holds(index) - self.table[index].connection.context_bytes() > self.table.shared().free_budget()
    }

    /// A client holds less than before: if it was paused, it may go on.
    pub(crate) fn resume_lighter(&mut self, index: usize) {
        if self.table[index].is_closed(Reason::Memory) && !self.holds_too_much(index) {
            self.table.open(index, Reason::Memory);
        }
    }

    /// A client has hung up, or its connection is broken: if it was paused, it goes on, to its end.
    pub(crate) fn note_read_closed(&mut self, index: usize) {
        self.table[index].flags.set(Flags::READ_CLOSED);
        self.table.open(index, Reason::Memory);
    }

    /// Something is due for a client that is not read: perhaps it may be again, or has to go.
    pub(crate) fn end_waits(&mut self, index: usize) {
        self.end_throttling(index);
        self.end_pause(index);
    }

    /// If a client has been paused for too long, it goes, unless it may go on.
    fn end_pause(&mut self, index: usize) {
        let until = self.table.closed_until(index, Reason::Memory);
        if !until.is_some_and(|until| until.is_due(self.table.now())) {
            return;
        }
        self.table.shared_mut().review_budget();
        if self.table.shared().is_near_budget() && self.holds_too_much(index) {
            self.evict(index, CloseReason::Timeout(Timeout::Pause));
        } else {
            self.table.open(index, Reason::Memory);
        }
    }

    // ---- once a turn ----------------------------------------------------------------------------

    /// Lets go on who may, and newcomers in when there is room for them.
    #[inline]
    pub(crate) fn review_pressure(&mut self) {
        if self.table.shared().is_near_budget() || self.pressure.is_full() || self.table.is_any_closed_by_memory() {
            self.review_all();
        }
        if self.pressure.trim_at.is_some() || self.table.shared().has_ample_spares() {
            self.review_spares();
        }
    }

    #[cold]
    fn review_spares(&mut self) {
        if self.pressure.trim_at.is_some_and(|due| !due.is_due(self.table.now())) {
            return;
        }
        if self.pressure.trim_at.is_some() {
            self.table.shared_mut().trim_spares(false);
        }
        self.pressure.trim_at = self.table.shared().has_ample_spares().then(|| self.table.now().after(TRIM));
    }

    #[cold]
    fn review_all(&mut self) {
        if self.pressure.full_until().is_some_and(|due| due.is_due(self.table.now())) {
            self.evict_until(Mark::Near);
            self.pressure.full_since = None;
        }
        self.table.shared_mut().review_budget();
        let (is_near, free) = (self.table.shared().is_near_budget(), self.table.shared().free_budget());
        if !is_near && self.pressure.full_since.take().is_some() {
            log::debug!("memory is free again: newcomers are welcome");
        }
        if is_near && free <= self.pressure.free {
            return;
        }
        self.pressure.free = free;
        for index in self.table.closed_by_memory() {
            if !is_near || !self.holds_too_much(index) {
                self.table.open(index, Reason::Memory);
            }
        }
    }

    // ---- those who have to go -------------------------------------------------------------------

    /// If the budget is used up, those who hold most have to go.
    #[inline]
    pub(crate) fn relieve(&mut self) {
        if self.table.shared().is_over_budget() {
            self.exhausted();
        }
    }

    #[cold]
    fn exhausted(&mut self) {
        self.table.shared_mut().review_budget();
        if !self.table.shared().is_over_budget() {
            return;
        }
        if self.pressure.full_since.is_none() {
            self.pressure.full_since = Some(self.table.now());
            self.pressure.exhaustions += 1;
            let (held, clients, now) = (self.table.shared().held(), self.len_all(), self.table.now());
            // It may come and go many times in a second.
            let is_new = self.pressure.told.is_none_or(|told| told.after(QUIET).is_due(now));
            let level = if is_new { log::Level::Warn } else { log::Level::Debug };
            self.pressure.told = if is_new { Some(now) } else { self.pressure.told };
            log::log!(
                level,
                "{held} bytes are held for {clients} clients, nearly the whole memory budget: newcomers get 503, those who hold most are closed with 1013"
            );
        }
        self.evict_until(Mark::Relieved);
        self.table.shared_mut().review_budget();
    }

    /// Closes those who hold most. First among those who hold more than the average come those who
    /// have had their chance: whose message does not end, or who do not take what waits for
    /// them.
    fn evict_until(&mut self, mark: Mark) {
        let mut holders: Vec<(bool, usize, usize)> = Vec::new();
        let mut sum = 0;
        for (index, client) in self.table.iter() {
            let holds = self.holds(index);
            if holds > 0 && client.connection.state() != State::Closed {
                sum += holds;
                holders.push((is_to_blame(client), holds, index));
            }
        }
        let average = sum / holders.len().max(1);
        holders.iter_mut().for_each(|(is_to_blame, holds, _)| *is_to_blame &= *holds >= average);
        let mut holders = BinaryHeap::from(holders);
        while let Some((_, _, index)) = holders.pop().filter(|_| !self.table.shared().is_below(mark)) {
            self.pressure.evictions += 1;
            self.evict(index, CloseReason::Evicted);
        }
    }

    fn evict(&mut self, index: usize, reason: CloseReason) {
        self.forget_latest(index);
        let At { client, shared, now, .. } = self.table.at(index);
        client.connection.evict(shared, now, reason);
        self.table.settle(index);
    }
}

/// Whether a client has had its chance to hold less.
fn is_to_blame<D>(client: &Client<D>) -> bool {
    client.flags.has(Flags::BLOCKED) || client.connection.is_receiving()
}
