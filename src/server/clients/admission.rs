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
use crate::protocol::Rejection;
use crate::protocol::time::Tick;
use crate::server::config::Config;
use crate::server::data::ClientData;
use std::collections::HashMap;
use std::net::IpAddr;

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

/// The state of all limits.
#[derive(Debug)]
pub(crate) struct Admission {
    per_address: Option<u32>,
    counts: HashMap<AddressGroup, u32>,
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
            counts: HashMap::new(),
            groups: Vec::new(),
            handshakes_per_second: config.handshakes_per_second,
            handshakes: Bucket::full(handshakes, now),
        }
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

impl<D: ClientData> Clients<D> {
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
        let refuses = self.takes_no_more() || !self.admission.takes_handshake(self.table.now());
        refuses.then_some(Rejection::Unavailable)
    }

    /// Returns whether connections that last are refused now: the server stops or is full.
    pub(super) fn takes_no_more(&self) -> bool {
        let is_full = self.table.len() > self.max_connections || self.pressure.is_full();
        self.shutdown.is_some() || is_full
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
