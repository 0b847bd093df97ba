//! Limits on who may connect, and on how much a client may send.
//!
//! All are off by default and then cost nothing.
//!
//! | limit | beyond it |
//! |---|---|
//! | [`max_connections`](crate::Config::max_connections) | upgrades get 503 |
//! | [`max_connections_per_address`](crate::Config::max_connections_per_address) | connections get 429 at once |
//! | [`handshakes_per_second`](crate::Config::handshakes_per_second) | upgrades get 503 |
//! | [`rates`](crate::Config::rates) | the client is not read for a while, or is closed with 1008 |
//!
//! Beyond twice as many of one address, connections are dropped without an answer.

use super::clients::Clients;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Rejection, Role, State};
use crate::server::config::{Config, Excess, Rates};
use crate::server::id::ClientId;
use crate::server::table::{At, Reason};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tungstenite::protocol::frame::coding::CloseCode;

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

/// What counts as one address: an IPv4 address, or the 64-bit network of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AddressGroup {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl AddressGroup {
    fn of(address: IpAddr) -> AddressGroup {
        match address.to_canonical() {
            IpAddr::V4(v4) => AddressGroup::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                AddressGroup::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// A token bucket. It fills at a rate, up to one second's worth, and may be overdrawn once.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f32,
    at: Tick,
}

impl Bucket {
    const fn full(rate: f32, now: Tick) -> Bucket {
        Bucket { tokens: rate, at: now }
    }

    /// Adds the tokens of the time that has passed, up to a second's worth. While the loop was
    /// absent for `lost` seconds, data has piled up, so their tokens are added without a limit.
    fn fill(&mut self, rate: f32, now: Tick, lost: f32) {
        let (passed, most) = (now.since(self.at).as_secs_f32(), rate.max(1.0));
        if self.tokens < most {
            self.tokens = (self.tokens + passed * rate).min(most);
        }
        self.tokens += lost * rate;
        self.at = now;
    }

    /// Returns the time until nothing is owed.
    fn debt(&self, rate: f32) -> Option<Duration> {
        (self.tokens < 0.0).then(|| Duration::from_secs_f32((-self.tokens / rate).clamp(0.001, 86_400.0)))
    }
}

/// What a client may still send.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    generation: u32,
    messages: Bucket,
    bytes: Bucket,
    /// [`Admission::lost`] as of the last charge.
    lost: f32,
}

/// The state of all limits.
#[derive(Debug)]
pub(crate) struct Admission {
    per_address: Option<u32>,
    counts: HashMap<AddressGroup, u32>,
    /// The group of each client, by index.
    groups: Vec<Option<AddressGroup>>,
    handshakes_per_second: Option<u32>,
    handshakes: Bucket,
    rates: Rates,
    /// The most bytes of one read, if that is limited.
    pub(super) limited_read: Option<usize>,
    allowances: Vec<Allowance>,
    /// Seconds for which the loop was absent.
    lost: f32,
}

impl Admission {
    pub(crate) fn new(config: &Config, now: Tick) -> Admission {
        let handshakes = config.handshakes_per_second.unwrap_or_default() as f32;
        Admission {
            per_address: config.max_connections_per_address,
            counts: HashMap::new(),
            groups: Vec::new(),
            handshakes_per_second: config.handshakes_per_second,
            handshakes: Bucket::full(handshakes, now),
            rates: config.rates.clone(),
            limited_read: limited_read(&config.rates),
            allowances: Vec::new(),
            lost: 0.0,
        }
    }

    /// The loop was absent.
    pub(super) fn lose_time(&mut self, absent: Duration) {
        self.lost += absent.as_secs_f32();
    }

    pub(crate) const fn counts_addresses(&self) -> bool {
        self.per_address.is_some()
    }

    /// Counts a client whose address has become known. Returns how many its group has.
    fn enter(&mut self, index: usize, address: IpAddr) -> u32 {
        self.leave(index);
        if self.groups.len() <= index {
            self.groups.resize(index + 1, None);
        }
        let group = AddressGroup::of(address);
        self.groups[index] = Some(group);
        let count = self.counts.entry(group).or_default();
        *count += 1;
        *count
    }

    /// Stops counting a client.
    fn leave(&mut self, index: usize) {
        let Some(group) = self.groups.get_mut(index).and_then(Option::take) else { return };
        if let Some(count) = self.counts.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&group);
            }
        }
    }

    /// Returns whether one more opening handshake is allowed now, and counts it.
    fn takes_handshake(&mut self, now: Tick) -> bool {
        let Some(rate) = self.handshakes_per_second else { return true };
        self.handshakes.fill(rate as f32, now, 0.0);
        let has_room = self.handshakes.tokens >= 1.0;
        if has_room {
            self.handshakes.tokens -= 1.0;
        }
        has_room
    }

    /// Charges a client for messages and bytes. Returns for how long it must not be read.
    fn charge(&mut self, index: usize, id: ClientId, sent: (u64, usize), now: Tick) -> Option<Duration> {
        let messages_rate = self.rates.messages_per_second.map(|rate| rate as f32);
        let bytes_rate = self.rates.bytes_per_second.map(|rate| rate as f32);
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
        messages.into_iter().chain(bytes).max()
    }
}

/// What to do with a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// Refused with a response.
    Refused,
    /// Dropped. There are so many that responses would cost too much.
    Dropped,
}

impl<D> Clients<D> {
    /// Counts a client whose address has become known, and returns whether it is admitted.
    pub(crate) fn count_address(&mut self, index: usize, address: IpAddr) -> Verdict {
        let Some(most) = self.admission.per_address else { return Verdict::Admitted };
        let count = self.admission.enter(index, address);
        if count <= most {
            Verdict::Admitted
        } else if count <= most.saturating_mul(2) {
            Verdict::Refused
        } else {
            Verdict::Dropped
        }
    }

    /// Stops counting a client that ends.
    pub(crate) fn uncount_address(&mut self, index: usize) {
        if self.admission.counts_addresses() {
            self.admission.leave(index);
        }
    }

    /// Returns why an upgrade is refused now, if it is. Counts the handshake.
    pub(crate) fn refuse_upgrade(&mut self) -> Option<Rejection> {
        let is_full = self.table.len() > self.max_connections || self.pressure.is_full();
        let refuses = self.shutdown.is_some() || is_full || !self.admission.takes_handshake(self.table.now());
        refuses.then_some(Rejection::Unavailable)
    }

    /// Returns `most`, or the most bytes of one read if that is less.
    pub(crate) const fn limited_read(&self, most: usize) -> usize {
        match self.admission.limited_read {
            Some(limit) if limit < most => limit,
            Some(_) | None => most,
        }
    }

    /// Charges a client for what it has sent. If that was too much, it is not read for a while, or
    /// is closed.
    pub(crate) fn charge(&mut self, index: usize, messages: u64, bytes: usize) {
        if !self.admission.rates.are_off() {
            self.charge_now(index, messages, bytes);
        }
    }

    #[cold]
    fn charge_now(&mut self, index: usize, messages: u64, bytes: usize) {
        let At { client, shared, now, .. } = self.table.at(index);
        if client.connection.state() != State::Open || client.connection.role() != Role::Server {
            return;
        }
        let id = client.id(index);
        let Some(wait) = self.admission.charge(index, id, (messages, bytes), now) else { return };
        match self.admission.rates.excess {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address_and_a_mapped_address_is_ipv4() {
        let of = |text: &str| AddressGroup::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
