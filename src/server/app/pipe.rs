//! Pairs of clients whose messages are forwarded to each other.

use crate::protocol::{CloseCode, CloseReason, Message, Position, ReadyState};
use crate::server::clients::Clients;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::collections::HashMap;

/// Forwards messages between two clients, in both directions, with backpressure. A handler has one
/// for all its pairs and passes its callbacks on.
///
/// * **Memory is bounded.** If one side reads slowly, the pipe pauses the other one until the
///   unsent bytes are below [`high_water`](crate::Limits::high_water) again. Messages may have any
///   size: they are forwarded in pieces, as they arrive. For each direction, the pair holds about
///   `high_water` and two reads ([`read_buffer`](crate::Config::read_buffer)).
///   [`max_unsent`](crate::Limits::max_unsent) must be larger than that, as it is by default.
/// * **Directions do not wait for each other.** Each side is read while the other one takes what
///   arrives.
/// * **Messages keep their type, their order and their ends.** Pings and pongs are not forwarded:
///   each connection has its own.
/// * **Ends are forwarded.** If one side closes, the other one gets what is queued for it, and then
///   a Close frame with the same code and reason, or 1001 (Away) if there is none that may be sent.
///
/// `examples/proxy.rs` is a complete program.
///
/// ```
/// use lariat::{ClientId, Clients, CloseReason, Handler, Message, Pipe, Position};
///
/// struct Proxy {
///     pipe: Pipe,
/// }
///
/// impl Handler for Proxy {
///     type Data = ();
///     // `on_request` calls `clients.connect` and `self.pipe.join`.
///     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
///         self.pipe.on_open(clients, id);
///     }
///     fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
///         self.pipe.on_piece(clients, id, piece, position);
///     }
///     fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
///         self.pipe.on_drain(clients, id);
///     }
///     fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
///         self.pipe.on_close(clients, id, reason);
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Pipe {
    /// Both directions of each pair.
    partners: HashMap<ClientId, ClientId>,
}

impl Pipe {
    /// Returns a pipe without pairs.
    pub fn new() -> Pipe {
        Pipe::default()
    }

    /// Joins two clients, which may not be open yet: what one of them sends is kept back until the
    /// other one is open. A client that was joined before leaves its former pair, which stays open
    /// and is forwarded nowhere.
    pub fn join<D: ClientData>(&mut self, clients: &mut Clients<D>, one: ClientId, other: ClientId) {
        for id in [one, other] {
            if let Some(former) = self.leave(id) {
                clients.resume(former);
            }
            clients.receive_in_pieces(id);
            clients.read_above_high_water(id);
        }
        self.partners.insert(one, other);
        self.partners.insert(other, one);
        self.balance(clients, one);
        self.balance(clients, other);
    }

    /// Returns the client with which this one is joined.
    pub fn partner(&self, id: ClientId) -> Option<ClientId> {
        self.partners.get(&id).copied()
    }

    /// Must be called in [`Handler::on_open`](crate::Handler::on_open). What the partner has sent is
    /// forwarded from now on.
    pub fn on_open<D: ClientData>(&mut self, clients: &mut Clients<D>, id: ClientId) {
        self.balance_partner(clients, id);
    }

    /// Must be called in [`Handler::on_piece`](crate::Handler::on_piece). Forwards a piece to the
    /// partner. Returns `false` if the client has no partner.
    pub fn on_piece<D: ClientData>(
        &mut self,
        clients: &mut Clients<D>,
        id: ClientId,
        piece: Message<'_>,
        position: Position,
    ) -> bool {
        let Some(partner) = self.partner(id) else { return false };
        // An error says that the partner is closing. Its `on_close` follows and closes this client.
        let _ = match position {
            Position::Whole => clients.send(partner, piece),
            Position::First | Position::Middle | Position::Last => clients.send_piece(partner, piece, position),
        };
        self.balance(clients, id);
        true
    }

    /// Must be called in [`Handler::on_drain`](crate::Handler::on_drain). Reads the partner again.
    pub fn on_drain<D: ClientData>(&mut self, clients: &mut Clients<D>, id: ClientId) {
        self.balance_partner(clients, id);
    }

    /// Must be called in [`Handler::on_close`](crate::Handler::on_close). Ends the pair and closes
    /// the partner. Returns the partner if its request has not been answered yet, which the
    /// application must do.
    pub fn on_close<D: ClientData>(
        &mut self,
        clients: &mut Clients<D>,
        id: ClientId,
        reason: &CloseReason,
    ) -> Option<ClientId> {
        let partner = self.leave(id)?;
        clients.resume(partner);
        if clients.ready_state(partner) == ReadyState::Connecting {
            if !clients.is_outgoing(partner) {
                return Some(partner);
            }
            clients.terminate(partner);
            return None;
        }
        let (code, text) = match reason {
            CloseReason::Peer(Some(frame)) | CloseReason::Local(frame) => (frame.code, frame.reason.as_str()),
            CloseReason::Peer(None) => (CloseCode::Normal, ""),
            CloseReason::SlowConsumer => (CloseCode::Again, "the other side reads too slowly"),
            _ => (CloseCode::Away, "the other side has disconnected"),
        };
        // An error says that the partner is closing already.
        let _ = clients.close(partner, code, text);
        None
    }

    /// Ends a client's pair. Returns its former partner.
    fn leave(&mut self, id: ClientId) -> Option<ClientId> {
        let partner = self.partners.remove(&id)?;
        self.partners.remove(&partner);
        Some(partner)
    }

    fn balance_partner<D: ClientData>(&self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(partner) = self.partner(id) {
            self.balance(clients, partner);
        }
    }

    /// Pauses a client whose partner takes nothing now, or resumes it.
    fn balance<D: ClientData>(&self, clients: &mut Clients<D>, id: ClientId) {
        let Some(partner) = self.partner(id) else { return };
        let is_waiting = clients.ready_state(partner) == ReadyState::Connecting;
        if is_waiting || clients.buffered_amount(partner) > clients.limits().high_water {
            clients.pause(id);
        } else {
            clients.resume(id);
        }
    }
}
