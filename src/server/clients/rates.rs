//! Rates: how much may a client send in a second?
//!
//! The loop has [rates](crate::Config::rates) for all clients, and a client can have its own
//! ([`Clients::set_rates`]). Without any, they cost nothing.

use super::bucket::Bucket;
use super::clients::Clients;
use crate::parts::OWN_RATES;
use crate::protocol::time::Tick;
use crate::protocol::{CloseCode, CloseReason, Role, State};
use crate::server::config::{Excess, Rates};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::{At, Reason};
use std::collections::HashMap;
use std::time::Duration;

/// With rates, the fewest and the most bytes of one read, so that a client cannot overdraw by much.
const LIMITED_READ: [usize; 2] = [256, 4 << 10];

/// Most messages take more bytes than this, with their header.
const SHORT_MESSAGE: usize = 16;

/// Returns the most bytes of one read. `None` without rates.
fn limited_read(rates: &Rates) -> Option<usize> {
    let messages = rates.messages_per_second.map(|rate| (rate as usize).saturating_mul(SHORT_MESSAGE));
    let bytes = rates.bytes_per_second.map(|rate| rate as usize);
    let least = messages.into_iter().chain(bytes).min();
    least.map(|least| least.clamp(LIMITED_READ[0], LIMITED_READ[1]))
}

/// What a client may still send.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    generation: u32,
    messages: Bucket,
    bytes: Bucket,
    /// [`RateLimits::lost`] as of the last charge.
    lost: f32,
}

/// The rates of all clients, and what each may still send.
#[derive(Debug)]
pub(crate) struct RateLimits {
    rates: Rates,
    own: HashMap<ClientId, Rates>,
    /// Whether any client has rates.
    are_used: bool,
    /// By index.
    allowances: Vec<Allowance>,
    /// Seconds for which the loop was absent.
    lost: f32,
}

impl RateLimits {
    pub(crate) fn new(rates: Rates) -> RateLimits {
        let are_used = !rates.are_off();
        RateLimits { rates, own: HashMap::new(), are_used, allowances: Vec::new(), lost: 0.0 }
    }

    /// Reserves memory for so many clients.
    pub(super) fn reserve(&mut self, clients: usize) {
        if self.are_used {
            self.allowances.reserve_exact(clients);
        }
    }

    /// The loop was absent.
    pub(super) fn lose_time(&mut self, absent: Duration) {
        self.lost += absent.as_secs_f32();
    }

    /// Returns whether any client has rates.
    pub(crate) const fn are_used(&self) -> bool {
        self.are_used
    }

    fn of(&self, id: ClientId) -> &Rates {
        self.own_rates(id).unwrap_or(&self.rates)
    }

    fn own_rates(&self, id: ClientId) -> Option<&Rates> {
        if OWN_RATES.is_used() { self.own.get(&id) } else { None }
    }

    pub(super) fn set(&mut self, index: usize, id: ClientId, rates: Rates) {
        OWN_RATES.use_it();
        self.own.insert(id, rates);
        self.are_used = true;
        if index < self.allowances.len() {
            self.allowances[index].generation = 0;
        }
    }

    /// Forgets a client that has ended.
    pub(super) fn forget(&mut self, id: ClientId) {
        if OWN_RATES.is_used() && self.own.remove(&id).is_some() {
            self.are_used = !self.own.is_empty() || !self.rates.are_off();
        }
    }

    /// Returns the rates of a client, and what it may still send: messages and bytes.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn carry(&self, index: usize, id: ClientId, now: Tick) -> (Option<Rates>, Option<(f32, f32)>) {
        if !self.are_used {
            return (None, None);
        }
        let rates = self.of(id);
        let allowance = self.allowances.get(index).filter(|allowance| allowance.generation == id.generation.get());
        let left = allowance.map(|allowance| {
            let tokens = |mut bucket: Bucket, rate: Option<f32>| {
                bucket.fill(rate.unwrap_or_default(), now, self.lost - allowance.lost);
                bucket.tokens
            };
            (tokens(allowance.messages, rates.messages()), tokens(allowance.bytes, rates.bytes()))
        });
        (self.own_rates(id).cloned(), left)
    }

    /// Gives a client of another process what it may still send.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn restore(&mut self, index: usize, id: ClientId, (messages, bytes): (f32, f32), now: Tick) {
        let tokens = |tokens: f32| Bucket::full(if tokens.is_finite() { tokens } else { 0.0 }, now);
        let (generation, lost) = (id.generation.get(), self.lost);
        let allowance = Allowance { generation, messages: tokens(messages), bytes: tokens(bytes), lost };
        if self.allowances.len() <= index {
            self.allowances.resize(index + 1, Allowance { generation: 0, ..allowance });
        }
        self.allowances[index] = allowance;
    }

    /// Charges a client for messages and bytes. Returns for how long it must not be read, and what
    /// else happens to it.
    fn charge(&mut self, index: usize, id: ClientId, sent: (u64, usize), now: Tick) -> Option<(Duration, Excess)> {
        let rates = self.of(id);
        let (messages_rate, bytes_rate, excess) = (rates.messages(), rates.bytes(), rates.excess);
        let full = |rate: Option<f32>| Bucket::full(rate.unwrap_or(0.0), now);
        let (messages, bytes) = (full(messages_rate), full(bytes_rate));
        let fresh = Allowance { generation: id.generation.get(), messages, bytes, lost: self.lost };
        if self.allowances.len() <= index {
            self.allowances.resize(index + 1, fresh);
        }
        let allowance = &mut self.allowances[index];
        if allowance.generation != id.generation.get() {
            *allowance = fresh;
        }
        let lost = self.lost - std::mem::replace(&mut allowance.lost, self.lost);
        let draw = |bucket: &mut Bucket, rate: Option<f32>, count: f32| {
            let rate = rate?;
            bucket.fill(rate, now, lost);
            bucket.tokens -= count;
            bucket.debt(rate)
        };
        let messages = draw(&mut allowance.messages, messages_rate, sent.0 as f32);
        let bytes = draw(&mut allowance.bytes, bytes_rate, sent.1 as f32);
        messages.into_iter().chain(bytes).max().map(|wait| (wait, excess))
    }
}

impl<D: ClientData> Clients<D> {
    /// Gives a client rates of its own, instead of [`Config::rates`](crate::Config::rates), from
    /// now on: for example more for a paying customer, less for somebody who has not logged in.
    /// `Rates::default()` sets no limit. Also limits a server to which we connect, which has no
    /// rates otherwise. Returns `false` if the client has disconnected.
    ///
    /// While any client has rates, all clients are read on a slower path (570 more instructions
    /// for a lone short message).
    ///
    /// ```
    /// # use lariat::{ClientId, Clients, Rates};
    /// # fn logged_in(clients: &mut Clients<()>, id: ClientId) {
    /// let mut rates = Rates::default();
    /// rates.messages_per_second = Some(100);
    /// clients.set_rates(id, rates);
    /// # }
    /// ```
    pub fn set_rates(&mut self, id: ClientId, rates: Rates) -> bool {
        let Some(index) = self.find(id) else { return false };
        self.rates.set(index, id, rates);
        self.table.open(index, Reason::Rate);
        true
    }

    /// Returns the size of a read of this client: `most` bytes, or less if rates limit it.
    pub(crate) fn limited_read(&self, index: usize, most: usize) -> usize {
        if !self.rates.are_used() {
            return most;
        }
        limited_read(self.rates.of(self.table[index].id(index))).map_or(most, |limit| limit.min(most))
    }

    /// Charges a client for what it has sent. If that was too much, it is not read for a while, or
    /// is closed.
    pub(crate) fn charge(&mut self, index: usize, messages: u64, bytes: usize) {
        if self.rates.are_used() {
            self.charge_now(index, messages, bytes);
        }
    }

    #[cold]
    fn charge_now(&mut self, index: usize, messages: u64, bytes: usize) {
        let At { client, shared, now, .. } = self.table.at(index);
        let id = client.id(index);
        let has_rates = client.connection.role() == Role::Server || self.rates.own_rates(id).is_some();
        if client.connection.state() != State::Open || !has_rates {
            return;
        }
        // What is held is charged when it is delivered.
        let bytes = bytes.saturating_sub(client.connection.held());
        let Some((wait, excess)) = self.rates.charge(index, id, (messages, bytes), now) else { return };
        match excess {
            Excess::Delay => {
                client.connection.excuse_message(wait);
                let was_open = self.table.close_until(index, Reason::Rate, now.after(wait));
                self.table.counters_mut().throttled += u64::from(was_open);
            }
            Excess::Close => {
                let text = "too much in too short a time";
                client.connection.close_and_drain(shared, now, CloseCode::Policy, text, CloseReason::TooFast);
                self.table.settle(index);
            }
        }
    }

    /// Opens the gate of a client that has waited long enough.
    pub(super) fn end_throttling(&mut self, index: usize) {
        let until = self.table.closed_until(index, Reason::Rate);
        if until.is_some_and(|until| until.is_due(self.table.now())) {
            self.table.open(index, Reason::Rate);
        }
    }
}
