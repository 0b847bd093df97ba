//! The messages of a handover: CBOR (RFC 8949), each behind its length.
//!
//! Structures are maps, so a version can add to them. Whoever reads one ignores what it does not
//! know; so what must not be ignored needs a new [`VERSION`] or a new name in [`PARTS`], and is
//! refused before anything freezes. `docs/handover.md` describes the format.

use super::link::BATCH;
#[cfg(feature = "tls")]
use crate::protocol::tls::CarriedSession;
use crate::protocol::{Carried, CarriedReason};
use minicbor::decode::{self, Decoder};
use minicbor_derive::{Decode, Encode};
use std::net::SocketAddr;

/// The version that this library writes.
pub(super) const VERSION: u16 = 1;
/// The oldest version that it reads.
pub(super) const OLDEST: u16 = 1;

/// What this version can tell and understand.
pub(super) const PARTS: [&str; 8] =
    ["connections", "conflated", "counters", "data", "rates", "timers", "topics", "traces"];

#[derive(Debug, Encode, Decode)]
pub(crate) enum Message {
    #[n(0)]
    Hello(#[n(0)] Hello),
    #[n(1)]
    Offer(#[n(0)] Offer),
    #[n(2)]
    Refused(#[n(0)] String),
    #[n(3)]
    Ready,
    #[n(4)]
    Loop(#[n(0)] LoopHead),
    /// Output that several clients share. Its numbers follow those of the last one of the loop.
    #[n(5)]
    Shared(#[n(0)] Vec<minicbor::bytes::ByteVec>),
    /// Clients, with the descriptors of those that come along.
    #[n(6)]
    Clients(#[cbor(n(0), decode_with = "batch")] Vec<ClientRecord>),
    /// A batch of clients has arrived.
    #[n(7)]
    Received,
    #[n(8)]
    LoopEnd(#[n(0)] Box<LoopEnd>),
    /// All loops have been sent. With the token.
    #[n(9)]
    End,
    #[n(10)]
    Taken,
}

/// Reads the clients of a batch. In memory, each takes many times the bytes that announce it.
fn batch<C>(decoder: &mut Decoder<'_>, context: &mut C) -> Result<Vec<ClientRecord>, decode::Error> {
    let mut records = Vec::new();
    for record in decoder.array_iter_with(context)? {
        if records.len() == BATCH {
            return Err(decode::Error::message("too many clients at once"));
        }
        records.push(record?);
    }
    Ok(records)
}

impl Message {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "Hello",
            Message::Offer(_) => "Offer",
            Message::Refused(_) => "Refused",
            Message::Ready => "Ready",
            Message::Loop(_) => "Loop",
            Message::Shared(_) => "Shared",
            Message::Clients(_) => "Clients",
            Message::Received => "Received",
            Message::LoopEnd(_) => "LoopEnd",
            Message::End => "End",
            Message::Taken => "Taken",
        }
    }
}

/// What the new process says first.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Hello {
    #[n(0)]
    pub(super) version: u16,
    #[n(1)]
    pub(super) oldest: u16,
    /// The parts that it understands.
    #[n(2)]
    pub(super) parts: Vec<String>,
    /// For the log.
    #[n(3)]
    pub(super) program: String,
}

/// What the old process offers, with the descriptors of its listening sockets, and of the one for
/// handovers.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Offer {
    #[n(0)]
    pub(super) version: u16,
    /// The parts that it will tell.
    #[n(1)]
    pub(super) parts: Vec<String>,
    #[n(2)]
    pub(super) loops: u16,
    /// Where it listens: an address, or `unix:` and a path.
    #[n(3)]
    pub(super) listeners: Vec<String>,
    /// When its clock began, in nanoseconds of the host's monotonic clock.
    #[n(4)]
    pub(super) began: u64,
    /// For the log.
    #[n(5)]
    pub(super) program: String,
    #[n(6)]
    pub(super) process: u32,
    #[n(7)]
    pub(super) connections: u64,
    /// The last descriptor is that of the listening socket for handovers.
    #[n(8)]
    pub(super) has_handover: bool,
}

/// What the handlers of a router have saved, by the first paths of their routes.
#[derive(Debug, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct SavedRoutes(#[n(0)] pub(crate) Vec<(String, minicbor::bytes::ByteVec)>);

impl SavedRoutes {
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        minicbor::to_vec(self).ok()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<SavedRoutes, String> {
        minicbor::decode(bytes).map_err(|error| format!("no router has saved this: {error}"))
    }
}

/// The beginning of a loop.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LoopHead {
    #[n(0)]
    pub(crate) number: u16,
    #[n(1)]
    pub(crate) loops: u16,
    /// The last generation of its ids.
    #[n(2)]
    pub(crate) generation: u32,
    /// All clients have indexes below this one.
    #[n(3)]
    pub(crate) places: u32,
    /// The names of its routes, by their numbers. None without a router.
    #[n(4)]
    pub(crate) routes: Vec<String>,
    #[n(5)]
    pub(crate) topics: Vec<TopicRecord>,
    /// What its handler has saved.
    #[cbor(n(6), with = "crate::protocol::byte_string")]
    pub(crate) application: Vec<u8>,
    /// When the loop froze, in nanoseconds of the host's monotonic clock.
    #[n(7)]
    pub(crate) frozen: u64,
    #[n(8)]
    pub(crate) timers: Vec<TimerRecord>,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct TopicRecord {
    #[n(0)]
    pub(crate) route: u16,
    #[n(1)]
    pub(crate) name: String,
}

/// One client.
#[derive(Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ClientRecord {
    #[n(0)]
    pub(crate) index: u32,
    #[n(1)]
    pub(crate) generation: u32,
    #[n(2)]
    pub(crate) route: Option<u16>,
    #[n(3)]
    pub(crate) flags: u16,
    /// `None` if its connection stays behind: its handler is told of its end.
    #[n(4)]
    pub(crate) connection: Option<Carried>,
    #[cbor(n(5), with = "crate::protocol::byte_string")]
    pub(crate) data: Option<Vec<u8>>,
    #[n(6)]
    pub(crate) subprotocol: Option<String>,
    /// Places in [`LoopHead::topics`].
    #[n(7)]
    pub(crate) topics: Option<Vec<u32>>,
    #[n(8)]
    pub(crate) rare: Option<Box<RareRecord>>,
    /// Why it ends, if it stays behind because of that.
    #[n(9)]
    pub(crate) reason: Option<CarriedReason>,
    /// Its TLS. The flag for wrapped streams says that there is some, so that a process without TLS
    /// refuses it.
    #[cfg(feature = "tls")]
    #[n(10)]
    pub(crate) session: Option<Box<CarriedSession>>,
}

/// What few clients have.
#[derive(Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RareRecord {
    #[n(0)]
    pub(crate) proxied: Option<SocketAddr>,
    #[n(1)]
    pub(crate) by_proxy_header: Option<SocketAddr>,
    #[cbor(n(2), with = "crate::protocol::byte_string")]
    pub(crate) proxy_header: Option<Vec<u8>>,
    #[n(3)]
    pub(crate) traced_by: Option<Vec<u16>>,
    #[n(4)]
    pub(crate) reads_above_high_water: bool,
    /// Messages that were dropped since the application last asked.
    #[n(5)]
    pub(crate) dropped: Option<u64>,
    #[n(6)]
    pub(crate) conflated: Option<Vec<ConflatedRecord>>,
    #[n(7)]
    pub(crate) rates: Option<RatesRecord>,
    /// What it may still send: messages and bytes.
    #[n(8)]
    pub(crate) allowance: Option<(f32, f32)>,
    /// It is not read for so many milliseconds, because it has sent too much.
    #[n(9)]
    pub(crate) throttled: Option<u32>,
    /// The address that it counts as, 4 or 8 bytes.
    #[cbor(n(10), with = "crate::protocol::byte_string")]
    pub(crate) group: Option<Vec<u8>>,
}

impl RareRecord {
    pub(crate) const fn is_needed(&self) -> bool {
        self.proxied.is_some()
            || self.by_proxy_header.is_some()
            || self.proxy_header.is_some()
            || self.traced_by.is_some()
            || self.reads_above_high_water
            || self.dropped.is_some()
            || self.conflated.is_some()
            || self.rates.is_some()
            || self.allowance.is_some()
            || self.throttled.is_some()
            || self.group.is_some()
    }
}

/// The last message of a key.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ConflatedRecord {
    #[n(0)]
    pub(crate) key: u64,
    #[n(1)]
    pub(crate) is_text: bool,
    /// The number of a shared frame.
    #[n(2)]
    pub(crate) frame: u32,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RatesRecord {
    #[n(0)]
    pub(crate) messages: Option<u32>,
    #[n(1)]
    pub(crate) bytes: Option<u32>,
    #[n(2)]
    pub(crate) closes: bool,
}

/// The end of a loop: its sums.
#[derive(Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LoopEnd {
    #[n(0)]
    pub(crate) counters: CountersRecord,
    /// How many clients were sent, with those that stay behind.
    #[n(1)]
    pub(crate) clients: u64,
    /// How many connections go along, and how many stay behind.
    #[n(2)]
    pub(crate) moved: u64,
    #[n(3)]
    pub(crate) left: u64,
}

/// A timer of the application. Times are nanoseconds.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct TimerRecord {
    #[n(0)]
    pub(crate) index: u32,
    #[n(1)]
    pub(crate) generation: u32,
    #[n(2)]
    pub(crate) token: u64,
    /// It is due then, from now on. A late one is due at once.
    #[n(3)]
    pub(crate) after: u64,
    /// How late it is.
    #[n(4)]
    pub(crate) late: u64,
    #[n(5)]
    pub(crate) period: Option<u64>,
    #[n(6)]
    pub(crate) route: u16,
    /// The index and the generation of the client with which it ends.
    #[n(7)]
    pub(crate) client: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct FlowRecord {
    #[n(0)]
    pub(crate) messages: u64,
    #[n(1)]
    pub(crate) bytes: u64,
}

/// What the loop has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct CountersRecord {
    /// By name.
    #[n(0)]
    pub(crate) numbers: Vec<(String, u64)>,
    /// By status.
    #[n(1)]
    pub(crate) refused: Vec<(u16, u64)>,
    /// By reason and detail.
    #[n(2)]
    pub(crate) closed: Vec<(String, String, u64)>,
    /// By opcode.
    #[n(3)]
    pub(crate) received: Vec<(u8, FlowRecord)>,
    #[n(4)]
    pub(crate) sent: Vec<(u8, FlowRecord)>,
    #[n(5)]
    pub(crate) turn_micros: HistogramRecord,
    #[n(6)]
    pub(crate) turn_events: HistogramRecord,
    /// TLS handshakes by version, cipher suite, and whether they were resumed.
    #[n(7)]
    pub(crate) tls_handshakes: Vec<(String, String, bool, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct HistogramRecord {
    #[n(0)]
    pub(crate) buckets: Vec<u64>,
    #[n(1)]
    pub(crate) sum: u64,
    #[n(2)]
    pub(crate) max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_a_limit_however_small_its_clients_are() {
        for (count, fits) in [(BATCH, true), (BATCH + 1, false)] {
            let records = std::iter::repeat_with(ClientRecord::default).take(count).collect();
            let bytes = minicbor::to_vec(Message::Clients(records)).expect("it is memory");
            assert_eq!(minicbor::decode::<Message>(&bytes).is_ok(), fits, "{count}");
        }
    }
}
