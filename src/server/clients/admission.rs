//! Limits on who may connect.
//!
//! All are off by default and then cost nothing.
//!
//! | limit | beyond it |
//! |---|---|
//! | `max_connections` | upgrades and streamed responses get 503 |
//! | `max_connections_per_address` | connections get 429 at once |
//! | `handshakes_per_second` | upgrades get 503 |
//!
//! Beyond twice as many of one address, connections are dropped without an answer.

use super::bucket::Bucket;
use super::clients::Clients;
use super::queue::lock;
use crate::protocol::time::Tick;
use crate::protocol::{Rejection, State};
use crate::server::config::Config;
use crate::server::data::ClientData;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

/// What counts as one address: an IPv4 address, or the 64-bit network of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AddressGroup {
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

#[cfg(all(unix, feature = "handover"))]
impl AddressGroup {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            AddressGroup::V4(bytes) => bytes.to_vec(),
            AddressGroup::V6(bytes) => bytes.to_vec(),
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<AddressGroup> {
        let v4 = || bytes.try_into().map(AddressGroup::V4).ok();
        v4().or_else(|| bytes.try_into().map(AddressGroup::V6).ok())
    }
}

/// How many connections each address has.
type Counts = HashMap<AddressGroup, u32>;

/// One more of an address. Returns how many there are.
fn enter(counts: &mut Counts, group: AddressGroup) -> u32 {
    let count = counts.entry(group).or_default();
    *count += 1;
    *count
}

/// One less of an address.
fn leave(counts: &mut Counts, group: AddressGroup) {
    if let Some(count) = counts.get_mut(&group) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&group);
        }
    }
}

/// Takes a token for an opening handshake. Returns `false` if there is none.
fn take_one(bucket: &mut Bucket, rate: u32, now: Tick) -> bool {
    bucket.fill(rate as f32, now, 0.0);
    let has_room = bucket.tokens >= 1.0;
    if has_room {
        bucket.tokens -= 1.0;
    }
    has_room
}

/// The state of limits that hold for all loops of a server together.
#[derive(Debug)]
pub(crate) struct SharedLimits {
    counts: Mutex<Counts>,
    handshakes: Mutex<Bucket>,
}

impl SharedLimits {
    pub(crate) fn new(config: &Config) -> SharedLimits {
        let rate = config.handshakes_per_second.unwrap_or_default() as f32;
        SharedLimits { counts: Mutex::default(), handshakes: Mutex::new(Bucket::full(rate, Tick::from_millis(0))) }
    }

    /// Stops counting a connection that no loop has.
    pub(super) fn uncount(&self, group: AddressGroup) {
        leave(&mut lock(&self.counts), group);
    }

    /// Returns whether one more opening handshake is allowed now, and counts it. `elapsed` is the
    /// time since the clock of all loops began.
    fn takes_handshake(&self, rate: Option<u32>, elapsed: Duration) -> bool {
        let now = Tick::not_before(elapsed.as_nanos() as u64);
        rate.is_none_or(|rate| take_one(&mut lock(&self.handshakes), rate, now))
    }
}

/// The state of all limits.
#[derive(Debug)]
pub(crate) struct Admission {
    per_address: Option<u32>,
    counts: Counts,
    /// The group of each client, by index.
    groups: Vec<Option<AddressGroup>>,
    handshakes_per_second: Option<u32>,
    handshakes: Bucket,
}

impl Admission {
    pub(crate) fn new(config: &Config, now: Tick) -> Admission {
        let handshakes = config.handshakes_per_second.unwrap_or_default() as f32;
        Admission {
            per_address: config.max_connections_per_address,
            counts: Counts::new(),
            groups: Vec::new(),
            handshakes_per_second: config.handshakes_per_second,
            handshakes: Bucket::full(handshakes, now),
        }
    }

    /// Reserves memory for so many clients.
    pub(super) fn reserve(&mut self, clients: usize) {
        if self.per_address.is_some() {
            self.groups.reserve_exact(clients);
            // A map grows unless at least half of it is free.
            self.counts.reserve(2 * clients);
        }
    }

    pub(crate) const fn counts_addresses(&self) -> bool {
        self.per_address.is_some()
    }

    /// Notes the group of a client.
    pub(crate) fn set_group(&mut self, index: usize, group: AddressGroup) {
        if self.groups.len() <= index {
            self.groups.resize(index + 1, None);
        }
        self.groups[index] = Some(group);
    }

    /// Forgets the group of a client, and returns it.
    pub(super) fn take_group(&mut self, index: usize) -> Option<AddressGroup> {
        self.groups.get_mut(index)?.take()
    }

    /// Returns whether one more opening handshake is allowed now, and counts it.
    fn takes_handshake(&mut self, now: Tick) -> bool {
        self.handshakes_per_second.is_none_or(|rate| take_one(&mut self.handshakes, rate, now))
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

#[cfg(all(unix, feature = "handover"))]
impl<D: ClientData> Clients<D> {
    /// Returns what a client counts as, if addresses are counted.
    pub(super) fn address_group(&self, index: usize) -> Option<AddressGroup> {
        self.admission.groups.get(index).copied().flatten()
    }

    /// Counts a client of another process.
    pub(super) fn count_group(&mut self, index: usize, group: AddressGroup) {
        if self.admission.counts_addresses() {
            self.enter_group(index, group);
        }
    }
}

impl<D: ClientData> Clients<D> {
    /// Counts a client as one of a group. Returns how many there are.
    fn enter_group(&mut self, index: usize, group: AddressGroup) -> u32 {
        self.admission.set_group(index, group);
        match self.peers() {
            Some(peers) => enter(&mut lock(&peers.limits().counts), group),
            None => enter(&mut self.admission.counts, group),
        }
    }

    /// Counts a client whose address has become known, and returns whether it is admitted.
    pub(crate) fn count_address(&mut self, index: usize, address: IpAddr) -> Verdict {
        let Some(most) = self.admission.per_address else { return Verdict::Admitted };
        self.uncount_address(index);
        let group = AddressGroup::of(address);
        let count = self.enter_group(index, group);
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
        if let Some(group) = self.admission.take_group(index) {
            match self.peers() {
                Some(peers) => leave(&mut lock(&peers.limits().counts), group),
                None => leave(&mut self.admission.counts, group),
            }
        }
    }

    /// Returns why an upgrade is refused now, if it is. Counts the handshake.
    pub(crate) fn refuse_upgrade(&mut self) -> Option<Rejection> {
        let takes_handshake = match self.peers() {
            Some(peers) => {
                let elapsed = self.table.clock().elapsed();
                peers.limits().takes_handshake(self.admission.handshakes_per_second, elapsed)
            }
            None => self.admission.takes_handshake(self.table.now()),
        };
        let refuses = self.takes_no_more() || !takes_handshake;
        refuses.then_some(Rejection::Unavailable)
    }

    /// Returns whether upgrades and responses that last are refused now: the server stops or is
    /// full.
    pub(super) fn takes_no_more(&self) -> bool {
        // In a burst, all would be too many if those counted that have not asked for anything yet.
        let silent = self.table.shared().counters.in_state(State::Handshaking);
        self.connections_of_all_loops().saturating_sub(silent) > self.max_connections || self.is_closed_to_new()
    }

    /// Returns whether the application can add no connection now: the server stops or is full.
    pub(super) fn adopts_no_more(&self) -> bool {
        self.connections_of_all_loops() >= self.max_connections || self.is_closed_to_new()
    }

    fn is_closed_to_new(&self) -> bool {
        self.shutdown.is_some() || self.pressure.is_full()
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
