//! Who is at the other end of a simulated connection?

use super::line::{Line, Marks};
use super::network::{Network, NetworkRef, Stays};
use crate::protocol::{
    Answer, CloseReason, Connection, Event, Gathered, Input, Message, ReadyState, Request, Role, State, Ticket, Upgrade,
};
use std::marker::PhantomData;
use std::net::SocketAddr;
use tungstenite::Message as OwnedMessage;
use tungstenite::protocol::frame::coding::CloseCode;

/// The other end of a connection: a browser, say, or something that behaves as badly as it likes.
///
/// What it does is under way at once and arrives when the simulation goes on. It answers pings and
/// Close frames by itself, as a browser does, unless it is raw. When the handle is dropped, it
/// hangs up without a word.
#[derive(Debug)]
pub struct Peer {
    network: NetworkRef,
    line: u32,
    stays: Stays,
}

impl Peer {
    pub(super) const fn new(network: NetworkRef, line: u32) -> Peer {
        Peer { network, line, stays: PhantomData }
    }

    /// Does something with the peer and the network, and lets what follows from it begin.
    fn act(&self, act: impl FnOnce(&mut Network, u32)) {
        self.network.find(|network| {
            act(network, self.line);
            network.speak(self.line);
            network.activate(self.line);
        });
    }

    fn ask<T: Default>(&self, ask: impl FnOnce(&mut Network, u32) -> T) -> T {
        self.network.find(|network| ask(network, self.line)).unwrap_or_default()
    }

    // ---- what it does --------------------------------------------------------------------------

    /// Sends a message: as soon as the conversation is open, and not at all when it is over.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) {
        let message = message.into();
        self.act(|network, index| {
            let line = &mut network.lines[index as usize];
            if line.connection.state().ready_state() == ReadyState::Connecting {
                line.early.push(Gathered::from(message));
            } else {
                // As in a browser, what is sent after the end is dropped.
                let _ = line.connection.send(&mut network.shared, message);
            }
        });
    }

    /// Sends a ping, if the conversation is open.
    pub fn ping(&self, payload: &[u8]) {
        self.act(|network, index| {
            let _ = network.lines[index as usize].connection.ping(&mut network.shared, payload);
        });
    }

    /// Sends bytes as they are, in the midst of whatever else it says.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.act(|network, index| {
            let now = network.tick();
            let line = &mut network.lines[index as usize];
            line.collect(&mut network.shared, now);
            if !line.marks.has(Marks::PEER_GONE) {
                line.unsent.extend(bytes);
            }
        });
    }

    /// Begins the closing handshake; hangs up if the conversation has not opened yet.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if self.ready_state() == ReadyState::Connecting {
            return self.hang_up();
        }
        self.act(|network, index| {
            let now = network.tick();
            let _ = network.lines[index as usize].connection.close(&mut network.shared, now, code, reason);
        });
    }

    /// Closes its half of the connection when it has sent everything (FIN), and goes on reading.
    pub fn half_close(&self) {
        self.act(|network, index| network.line(index).marks.set(Marks::FINISHES));
    }

    /// Breaks the connection (RST): what is under way is lost.
    pub fn reset(&self) {
        self.act(Network::reset_by_peer);
    }

    /// Hangs up without a word: what it has not sent yet is lost. If it has not read everything,
    /// that breaks the connection.
    pub fn hang_up(&self) {
        self.act(Network::hang_up);
    }

    /// Reads nothing any more.
    pub fn stop_reading(&self) {
        self.act(|network, index| network.line(index).marks.set(Marks::STOPPED));
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.act(|network, index| {
            network.line(index).marks.clear(Marks::STOPPED);
            network.hear(index);
        });
    }

    /// From now on, it counts messages and forgets them.
    pub fn count_only(&self) {
        self.act(|network, index| network.line(index).marks.set(Marks::COUNTS));
    }

    // ---- what it knows -------------------------------------------------------------------------

    /// The messages that have come since this was asked last.
    pub fn received(&self) -> Vec<OwnedMessage> {
        self.ask(|network, index| std::mem::take(&mut network.line(index).messages))
    }

    /// As [`received`](Self::received), as text.
    ///
    /// # Panics
    ///
    /// If one of them is not text.
    pub fn received_text(&self) -> Vec<String> {
        let text = |message: OwnedMessage| match message {
            OwnedMessage::Text(text) => text.as_str().to_owned(),
            other => panic!("not text: {other:?}"),
        };
        self.received().into_iter().map(text).collect()
    }

    /// How many messages have come in all.
    pub fn received_count(&self) -> u64 {
        self.ask(|network, index| network.line(index).count)
    }

    /// The payloads of the pongs that have come since this was asked last.
    pub fn received_pongs(&self) -> Vec<Vec<u8>> {
        self.ask(|network, index| std::mem::take(&mut network.line(index).pongs))
    }

    /// The bytes that have come since this was asked last, if the peer is raw.
    pub fn received_raw(&self) -> Vec<u8> {
        self.ask(|network, index| std::mem::take(&mut network.line(index).raw))
    }

    /// Whether it has read the end of what the server has to say (FIN).
    pub fn has_heard_end(&self) -> bool {
        self.ask(|network, index| network.line(index).marks.has(Marks::HEARD_END))
    }

    /// In the browser's words.
    pub fn ready_state(&self) -> ReadyState {
        let state = self.network.find(|network| network.line(self.line).connection.state());
        state.map_or(ReadyState::Closed, State::ready_state)
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        self.ready_state() == ReadyState::Open
    }

    /// How the conversation ended for the peer, once it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.ask(|network, index| network.line(index).reason.clone())
    }

    /// Where the peer is, as [`Clients::peer_addr`](crate::Clients::peer_addr) sees it.
    ///
    /// # Panics
    ///
    /// If the simulation is over.
    pub fn addr(&self) -> SocketAddr {
        self.network.with(|network| network.line(self.line).address)
    }

    /// Bytes that it wants to send and there is no room for.
    pub fn unsent(&self) -> usize {
        self.ask(|network, index| network.line(index).unsent.len())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.act(|network, index| {
            network.hang_up(index);
            network.line(index).marks.set(Marks::UNWATCHED);
        });
    }
}

impl Line {
    /// A message has come to the peer.
    fn keep(&mut self, message: Message<'_>) {
        self.count += 1;
        if !self.marks.has(Marks::COUNTS) {
            self.messages.push(message.into_owned());
        }
    }
}

impl Network {
    /// The peer handles what has arrived.
    pub(super) fn hear(&mut self, index: u32) {
        let now = self.tick();
        let line = &mut *self.lines[index as usize];
        if line.marks.has(Marks::STOPPED) || line.marks.has(Marks::PEER_GONE) {
            return;
        }
        let mut bytes = line.outward.take_arrived();
        if line.marks.has(Marks::RAW) {
            line.raw.append(&mut bytes);
        }
        let mut input = Input::new(&mut bytes);
        while let Some(event) = line.connection.receive(&mut self.shared, now, &mut input) {
            match event {
                Event::Message(message) => line.keep(message),
                Event::Gathered(gathered) => {
                    line.keep(gathered.as_message());
                    self.shared.recycle(gathered);
                }
                Event::Pong(payload) => line.pongs.push(payload.into_owned()),
                Event::Request(head) => answer(&mut line.connection, &mut self.shared, now, &head),
                Event::Opened(_) | Event::Ping(_) | Event::Piece(..) => {}
            }
        }
        if line.outward.is_over() && !line.marks.has(Marks::HEARD_END) {
            line.marks.set(Marks::HEARD_END);
            if !line.marks.has(Marks::RAW) {
                line.connection.receive_eof(&mut self.shared, now);
            }
        }
        self.speak(index);
        // There may be room for the server now.
        self.activate(index);
    }

    /// The peer says what its conversation wants to say.
    pub(super) fn speak(&mut self, index: u32) {
        let now = self.tick();
        let line = &mut *self.lines[index as usize];
        if line.connection.state() == State::Open {
            for message in std::mem::take(&mut line.early) {
                let _ = line.connection.send(&mut self.shared, message.as_message());
            }
        }
        line.collect(&mut self.shared, now);
        match line.connection.state() {
            State::Handshaking | State::Deciding | State::Open | State::Closing | State::Flushing => {}
            // "The client SHOULD wait for the server to close the connection" (§7.1.1), and browsers do.
            State::Draining if line.connection.role() == Role::Client => {}
            State::Draining => line.marks.set(Marks::FINISHES),
            State::Closed => {
                line.marks.set(Marks::FINISHES);
                line.marks.set(Marks::PEER_GONE);
                line.reason = line.reason.take().or_else(|| line.connection.take_close_reason());
            }
        }
    }

    /// The peer is gone at once.
    pub(super) fn end_peer(&mut self, index: u32, reason: CloseReason) {
        let line = &mut *self.lines[index as usize];
        line.connection.end(&mut self.shared, reason);
        line.unsent.clear();
        self.speak(index);
    }

    /// The peer's program ends, and its kernel closes the connection.
    pub(super) fn hang_up(&mut self, index: u32) {
        let line = self.line(index);
        if line.marks.has(Marks::PEER_GONE) {
            return;
        }
        if line.outward.is_empty() {
            self.end_peer(index, CloseReason::Eof);
            self.note(index, "the peer hangs up", b"");
        } else {
            self.reset_by_peer(index);
        }
    }
}

/// A peer to which the server has connected accepts every upgrade.
fn answer(
    connection: &mut Connection,
    shared: &mut crate::protocol::Shared,
    now: crate::protocol::time::Tick,
    head: &[u8],
) {
    match Request::parse(head) {
        Ok(request) => {
            let ticket = Ticket::new(&request);
            let _ = connection.answer(shared, now, ticket, Answer::Upgrade(Upgrade::new()));
        }
        Err(rejection) => connection.reject(shared, now, &Ticket::unreadable(), rejection),
    }
}
