//! What peers do with what they receive.

use super::layer::Wrapped;
use super::line::{Line, Marks};
use super::network::Network;
use crate::protocol::{Answer, CloseReason, Connection, Event, Input, Message, Request, Role, State, Ticket, Upgrade};
use std::io;

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
    pub(crate) fn hear(&mut self, index: u32) {
        let now = self.tick();
        let line = &mut *self.lines[index as usize];
        if line.marks.has(Marks::STOPPED) || line.marks.has(Marks::PEER_GONE) {
            return;
        }
        let (mut bytes, mut goes_on) = (line.outward.take_arrived(), true);
        if let Some(wrapped) = &mut line.wrapped {
            (bytes, goes_on) = wrapped.receive(&bytes, &mut line.unsent);
        }
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
                Event::Request { head, .. } => answer(&mut line.connection, &mut self.shared, now, &head),
                Event::Opened(_) | Event::Ping(_) | Event::Piece(..) => {}
            }
        }
        if line.outward.is_over() && !line.marks.has(Marks::HEARD_END) {
            line.marks.set(Marks::HEARD_END);
            if !line.marks.has(Marks::RAW) {
                line.connection.receive_eof(&mut self.shared, now);
            }
        }
        if !goes_on {
            line.connection.end(&mut self.shared, CloseReason::Io(io::ErrorKind::InvalidData));
        }
        self.speak(index);
        // There may be room for the server now.
        self.activate(index);
    }

    /// Sends the output of the peer's connection.
    pub(crate) fn speak(&mut self, index: u32) {
        let now = self.tick();
        let line = &mut *self.lines[index as usize];
        if line.connection.state() == State::Open {
            for message in std::mem::take(&mut line.early) {
                let _ = line.connection.send(&mut self.shared, message.as_message());
            }
        }
        line.collect(&mut self.shared, now);
        match line.connection.state() {
            State::Handshaking
            | State::Deciding
            | State::Open
            | State::Closing
            | State::Flushing
            | State::Responding => {}
            // "The client SHOULD wait for the server to close the connection" (§7.1.1), and
            // browsers do.
            State::Draining if line.connection.role() == Role::Client => {}
            State::Draining => line.marks.set(Marks::FINISHES),
            State::Closed => {
                line.marks.set(Marks::FINISHES);
                line.marks.set(Marks::PEER_GONE);
                line.reason = line.reason.take().or_else(|| line.connection.take_close_reason());
            }
        }
        if let Some(wrapped) = line.wrapped.as_mut().filter(|_| line.marks.has(Marks::FINISHES)) {
            wrapped.end(&mut line.unsent);
        }
    }

    /// The peer disconnects at once.
    pub(crate) fn end_peer(&mut self, index: u32, reason: CloseReason) {
        let line = &mut *self.lines[index as usize];
        line.connection.end(&mut self.shared, reason);
        line.unsent.clear();
        line.wrapped.iter_mut().for_each(Wrapped::break_off);
        self.speak(index);
    }

    /// The peer's program ends, and its kernel closes the connection.
    pub(crate) fn hang_up(&mut self, index: u32) {
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
