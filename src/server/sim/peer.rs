//! The other end of a simulated connection.

use crate::protocol::{CloseCode, CloseReason, Message, OwnedMessage, ReadyState, State};
use crate::server::net::memory::{Layer, Marks, Network, NetworkRef, Stays, Wrapped};
use std::marker::PhantomData;
use std::net::SocketAddr;

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

    /// Puts a layer between the peer and the wire, such as a TLS session. Call it right after the
    /// peer has connected, before the simulation goes on.
    pub fn wrap(&self, layer: impl Layer + 'static) {
        self.act(|network, index| network.line(index).wrap(Wrapped::new(Box::new(layer))));
    }

    // ---- what it does --------------------------------------------------------------------------

    /// Sends a message as soon as the connection is open. Does nothing after its end.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) {
        let message = message.into();
        self.act(|network, index| {
            let line = &mut network.lines[index as usize];
            if line.connection.state().ready_state() == ReadyState::Connecting {
                line.early.push(OwnedMessage::from(message));
            } else {
                // As in a browser, what is sent after the end is dropped.
                let _ = line.connection.send(&mut network.shared, message);
            }
        });
    }

    /// Sends a ping, if the connection is open.
    pub fn ping(&self, payload: &[u8]) {
        self.act(|network, index| {
            let _ = network.lines[index as usize].connection.ping(&mut network.shared, payload);
        });
    }

    /// Sends raw bytes, between its other output.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.act(|network, index| {
            let now = network.tick();
            let line = &mut network.lines[index as usize];
            line.collect(&mut network.shared, now);
            if !line.marks.has(Marks::PEER_GONE) {
                line.say(bytes);
            }
        });
    }

    /// Begins the closing handshake. Disconnects if the connection is not open yet.
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

    /// Stops reading.
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
            OwnedMessage::Text(text) => text,
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

    /// Returns how the connection ended for the peer, or `None` before its end.
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
