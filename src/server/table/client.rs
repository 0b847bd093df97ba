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

use super::behind::Behind;
use super::flags::Flags;
use super::key::Locked;
use super::topics::Subscription;
use super::wheel::Node;
use crate::parts::SLOW_CONSUMERS;
use crate::protocol::{Connection, State};
use crate::server::id::ClientId;
use crate::server::net::Socket;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// A connection's entry in the slab.
pub(crate) struct Client<D> {
    pub(crate) connection: Connection<Extra>,
    /// To read from it and to write to it takes the [`LoopKey`](super::LoopKey).
    pub(crate) socket: Locked<Socket>,
    pub(super) deadline: Node,
    pub(super) generation: NonZeroU32,
    /// Which handler of a router it belongs to.
    pub(crate) route: u16,
    pub(crate) flags: Flags,
    pub(crate) data: D,
}

impl<D> Client<D> {
    /// Whether messages for it may be dropped.
    pub(crate) fn may_drop(&self) -> bool {
        self.flags.has(Flags::DROPS) && SLOW_CONSUMERS.is_used()
    }

    /// Whether a message for it is to be dropped, if messages for it may be.
    #[cold]
    pub(crate) fn is_dropping(&self, high_water: usize) -> bool {
        self.connection.state() == State::Open && self.is_above(high_water)
    }

    /// Where it is, by its socket; `None` for Unix sockets, and if it has disconnected.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket.peek().peer_addr()
    }

    pub(crate) fn id(&self, index: usize) -> ClientId {
        ClientId { index: index as u32, generation: self.generation }
    }

    /// What waits apart, if the client was once behind.
    pub(crate) fn behind_mut(&mut self) -> Option<&mut Behind> {
        let behind = self.connection.extra_if_any()?.behind.as_deref_mut();
        behind.filter(|_| SLOW_CONSUMERS.is_used())
    }
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
    /// Where we are connecting to, until that has come about.
    pub(crate) trying: Option<SocketAddr>,
    /// From which of our addresses.
    pub(crate) source: Option<IpAddr>,
    /// What it has chosen.
    pub(crate) subprotocol: Option<String>,
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
    assert!(size_of::<Entry<super::timers::AppTimer>>() <= 24, "a timer must cost no more than 24 bytes");
};
