//! Connections that go from one loop of a server to another: when they are accepted, or with a
//! request that another loop is to answer.

use super::admission::AddressGroup;
use super::clients::Clients;
use super::peers::Peers;
use super::queue::lock;
use crate::parts::LOOPS;
use crate::protocol::Undecided;
#[cfg(feature = "tls")]
use crate::protocol::tls::Session;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::{Arrival, Socket};
use crate::server::table::At;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A connection that comes from another loop.
pub(crate) enum Handed {
    /// That loop has accepted it.
    New { socket: Socket, arrival: Arrival },
    /// This loop is to answer its request.
    Asking(Box<Asking>),
}

/// A connection with a request that another loop is to answer.
pub(crate) struct Asking {
    pub(crate) socket: Socket,
    pub(crate) request: OwnedRequest,
    pub(crate) rest: Undecided,
    #[cfg(feature = "tls")]
    pub(crate) session: Option<Box<Session>>,
    pub(crate) proxied: Option<SocketAddr>,
    pub(crate) by_proxy_header: Option<SocketAddr>,
    /// What it counts as, if the connections of an address are limited.
    pub(crate) group: Option<AddressGroup>,
    /// When it has left its loop, on the clock of all loops.
    left: Duration,
}

/// A client that goes to another loop at the end of the turn.
pub(crate) struct Leaving {
    pub(crate) id: ClientId,
    /// The number of its next loop.
    pub(crate) number: usize,
    pub(crate) request: OwnedRequest,
}

/// A request, as it has arrived.
pub(crate) struct OwnedRequest {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Asking {
    /// Returns about how much memory it takes.
    fn memory(&self) -> usize {
        size_of::<Asking>() + self.request.head.len() + self.request.body.len() + self.rest.memory()
    }
}

impl Handed {
    /// Returns the memory that counts while it waits. New connections have nothing yet.
    fn memory(&self) -> usize {
        match self {
            Handed::New { .. } => 0,
            Handed::Asking(asking) => asking.memory(),
        }
    }
}

impl<D: ClientData> Peers<D> {
    /// Returns the loop for a new connection: the one with the fewest.
    fn choose(&self) -> usize {
        let load = |number: &usize| {
            let peer = &self.loops[*number];
            (peer.has_stopped.load(Ordering::Relaxed), peer.connections.load(Ordering::Relaxed))
        };
        (0..self.loops.len()).min_by_key(load).unwrap_or_default()
    }

    /// Gives a connection to a loop. Returns `false`, and drops the connection, if the loop has
    /// stopped.
    fn hand(&self, number: usize, handed: Handed) -> bool {
        let peer = &self.loops[number];
        let mut waiting = lock(&peer.handed);
        // A loop that stops sets this first, and then drops what waits.
        if peer.has_stopped.load(Ordering::Acquire) {
            return false;
        }
        peer.connections.fetch_add(1, Ordering::Relaxed);
        peer.waiting.fetch_add(handed.memory(), Ordering::Relaxed);
        waiting.push(handed);
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            peer.wake();
        }
        true
    }

    /// Returns whether a loop takes one more request.
    fn takes_request(&self, number: usize) -> bool {
        let peer = &self.loops[number];
        !peer.has_stopped.load(Ordering::Acquire) && peer.waiting.load(Ordering::Relaxed) < self.most_waiting
    }
}

impl<D: ClientData> Clients<D> {
    /// Returns the number of the loop for a name, such as that of a room. It is the same on all
    /// loops while the server runs, and spreads names evenly. For
    /// [`choose_loop`](crate::Handler::choose_loop).
    pub fn loop_for(&self, name: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        (hasher.finish() % self.loops() as u64) as usize
    }

    /// Gives a new connection to the loop that has the fewest. Returns it if that is this loop.
    pub(crate) fn hand_on(&self, socket: Socket, arrival: &Arrival) -> Option<Socket> {
        let Some(peers) = self.peers() else { return Some(socket) };
        let number = peers.choose();
        if number == self.loop_number() {
            return Some(socket);
        }
        // If all loops have stopped, so has the server.
        peers.hand(number, Handed::New { socket, arrival: arrival.clone() });
        None
    }

    /// Notes that a client of this loop leaves at the end of the turn.
    pub(crate) fn leaves(&mut self, leaving: Leaving) {
        self.beyond.get_or_default().leaving.push(leaving);
    }

    /// Notes the client that comes from another loop with the request that is answered next. A
    /// request goes to another loop once.
    pub(crate) fn set_arriving(&mut self, id: Option<ClientId>) {
        self.beyond.get_or_default().arriving = id;
    }

    /// Returns whether a client has just come from another loop.
    pub(crate) fn is_arriving(&self, id: ClientId) -> bool {
        self.beyond.get().is_some_and(|beyond| beyond.arriving == Some(id))
    }

    /// Returns whether clients of this loop leave at the end of the turn.
    #[inline]
    pub(crate) fn is_any_leaving(&self) -> bool {
        LOOPS.is_used() && self.beyond.get().is_some_and(|beyond| !beyond.leaving.is_empty())
    }

    /// Takes the clients of this loop that leave.
    pub(crate) fn take_leaving(&mut self) -> Vec<Leaving> {
        self.beyond.get_mut().map(|beyond| std::mem::take(&mut beyond.leaving)).unwrap_or_default()
    }

    /// Returns whether another loop takes one more request now.
    pub(crate) fn takes_request(&self, number: usize) -> bool {
        self.peers().is_some_and(|peers| peers.takes_request(number))
    }

    /// Gives a client to another loop, which is to answer its request. The client must be Deciding,
    /// and its socket must not be watched any more. It must be removed right after this.
    pub(crate) fn hand_request(&mut self, index: usize, number: usize, socket: Socket, request: OwnedRequest) {
        let Some(peers) = self.peers() else { return };
        let At { client, shared, now, .. } = self.table.at(index);
        let Some(rest) = client.connection.take_undecided(shared, now) else { return };
        let extra = client.connection.extra();
        let (proxied, by_proxy_header) = extra.map_or((None, None), |extra| (extra.proxied, extra.by_proxy_header));
        let asking = Asking {
            socket,
            request,
            rest,
            #[cfg(feature = "tls")]
            session: self.table.give_session_away(index),
            proxied,
            by_proxy_header,
            group: self.admission.take_group(index),
            left: self.table.clock().elapsed(),
        };
        let group = asking.group;
        let is_handed = peers.hand(number, Handed::Asking(Box::new(asking)));
        if let (false, Some(group)) = (is_handed, group) {
            peers.limits().uncount(group);
        }
    }

    /// Takes the connections that other loops have given to this one. They are counted again when
    /// they are added.
    pub(crate) fn take_handed(&self) -> Vec<Handed> {
        let Some(peers) = self.peers() else { return Vec::new() };
        let own = &peers.loops[self.loop_number()];
        let mut handed = std::mem::take(&mut *lock(&own.handed));
        if handed.is_empty() {
            return handed;
        }
        own.connections.fetch_sub(handed.len(), Ordering::Relaxed);
        own.waiting.fetch_sub(handed.iter().map(Handed::memory).sum(), Ordering::Relaxed);
        for one in &mut handed {
            if let Handed::Asking(asking) = one {
                asking.rest.waited += self.table.clock().elapsed().saturating_sub(asking.left);
            }
        }
        handed
    }
}
