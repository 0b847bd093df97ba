//! A simulated connection.

use super::layer::Wrapped;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Connection, Opening, OwnedMessage, Role, Shared};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;

/// Bytes in one direction: first those that have arrived, then those that are still under way.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    arrived: usize,
    end: End,
}

/// Where a stream's end (FIN) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    UnderWay,
    Arrived,
}

impl Pipe {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) const fn arrived(&self) -> usize {
        self.arrived
    }

    pub(crate) fn under_way(&self) -> usize {
        self.bytes.len() - self.arrived
    }

    pub(crate) fn room(&self, window: usize) -> usize {
        window.saturating_sub(self.bytes.len())
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end != End::Open
    }

    /// Returns whether the end has arrived, even if there are bytes before it.
    pub(crate) fn end_has_arrived(&self) -> bool {
        self.end == End::Arrived
    }

    /// Returns whether the end is to be read next.
    pub(crate) fn is_over(&self) -> bool {
        self.end_has_arrived() && self.bytes.is_empty()
    }

    /// Ends the stream: no bytes will follow.
    pub(crate) fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::UnderWay;
        }
    }

    /// Lets this many bytes arrive, and the end with the last. Returns whether anything arrived.
    pub(crate) fn arrive(&mut self, count: usize) -> bool {
        self.arrived += count;
        let ends = self.end == End::UnderWay && self.arrived == self.bytes.len();
        if ends {
            self.end = End::Arrived;
        }
        count > 0 || ends
    }

    /// Takes bytes that have arrived.
    pub(crate) fn take(&mut self, into: &mut [u8]) {
        self.bytes.read_exact(into).expect("no more than has arrived");
        self.arrived -= into.len();
        self.trim();
    }

    pub(crate) fn take_arrived(&mut self) -> Vec<u8> {
        let mut taken = vec![0; self.arrived];
        self.take(&mut taken);
        taken
    }

    pub(crate) fn lose_under_way(&mut self) {
        self.bytes.truncate(self.arrived);
        self.trim();
    }

    pub(crate) fn lose(&mut self) {
        self.arrived = 0;
        self.lose_under_way();
    }

    /// Otherwise, a million idle lines would keep two million buffers.
    fn trim(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
    }
}

/// What is true of a line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks(u16);

impl Marks {
    /// In the queue of those on which something is to happen.
    pub(crate) const ACTIVE: Marks = Marks(1);
    /// The server shall get an event for its end.
    pub(crate) const EDGE: Marks = Marks(1 << 1);
    /// In the queue of those whose event is to be reported.
    pub(crate) const TO_TELL: Marks = Marks(1 << 12);
    /// The server's last write was short, so it gets an event when there is room.
    pub(crate) const WANTS_ROOM: Marks = Marks(1 << 2);
    /// It was reset, by either end.
    pub(crate) const RESET: Marks = Marks(1 << 3);
    /// The server has closed its end.
    pub(crate) const SERVER_GONE: Marks = Marks(1 << 4);
    /// The peer has closed its end.
    pub(crate) const PEER_GONE: Marks = Marks(1 << 5);
    /// No handle to the peer is left.
    pub(crate) const UNWATCHED: Marks = Marks(1 << 6);
    /// The peer closes its half when it has sent everything.
    pub(crate) const FINISHES: Marks = Marks(1 << 7);
    /// The peer does not read.
    pub(crate) const STOPPED: Marks = Marks(1 << 8);
    /// The peer speaks no protocol.
    pub(crate) const RAW: Marks = Marks(1 << 9);
    /// The peer counts messages and forgets them.
    pub(crate) const COUNTS: Marks = Marks(1 << 10);
    /// The peer has read the end of the stream.
    pub(crate) const HEARD_END: Marks = Marks(1 << 11);

    pub(crate) const fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    pub(crate) fn set(&mut self, mark: Marks) {
        self.0 |= mark.0;
    }

    pub(crate) fn clear(&mut self, mark: Marks) {
        self.0 &= !mark.0;
    }
}

/// Who watches the server's socket of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The number of the loop.
    pub(crate) by: u8,
    /// The place of the loop's client.
    pub(crate) client: u32,
}

/// One connection, with the peer at its far end.
#[derive(Debug)]
pub(crate) struct Line {
    /// To the server.
    pub(crate) inward: Pipe,
    /// To the peer.
    pub(crate) outward: Pipe,
    pub(crate) marks: Marks,
    /// What the server's next call fails with.
    pub(crate) error: Option<io::ErrorKind>,
    /// Who watches the server's socket, while anybody does.
    pub(crate) watched: Option<Watched>,
    /// The peer's.
    pub(crate) address: SocketAddr,
    pub(crate) connection: Connection,
    /// What lies between that and the wire, if anything does.
    pub(crate) wrapped: Option<Wrapped>,
    /// What the peer has said and there is no room for yet.
    pub(crate) unsent: VecDeque<u8>,
    /// What the peer sends as soon as it is open.
    pub(crate) early: Vec<OwnedMessage>,
    /// What the peer has received and the test has not read yet.
    pub(crate) messages: Vec<OwnedMessage>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) raw: Vec<u8>,
    pub(crate) count: u64,
    pub(crate) reason: Option<CloseReason>,
}

impl Line {
    pub(crate) fn new(peer: Role, now: Tick, address: SocketAddr) -> Line {
        Line {
            inward: Pipe::default(),
            outward: Pipe::default(),
            marks: Marks::default(),
            error: None,
            watched: None,
            address,
            connection: Connection::new(peer, now),
            wrapped: None,
            unsent: VecDeque::new(),
            early: Vec::new(),
            messages: Vec::new(),
            pongs: Vec::new(),
            raw: Vec::new(),
            count: 0,
            reason: None,
        }
    }

    /// Begins the peer's opening handshake.
    pub(crate) fn connect(&mut self, shared: &mut Shared, now: Tick, opening: &Opening) {
        self.connection = Connection::connect(shared, now, opening);
        self.collect(shared, now);
    }

    /// Takes the output of the peer's connection.
    pub(crate) fn collect(&mut self, shared: &mut Shared, now: Tick) {
        loop {
            let output = self.connection.output(shared);
            let count = output.len();
            if count == 0 {
                return;
            }
            say(&mut self.wrapped, &mut self.unsent, output);
            self.connection.sent(shared, now, count);
        }
    }

    /// The peer says something beside what its connection says.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        say(&mut self.wrapped, &mut self.unsent, bytes);
    }

    /// Puts a layer between the peer and the wire. What it has said and not sent passes through.
    pub(crate) fn wrap(&mut self, wrapped: Wrapped) {
        self.wrapped = Some(wrapped);
        let said = Vec::from(std::mem::take(&mut self.unsent));
        self.say(&said);
    }

    /// Returns whether the peer has something to send, and room for it.
    pub(crate) fn can_send(&self, window: usize) -> bool {
        if self.unsent.is_empty() {
            self.marks.has(Marks::FINISHES) && !self.inward.has_ended()
        } else {
            self.inward.room(window) > 0 && !self.marks.has(Marks::RESET)
        }
    }

    /// Sends as much from the peer as there is room for.
    pub(crate) fn send_unsent(&mut self, window: usize) {
        if !self.can_send(window) {
            return;
        }
        let count = self.inward.room(window).min(self.unsent.len());
        let (front, back) = self.unsent.as_slices();
        let split = front.len().min(count);
        if !self.inward.has_ended() {
            self.inward.put(&front[..split]);
            self.inward.put(&back[..count - split]);
        }
        self.unsent.drain(..count);
        if self.unsent.is_empty() {
            self.unsent = VecDeque::new();
            if self.marks.has(Marks::FINISHES) {
                self.inward.end();
            }
        }
    }

    /// Returns whether it can be removed.
    pub(crate) fn is_over(&self) -> bool {
        let marks = self.marks;
        let is_left = marks.has(Marks::SERVER_GONE) && marks.has(Marks::PEER_GONE) && marks.has(Marks::UNWATCHED);
        is_left && !marks.has(Marks::ACTIVE)
    }

    /// Returns the bytes of memory, without messages.
    pub(crate) fn memory(&self) -> usize {
        let buffers = [&self.inward.bytes, &self.outward.bytes, &self.unsent].map(VecDeque::capacity);
        size_of::<Line>()
            + self.connection.memory()
            + self.connection.rare_memory()
            + buffers.iter().sum::<usize>()
            + self.raw.capacity()
    }
}

fn say(wrapped: &mut Option<Wrapped>, unsent: &mut VecDeque<u8>, bytes: &[u8]) {
    match wrapped {
        Some(wrapped) => wrapped.send(bytes, unsent),
        None => unsent.extend(bytes),
    }
}
