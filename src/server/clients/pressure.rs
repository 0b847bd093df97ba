//! Defences when the memory budget runs short.
//!
//! | held, of the [`memory_budget`](crate::Config::memory_budget) | what the server does |
//! |---|---|
//! | less than three quarters | nothing |
//! | more | pauses clients that hold more than is free: it does not read them |
//! | all of it | evicts the clients that hold most, until an eighth is free |
//!
//! A paused client is resumed when it holds less than is free, or when enough is free. If neither
//! comes within the [`pause_timeout`](crate::Config::pause_timeout), it is closed. An evicted client
//! is closed with 1013. From the first eviction on, upgrades get 503 until a quarter is free. If
//! freeing the eighth takes longer than the pause timeout, more clients are evicted.
//!
//! An HTTP response must fit into what is free before it is queued. If it does not, clients are
//! evicted as above. If it still does not fit, its client gets 503.
//!
//! A small message needs little memory, so clients that send small messages are not affected.

use super::clients::Clients;
use crate::parts::GIVEN_DATA;
use crate::protocol::time::Tick;
use crate::protocol::{Answer, CloseReason, Mark, Rejection, State, Ticket, Timeout, Upgrade};
use crate::server::data::{ClientData, Stored};
use crate::server::table::{At, Client, Flags, Reason};
use std::collections::BinaryHeap;
use std::time::Duration;

/// The least time between two warnings that memory has run out.
const QUIET: Duration = Duration::from_secs(60);

/// Spare buffers that were not used for this long are freed.
const TRIM: Duration = Duration::from_secs(1);

/// The least size of a read, in bytes, when memory is short.
const LEAST_READ: usize = 1 << 10;

/// The state of the defences.
#[derive(Debug)]
pub(crate) struct Pressure {
    timeout: Duration,
    /// Bytes that were free when paused clients were last reviewed.
    free: usize,
    /// When the budget was used up, until enough is free. Until then, upgrades are refused.
    full_since: Option<Tick>,
    /// When spare buffers are to be freed.
    trim_at: Option<Tick>,
    /// When the last warning was logged.
    warned: Option<Tick>,
    /// How often a client was paused.
    pub(crate) pauses: u64,
    /// How many clients were evicted.
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
            warned: None,
            pauses: 0,
            evictions: 0,
            exhaustions: 0,
        }
    }

    /// Returns whether upgrades are refused.
    pub(crate) const fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Returns when [`review_pressure`](Clients::review_pressure) must be called at the latest.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        Tick::earliest(self.full_until(), self.trim_at)
    }

    fn full_until(&self) -> Option<Tick> {
        self.full_since.map(|since| since.after(self.timeout))
    }
}

impl<D: ClientData> Clients<D> {
    /// Returns the size of a read: `most` bytes, or less if memory is short.
    #[inline]
    pub(crate) fn read_size(&self, most: usize) -> usize {
        if self.table.shared().is_near_budget() {
            (self.table.shared().free_budget() / 16).clamp(LEAST_READ, most)
        } else {
            most
        }
    }

    /// Returns the most bytes to read in a turn: `most`, or less if memory is short, because what
    /// is read becomes output.
    pub(crate) fn read_share(&self, most: usize) -> usize {
        if self.table.shared().is_near_budget() {
            (self.table.shared().free_budget() / 4).clamp(LEAST_READ, most)
        } else {
            most
        }
    }

    // ---- pausing --------------------------------------------------------------------------------

    /// Pauses a client that is about to be read, if memory is short and it holds more than is free.
    /// A client that has closed its half is not paused: it sends little more, and then it holds
    /// nothing.
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

    /// Returns the bytes that would be free without this client.
    fn holds(&self, index: usize) -> usize {
        self.table[index].connection.holds() + self.conflated_bytes(index) + self.table.sessions().holds(index)
    }

    /// Returns whether a client holds more than is free. Compression contexts do not count, because
    /// they do not grow with what is read.
    fn holds_too_much(&self, index: usize) -> bool {
        self.holds(index) - self.table[index].connection.context_bytes() > self.table.shared().free_budget()
    }

    /// Resumes a paused client that now holds little enough.
    pub(crate) fn resume_lighter(&mut self, index: usize) {
        if self.table[index].is_closed(Reason::Memory) && !self.holds_too_much(index) {
            self.table.open(index, Reason::Memory);
        }
    }

    /// Notes that FIN or an error is to be read, and resumes the client so that it is read to its
    /// end.
    pub(crate) fn note_read_closed(&mut self, index: usize) {
        self.table[index].flags.set(Flags::READ_CLOSED);
        self.table.open(index, Reason::Memory);
    }

    /// Handles the deadline of a closed gate: opens it, or closes the client.
    pub(crate) fn end_waits(&mut self, index: usize) {
        self.end_throttling(index);
        self.end_pause(index);
    }

    /// Resumes a client whose pause has lasted too long, or evicts it if it still holds too much.
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

    /// Resumes clients and allows upgrades if enough memory is free.
    #[inline]
    pub(crate) fn review_pressure(&mut self) {
        if self.table.shared().is_near_budget() || self.pressure.is_full() || self.table.is_any_closed_by_memory() {
            self.review_all();
        }
    }

    /// Frees spare buffers that were not used for a while. It comes after the last step of a turn
    /// that gives buffers back, so that the loop does not sleep without a deadline for them.
    #[inline]
    pub(crate) fn trim_spares(&mut self) {
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
            self.table.shared_mut().trim_unused_spares();
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
            log::debug!("enough memory is free again: upgrades are accepted");
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

    // ---- eviction -------------------------------------------------------------------------------

    /// Evicts the clients that hold most, if the budget is used up.
    #[inline]
    pub(crate) fn relieve(&mut self) {
        if self.table.shared().is_over_budget() {
            self.exhausted();
        }
    }

    #[cold]
    fn exhausted(&mut self) {
        self.table.shared_mut().review_budget();
        if self.table.shared().is_over_budget() {
            self.used_up();
        }
    }

    fn used_up(&mut self) {
        if self.pressure.full_since.is_none() {
            self.pressure.full_since = Some(self.table.now());
            self.pressure.exhaustions += 1;
            let (held, clients, now) = (self.table.shared().held(), self.len_all(), self.table.now());
            // The budget may be used up many times in a second.
            let is_new = self.pressure.warned.is_none_or(|warned| warned.after(QUIET).is_due(now));
            let level = if is_new { log::Level::Warn } else { log::Level::Debug };
            self.pressure.warned = if is_new { Some(now) } else { self.pressure.warned };
            log::log!(
                level,
                "the memory budget is used up: {held} bytes for {clients} clients. Upgrades get 503, and the clients that hold most are closed with 1013"
            );
        }
        self.evict_until(Mark::Relieved);
        self.table.shared_mut().review_budget();
    }

    /// Answers a request. The client gets 503 if there is no room for the response, and 500 if
    /// there can never be.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] that was sent instead.
    pub(crate) fn respond(&mut self, index: usize, ticket: Ticket, mut answer: Answer) -> Result<(), Rejection> {
        let mut ticket = ticket;
        ticket.keeps_alive &= self.shutdown.is_none();
        let length = answer.memory(&ticket);
        if let Answer::Upgrade(Upgrade { subprotocol: Some(chosen), .. }) = &answer {
            self.table.set_subprotocol(index, chosen);
        }
        let lacks_data = match &mut answer {
            Answer::Upgrade(upgrade) if ticket.is_upgrade() => self.give(index, upgrade),
            Answer::Upgrade(_) | Answer::Respond(_) | Answer::Later => None,
        };
        let refusal = if lacks_data.is_some() {
            lacks_data
        } else if answer.is_streamed() && self.takes_no_more() {
            Some(Rejection::Unavailable)
        } else if length > self.table.shared().free_budget() {
            self.make_room(length)
        } else {
            None
        };
        let At { client, shared, now, .. } = self.table.at(index);
        match refusal.filter(|_| client.connection.state() == State::Deciding) {
            Some(rejection) => {
                client.connection.reject(shared, now, &ticket, rejection);
                Err(rejection)
            }
            None => client.connection.answer(shared, now, ticket, answer),
        }
    }

    /// Gives a client its data. Returns why the upgrade cannot be accepted, if it has none then.
    fn give(&mut self, index: usize, upgrade: &mut Upgrade) -> Option<Rejection> {
        let data = &mut self.table[index].data;
        if let Some(given) = upgrade.data.take().filter(|_| GIVEN_DATA.is_used()) {
            match given.take() {
                Some(given) => data.set(given),
                None => return Some(Rejection::BadAnswer("Upgrade::with_data: not the handler's type Data")),
            }
        }
        let has_data = data.get().is_some();
        (!has_data).then_some(Rejection::BadAnswer("the client has no data: use Upgrade::with_data"))
    }

    /// Makes room for a response. Returns why it cannot be sent, if there is still too little.
    #[cold]
    fn make_room(&mut self, length: usize) -> Option<Rejection> {
        if length > self.table.shared().whole_budget() {
            return Some(Rejection::BadAnswer("the response is larger than the memory budget"));
        }
        self.table.shared_mut().trim_all_spares();
        if length > self.table.shared().free_budget() && !self.table.shared().is_below(Mark::Relieved) {
            self.used_up();
        }
        (length > self.table.shared().free_budget()).then_some(Rejection::Unavailable)
    }

    /// Evicts the clients that hold most, until no more is held than at this mark. Clients that
    /// hold more than the average and are to blame come first.
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
        // A notice cannot be sent before the TLS handshake is over, or behind a half of a frame.
        let is_busy = self.table.sessions().is_busy(index);
        let At { client, shared, now, .. } = self.table.at(index);
        match is_busy {
            true => client.connection.end(shared, reason),
            false => client.connection.evict(shared, now, reason),
        }
        self.table.settle(index);
    }
}

/// Returns whether a client could hold less: its message does not end, or it does not take its
/// output.
fn is_to_blame<D: ClientData>(client: &Client<D>) -> bool {
    client.flags.has(Flags::BLOCKED) || client.connection.is_receiving()
}
