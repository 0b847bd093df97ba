//! The entry of one connection: 56 bytes.
//!
//! | bytes | what |
//! |--:|---|
//! | 32 | the [`Connection`]: state, modes, last heard, three boxes (none while it is idle) |
//! | 4 | the socket |
//! | 12 | the deadline, with its links in the timing wheel |
//! | 4 | the generation of its id |
//! | 4 | its route and flags |
//!
//! The application's `Data` comes on top. `()` takes nothing.

use super::behind::Behind;
use super::flags::Flags;
use super::key::Locked;
use super::topics::Subscription;
use super::wheel::Node;
use crate::parts::SLOW_CONSUMERS;
#[cfg(feature = "tls")]
use crate::protocol::tls::{ClientTls, ServerTls};
use crate::protocol::{Connection, State};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::Socket;
use crate::server::observe::Logged;
#[cfg(feature = "tls")]
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// A connection's entry in the slab.
pub(crate) struct Client<D: ClientData> {
    pub(crate) connection: Connection<Extra>,
    /// Reading and writing take the [`LoopKey`](super::LoopKey).
    pub(crate) socket: Locked<Socket>,
    pub(super) deadline: Node,
    pub(super) generation: NonZeroU32,
    /// The route whose handler the client belongs to.
    pub(crate) route: u16,
    pub(crate) flags: Flags,
    pub(crate) data: D::Stored,
}

impl<D: ClientData> Client<D> {
    /// Returns whether messages for this client may be dropped.
    pub(crate) fn may_drop(&self) -> bool {
        self.flags.has(Flags::DROPS) && SLOW_CONSUMERS.is_used()
    }

    /// Returns whether a message is to be dropped, for a client whose messages may be.
    #[cold]
    pub(crate) fn is_dropping(&self, high_water: usize) -> bool {
        self.connection.state() == State::Open && self.is_above(high_water)
    }

    /// Returns whether something may be unsent: of the connection, or of TLS.
    pub(crate) fn has_output(&self) -> bool {
        self.connection.buffered_amount() > 0 || self.flags.has(Flags::WRAPPED)
    }

    /// Returns whether our half is to be closed: nothing more will be said, and all is sent.
    pub(crate) fn has_said_all(&self) -> bool {
        self.connection.state() == State::Draining && self.connection.buffered_amount() == 0
    }

    /// Returns the socket's peer address. `None` for Unix sockets, and if the peer has
    /// disconnected.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket.peek().peer_addr()
    }

    /// Returns the socket's own address. `None` for Unix sockets.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.peek().local_addr()
    }

    /// Returns the descriptor of its socket.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.socket.peek().descriptor()
    }

    /// Returns its simulated socket once more.
    #[cfg(all(unix, feature = "handover", feature = "sim"))]
    pub(crate) fn simulated_socket_again(&self) -> Option<Socket> {
        self.socket.peek().simulated_again()
    }

    /// Returns whether it has a stream.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) const fn is_connected(&self) -> bool {
        self.socket.peek().is_connected()
    }

    pub(crate) fn id(&self, index: usize) -> ClientId {
        ClientId { index: index as u32, generation: self.generation }
    }

    /// Returns the record of a client that has been behind.
    pub(crate) fn behind_mut(&mut self) -> Option<&mut Behind> {
        let behind = self.connection.extra_if_any()?.behind.as_deref_mut();
        behind.filter(|_| SLOW_CONSUMERS.is_used())
    }
}

/// What the server remembers of few clients.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) subscriptions: Vec<Subscription>,
    /// The timers that end with the client, by their indexes.
    pub(super) timers: Vec<u32>,
    /// The address that a trusted proxy gave, for the last request if it speaks HTTP.
    pub(crate) proxied: Option<SocketAddr>,
    /// The address in the header of the PROXY protocol, for the whole connection.
    pub(crate) by_proxy_header: Option<SocketAddr>,
    /// The part of a PROXY header that has arrived.
    pub(crate) proxy_header: Vec<u8>,
    /// The TLS of its listener, until the PROXY header has come.
    #[cfg(feature = "tls")]
    pub(crate) tls_after_header: Option<ServerTls>,
    /// The routes whose handlers trace this client.
    pub(crate) traced_by: Vec<u16>,
    /// What the log will say, if it has the level `debug`.
    pub(crate) logged: Option<Box<Logged>>,
    /// For a server to which we connect, until it has accepted.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// For a client that has been behind.
    pub(crate) behind: Option<Box<Behind>>,
    /// The client is read however much is unsent.
    pub(crate) reads_above_high_water: bool,
    /// The peer is to see a reset.
    pub(crate) is_reset: bool,
}

impl Extra {
    #[cfg(feature = "tls")]
    pub(crate) const fn awaits_tls(&self) -> bool {
        self.tls_after_header.is_some()
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) const fn awaits_tls(&self) -> bool {
        false
    }

    pub(crate) fn is_needed(&self) -> bool {
        !self.subscriptions.is_empty()
            || !self.timers.is_empty()
            || self.proxied.is_some()
            || !self.proxy_header.is_empty()
            || self.awaits_tls()
            || self.logged.is_some()
            || self.outgoing.is_some()
            || self.behind.is_some()
            || self.reads_above_high_water
    }
}

/// What is remembered of a server to which we connect.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The addresses that have not been tried yet.
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// The address to which we are connecting, until the connection is established.
    pub(crate) trying: Option<SocketAddr>,
    /// The local address to connect from.
    pub(crate) source: Option<IpAddr>,
    /// How to secure the connection, and the server's name.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<(ClientTls, ServerName<'static>)>,
}

/// `Entry` has the shape of the slab's own type, which is private: a client, or the next vacant
/// entry.
#[cfg(not(debug_assertions))]
const _: () = {
    type Entry<T> = Result<T, usize>;
    // With everything else that a server needs, an idle connection costs less than 64 bytes.
    const BYTES: usize = if cfg!(target_pointer_width = "64") { 56 } else { 44 };
    #[cfg(not(feature = "sim"))]
    assert!(
        size_of::<Entry<Client<()>>>() <= BYTES,
        "an idle connection must cost 56 bytes, or 44 with 32-bit pointers"
    );
    assert!(size_of::<Entry<Client<()>>>() <= BYTES + 8, "the simulator must add no more than 8 bytes");
    assert!(size_of::<Entry<super::timers::AppTimer>>() <= 24, "a timer must cost no more than 24 bytes");
};
