//! What does the server know of one connection? 56 bytes.
//!
//! | bytes | what |
//! |--:|---|
//! | 32 | the conversation ([`Connection`]): state, modes, last heard, three boxes that do not exist while it is idle |
//! | 4 | the socket |
//! | 12 | the deadline, with its links in the timing wheel |
//! | 4 | the generation of its id |
//! | 4 | its route and flags |
//!
//! The application's `Data` comes on top, and is nothing for `()`.

use super::clients::Behind;
use super::socket::Socket;
use super::timers::{Armed, Node, Nodes};
use super::topics::Subscription;
use crate::protocol::Connection;
use slab::Slab;
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// Which client. Never used again for another one: a slot that is filled again gets a new
/// generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl ClientId {
    /// Its place in the slab, from 0 on. Another client has it when this one is gone.
    pub const fn slot(self) -> usize {
        self.index as usize
    }

    /// The id as a number, for tokens and foreign code.
    pub const fn to_u64(self) -> u64 {
        (self.index as u64) << 32 | self.generation.get() as u64
    }

    /// The id that [`to_u64`](Self::to_u64) gave; `None` for a number that is none.
    pub const fn from_u64(number: u64) -> Option<ClientId> {
        match NonZeroU32::new(number as u32) {
            Some(generation) => Some(ClientId { index: (number >> 32) as u32, generation }),
            None => None,
        }
    }
}

/// `12.7`: slot 12, generation 7.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({self})")
    }
}

/// A connection's entry in the slab.
pub(crate) struct Client<D> {
    pub(crate) connection: Connection<Extra>,
    pub(crate) socket: Socket,
    pub(crate) deadline: Node,
    pub(crate) generation: NonZeroU32,
    /// Which handler of a router it belongs to.
    pub(crate) route: u16,
    pub(crate) flags: Flags,
    pub(crate) data: D,
}

/// What the server remembers of the few clients that need it.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) subscriptions: Vec<Subscription>,
    /// The address that a trusted proxy gave.
    pub(crate) proxied: Option<SocketAddr>,
    /// What has arrived of a proxy's header.
    pub(crate) proxy_header: Vec<u8>,
    /// The routes whose handlers are told its story.
    pub(crate) traced_by: Vec<u16>,
    /// If we connect to it.
    pub(crate) outgoing: Option<Outgoing>,
    /// If it was once sent more than it could take.
    pub(crate) behind: Option<Box<Behind>>,
}

impl Extra {
    pub(crate) fn is_needed(&self) -> bool {
        !self.subscriptions.is_empty()
            || self.proxied.is_some()
            || !self.proxy_header.is_empty()
            || self.outgoing.is_some()
            || self.behind.is_some()
    }
}

/// What is needed of a server to which we connect.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Where it may be; those that have been tried are gone.
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// From which of our addresses.
    pub(crate) source: Option<IpAddr>,
    /// What it has chosen.
    pub(crate) subprotocol: Option<String>,
}

/// What the loop remembers of a client from one step to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// `on_open` has been called, so `on_close` must be.
    pub(crate) const OPENED: Flags = Flags(1);
    /// In the queue of those that may have something to read.
    pub(crate) const READ_QUEUED: Flags = Flags(1 << 1);
    /// In the queue of those that have something to write.
    pub(crate) const WRITE_QUEUED: Flags = Flags(1 << 2);
    /// The kernel takes no more bytes until it says so.
    pub(crate) const BLOCKED: Flags = Flags(1 << 3);
    /// Above the high-water mark: not read until below it.
    pub(crate) const HIGH_WATER: Flags = Flags(1 << 4);
    /// There may be something to read, but it may not be read now.
    pub(crate) const UNREAD: Flags = Flags(1 << 5);
    /// FIN or an error is to be read; short reads do not end the reading.
    pub(crate) const READ_CLOSED: Flags = Flags(1 << 6);
    /// In the queue of those that are to be removed.
    pub(crate) const REAP_QUEUED: Flags = Flags(1 << 7);
    /// It must begin with a header of the PROXY protocol.
    pub(crate) const PROXIED: Flags = Flags(1 << 9);
    /// Our half of the stream has been closed.
    pub(crate) const HALF_CLOSED: Flags = Flags(1 << 8);
    /// Not read, because it holds much and memory runs short.
    pub(crate) const PAUSED: Flags = Flags(1 << 10);
    /// Not read, because it has sent more than it may.
    pub(crate) const THROTTLED: Flags = Flags(1 << 11);
    /// Messages for it are dropped while much waits for it.
    pub(crate) const DROPS: Flags = Flags(1 << 12);
    /// Messages wait apart, each to be replaced by a later one.
    pub(crate) const LATEST: Flags = Flags(1 << 13);
    /// The kernel takes no more, or something waits apart.
    pub(crate) const BEHIND: Flags = Flags(Flags::BLOCKED.0 | Flags::LATEST.0);
    /// In some queue of the loop.
    pub(crate) const QUEUED: Flags = Flags(Flags::READ_QUEUED.0 | Flags::WRITE_QUEUED.0);
    /// Not read for either reason.
    pub(crate) const WAITS: Flags = Flags(Flags::PAUSED.0 | Flags::THROTTLED.0);
    /// More is to be done than to queue it when it can be read.
    pub(crate) const READY_UNUSUALLY: Flags = Flags(Flags::READ_QUEUED.0 | Flags::BLOCKED.0);
    /// More is to be done for a message than to queue it, and the client to be written to.
    pub(crate) const QUEUES_UNUSUALLY: Flags = Flags(Flags::DROPS.0 | Flags::BLOCKED.0);
    /// To be read, and perhaps nothing is unusual about it.
    pub(crate) const READS_USUALLY: Flags = Flags(Flags::READ_QUEUED.0 | Flags::OPENED.0);
    /// Perhaps not to be read, or more is to be done about what is read.
    pub(crate) const UNUSUAL: Flags =
        Flags(Flags::HIGH_WATER.0 | Flags::WAITS.0 | Flags::PROXIED.0 | Flags::READ_CLOSED.0);
    /// Something happens when what waits for it has become less.
    pub(crate) const WATCHED: Flags = Flags(Flags::HIGH_WATER.0 | Flags::PAUSED.0 | Flags::LATEST.0);

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// Whether all of the first are set, and none of the second.
    #[inline]
    pub(crate) const fn are(self, set: Flags, clear: Flags) -> bool {
        self.0 & (set.0 | clear.0) == set.0
    }

    pub(crate) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    pub(crate) fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }

    /// Sets the flag and says whether it was clear.
    pub(crate) fn raise(&mut self, flag: Flags) -> bool {
        let raised = !self.has(flag);
        self.set(flag);
        raised
    }

    /// Raises [`WRITE_QUEUED`](Self::WRITE_QUEUED), unless the kernel takes nothing now, and says
    /// whether it did.
    pub(crate) fn raise_to_write(&mut self) -> bool {
        !self.has(Flags::BLOCKED) && self.raise(Flags::WRITE_QUEUED)
    }

    /// Clears the flag and says whether it was set.
    pub(crate) fn lower(&mut self, flag: Flags) -> bool {
        let lowered = self.has(flag);
        self.clear(flag);
        lowered
    }
}

/// An application's timer: 24 bytes.
#[derive(Debug)]
pub(crate) struct AppTimer {
    pub(crate) node: Node,
    pub(crate) generation: NonZeroU32,
    pub(crate) token: u64,
}

/// Where the wheel finds its nodes.
pub(crate) struct Entries<'a, D> {
    pub(crate) clients: &'a mut Slab<Client<D>>,
    pub(crate) timers: &'a mut Slab<AppTimer>,
}

impl<D> Nodes for Entries<'_, D> {
    fn node(&mut self, armed: Armed) -> &mut Node {
        match armed {
            Armed::Client(index) => &mut self.clients[index as usize].deadline,
            Armed::Timer(index) => &mut self.timers[index as usize].node,
        }
    }
}

/// The slab's own `Entry` has a private layout; this has the same shape.
#[cfg(all(not(debug_assertions), target_pointer_width = "64"))]
const _: () = {
    #[allow(dead_code)]
    enum Entry<T> {
        Vacant(usize),
        Occupied(T),
    }
    // What the server needs besides, its spare buffers among it, is little enough for 64 in all.
    #[cfg(not(feature = "sim"))]
    assert!(size_of::<Entry<Client<()>>>() <= 56, "an idle connection must cost no more than 56 bytes");
    assert!(size_of::<Entry<Client<()>>>() <= 64, "an idle connection must cost no more than 64 bytes");
    assert!(size_of::<Entry<AppTimer>>() <= 24, "a timer must cost no more than 24 bytes");
};
