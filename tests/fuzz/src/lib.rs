//! Common parts of the fuzz targets for complete connections: one side with an application that
//! follows a plan, and the other side, which must find no violation in the first one's output.
//!
//! Each input is
//!
//! ```text
//!  mode, limits, number of steps (1 byte each), steps, the peer's bytes
//! ```

use lariat::protocol::time::Tick;
use lariat::protocol::{
    Connection, Event, Input, Opening, OwnedMessage, Position, Prepared, Request, Role, Shared, State, Ticket, Upgrade,
};
use lariat::{CloseCode, CloseReason, Deflate, Http, Limits, Message, Takeover};

/// A parsed input.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'d> {
    mode: u8,
    limits: u8,
    /// The steps, in order.
    pub steps: &'d [u8],
    /// The bytes of the peer.
    pub bytes: &'d [u8],
}

impl<'d> Plan<'d> {
    /// Parses an input.
    pub fn new(data: &'d [u8]) -> Option<Plan<'d>> {
        let [mode, limits, count, rest @ ..] = data else { return None };
        let (steps, bytes) = rest.split_at(usize::from(*count).min(rest.len()));
        Some(Plan { mode: *mode, limits: *limits, steps, bytes })
    }

    /// The same plan with unlimited room for unsent bytes.
    #[must_use]
    pub fn with_room(self) -> Plan<'d> {
        Plan { limits: self.limits & 0x3f, ..self }
    }

    /// Returns our role.
    pub fn role(self) -> Role {
        if self.mode & 1 == 0 { Role::Server } else { Role::Client }
    }

    /// Whether the opening handshake is complete before the peer's bytes begin.
    pub fn is_open(self) -> bool {
        self.mode & 2 == 0
    }

    fn deflate(self) -> Option<Deflate> {
        let mut deflate = Deflate::default();
        deflate.threshold = 20;
        deflate.level = 1;
        deflate.context_takeover = if self.mode & 8 == 0 { Takeover::Never } else { Takeover::Both };
        (self.mode & 4 != 0).then_some(deflate)
    }

    /// Whether messages are delivered in pieces from the first one on.
    fn in_pieces(self) -> bool {
        self.mode & 16 != 0
    }

    /// Whether the application answers requests late, after all read bytes were handled.
    fn answers_late(self) -> bool {
        self.mode & 32 != 0
    }

    /// Whether the application echoes every message.
    fn echoes(self) -> bool {
        self.mode & 64 != 0
    }

    /// Whether traces are recorded.
    fn is_traced(self) -> bool {
        self.mode & 128 != 0
    }

    /// Whether requests may have bodies and a connection several of them. Without compression, its
    /// other bit has no meaning of its own.
    fn has_http(self) -> bool {
        self.mode & 0b1100 == 0b1000
    }

    fn limits(self) -> Limits {
        let mut limits = Limits::default();
        limits.max_message = [1 << 20, 0, 125, 4_000][usize::from(self.limits & 3)];
        limits.max_fragments = [1 << 17, 1, 3, 100][usize::from(self.limits >> 2 & 3)];
        limits.max_head = [8 << 10, 200, 300, 1_000][usize::from(self.limits >> 4 & 3)];
        limits.max_unsent = [1 << 30, 0, 300, 10_000][usize::from(self.limits >> 6)];
        if self.has_http() {
            let mut http = Http::default();
            (http.max_body, http.max_requests) = (400, 5);
            limits.http = Some(http);
        }
        limits
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request, and its body.
    Request(Vec<u8>, Vec<u8>),
    /// The other side has accepted.
    Opened(Option<String>),
    /// A complete message, and whether it is text.
    Message(bool, Vec<u8>),
    /// A Ping.
    Ping(Vec<u8>),
    /// A Pong.
    Pong(Vec<u8>),
}

/// One side of a connection.
pub struct Side<'d> {
    plan: Plan<'d>,
    /// The connection.
    pub connection: Connection,
    shared: Shared,
    /// The time.
    pub now: Tick,
    /// The events, in order.
    pub seen: Vec<Seen>,
    /// The actions of the application at each event.
    reactions: &'d [u8],
    reacted: usize,
    /// The pieces of an incomplete message.
    pieces: Option<(bool, Vec<u8>)>,
    ticket: Option<(Ticket, bool)>,
    /// Whether the application is sending a message in pieces.
    is_sending: bool,
    /// The output that the other side has not read.
    unread: Vec<u8>,
    /// The close reason.
    pub reason: Option<CloseReason>,
    /// The number of bytes that were received, decompressed and sent by the application. They
    /// justify the memory in use.
    cause: usize,
    rank: u8,
    /// Messages were delivered in pieces for a while.
    had_pieces: bool,
}

/// A line that the application sends. It is long enough to be compressed.
const LINE: &str = "The quick brown fox jumps over the lazy dog, κόσμε. The quick brown fox, again.";

/// A block that is large enough to be shared by several receivers.
const BLOCK: [u8; 3_000] = [0x5a; 3_000];

impl<'d> Side<'d> {
    /// Creates the side that the plan describes, and the other side if the opening handshake is
    /// complete.
    pub fn new(plan: Plan<'d>, reactions: &'d [u8]) -> (Side<'d>, Option<Side<'d>>) {
        let role = plan.role();
        let mut side = Side::one(plan, role, plan.limits(), reactions);
        if !plan.is_open() {
            return (side, None);
        }
        let other_role = if role == Role::Server { Role::Client } else { Role::Server };
        // The other side accepts everything, sends nothing on its own, and has no deadlines.
        let mut limits = Limits::default();
        (limits.max_message, limits.max_fragments, limits.ping_interval) = (usize::MAX, u32::MAX, None);
        (limits.idle_timeout, limits.message_timeout, limits.write_timeout) = (None, None, None);
        let plain = Plan { mode: plan.mode & 0b1100, ..plan };
        let mut other = Side::one(plain, other_role, limits, &[]);
        for _ in 0..2 {
            side.flush(usize::MAX);
            other.receive(&side.take_unread());
            other.flush(usize::MAX);
            side.receive(&other.take_unread());
            side.settle();
        }
        assert_eq!((side.connection.state(), other.connection.state()), (State::Open, State::Open));
        assert_eq!(side.connection.memory(), 0, "an idle connection owns no buffer");
        side.seen.clear();
        (side.reactions, side.reacted) = (reactions, 0);
        side.connection.receive_in_pieces(plan.in_pieces());
        (side, Some(other))
    }

    fn one(plan: Plan<'d>, role: Role, mut limits: Limits, reactions: &'d [u8]) -> Side<'d> {
        if plan.is_open() {
            limits.max_head = limits.max_head.max(1_000);
        }
        let now = Tick::from_millis(u32::MAX - 70_000);
        let mut shared = Shared::with_seed(limits, 7).with_deflate(plan.deflate());
        let mut connection = match role {
            Role::Server => Connection::new(role, now),
            Role::Client => {
                let (mut opening, _, _) = Opening::parse("ws://localhost/").expect("a URL");
                opening.offer(&["chat".to_owned()]).expect("a token");
                Connection::connect(&mut shared, now, &opening)
            }
        };
        connection.trace(plan.is_traced().then_some(1));
        Side {
            plan,
            connection,
            shared,
            now,
            seen: Vec::new(),
            reactions: if plan.is_open() { &[] } else { reactions },
            reacted: 0,
            pieces: None,
            ticket: None,
            is_sending: false,
            unread: Vec::new(),
            reason: None,
            cause: 0,
            rank: 0,
            had_pieces: false,
        }
    }

    /// Passes the bytes of one read to the connection.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.cause += bytes.len();
        // A read buffer mostly has room after the bytes that were read.
        let mut buffer = [bytes, &[0xa5; 150][..]].concat();
        #[cfg(not(lariat_plain))]
        if let Some(message) = self.connection.receive_single(&mut self.shared, self.now, &mut buffer, bytes.len()) {
            self.handle(Event::Message(message));
            return self.check();
        }
        let mut input = Input::new(&mut buffer[..bytes.len()]);
        while let Some(event) = self.connection.receive(&mut self.shared, self.now, &mut input) {
            self.handle(event);
            self.check();
        }
        assert!(input.is_empty(), "None means that everything has been handled");
        self.check();
    }

    /// Gives a late answer, and receives the bytes that were stored until then.
    pub fn settle(&mut self) {
        if let Some((ticket, is_upgrade)) = self.ticket.take() {
            self.answer(ticket, is_upgrade);
            self.receive_held();
        }
    }

    fn receive_held(&mut self) {
        let held = self.connection.take_held(&mut self.shared);
        self.receive(&held);
    }

    fn handle(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Request { head, body } => {
                match Request::parse(&head) {
                    Ok(request) => {
                        let (ticket, is_upgrade) = (Ticket::new(&request), request.is_upgrade());
                        if self.plan.answers_late() {
                            self.ticket = Some((ticket, is_upgrade));
                        } else {
                            self.answer(ticket, is_upgrade);
                        }
                    }
                    Err(rejection) => {
                        self.connection.reject(&mut self.shared, self.now, &Ticket::unreadable(), rejection);
                    }
                }
                // The head is compared and not parsed.
                self.seen.push(Seen::Request(head.into_owned(), body));
                return;
            }
            Event::Opened(subprotocol) => Seen::Opened(subprotocol),
            Event::Message(message) => self.message(message, Position::Whole).expect("a whole message"),
            Event::Gathered(gathered) => self.gathered(gathered, Position::Whole).expect("a whole message"),
            Event::Piece(piece, position) => match self.gathered(piece, position) {
                Some(seen) => seen,
                None => return,
            },
            Event::Ping(payload) => Seen::Ping(payload.into_owned()),
            Event::Pong(payload) => Seen::Pong(payload.into_owned()),
        };
        let echo = match (&seen, self.plan.echoes()) {
            (Seen::Message(is_text, bytes), true) => Some((*is_text, bytes.clone())),
            (_, _) => None,
        };
        self.seen.push(seen);
        if let Some((is_text, bytes)) = echo {
            let text = is_text.then(|| std::str::from_utf8(&bytes).expect("text is UTF-8"));
            self.send(text.map_or(Message::Binary(&bytes), Message::Text));
        }
        if let Some(reaction) = self.reactions.get(self.reacted) {
            self.reacted += 1;
            self.act(*reaction);
        }
    }

    /// Records an event that has its own buffer, and returns the buffer to its pool.
    fn gathered(&mut self, gathered: OwnedMessage, position: Position) -> Option<Seen> {
        let seen = self.message(gathered.as_message(), position);
        self.shared.recycle(gathered);
        seen
    }

    /// Joins pieces.
    fn message(&mut self, message: Message<'_>, position: Position) -> Option<Seen> {
        assert_eq!(position.begins(), self.pieces.is_none(), "{position:?}");
        let (is_text, mut bytes) = self.pieces.take().unwrap_or((message.as_text().is_some(), Vec::new()));
        assert_eq!(is_text, message.as_text().is_some());
        bytes.extend_from_slice(message.as_bytes());
        // The message may have been compressed, and its buffer is used again.
        self.cause += message.as_bytes().len();
        if position.ends() {
            return Some(Seen::Message(is_text, bytes));
        }
        self.pieces = Some((is_text, bytes));
        None
    }

    fn answer(&mut self, ticket: Ticket, is_upgrade: bool) {
        let answer = match is_upgrade {
            true => Upgrade::new().into(),
            false => lariat::http::StatusCode::NOT_FOUND.into(),
        };
        self.connection.answer(&mut self.shared, self.now, ticket, answer).expect("a valid answer");
        self.connection.receive_in_pieces(self.plan.in_pieces());
    }

    fn send(&mut self, message: Message<'_>) {
        self.cause += message.as_bytes().len() + 14;
        let outcome = self.connection.send(&mut self.shared, message);
        assert!(outcome.is_err() || self.connection.state() == State::Open);
    }

    fn send_piece(&mut self, piece: &str, position: Position) {
        self.cause += piece.len() + 14;
        let outcome = self.connection.send_piece(&mut self.shared, Message::Text(piece), position);
        if outcome.is_ok() {
            assert_eq!(position.begins(), !self.is_sending);
            self.is_sending = !position.ends();
        }
    }

    /// Lets the application act.
    pub fn act(&mut self, what: u8) {
        match what % 16 {
            0 => self.send(Message::Text(LINE)),
            1 => self.send(Message::Text("hi")),
            2 => self.send(Message::Binary(&BLOCK)),
            3 => self.send(Message::Binary(&[])),
            4 => {
                self.cause += LINE.len() + 14;
                let _ = self.connection.ping(&mut self.shared, LINE.as_bytes());
            }
            5 => {
                self.cause += 140;
                let _ = self.connection.close(&mut self.shared, self.now, CloseCode::Normal, LINE);
            }
            6 => {
                let code = CloseCode::from(990 + u16::from(what));
                let _ = self.connection.close(&mut self.shared, self.now, code, "");
            }
            7 => {
                self.had_pieces = true;
                self.connection.receive_in_pieces(true);
            }
            8 => self.connection.receive_in_pieces(false),
            9 => self.send_piece("beg", Position::First),
            10 => self.send_piece("", Position::Middle),
            11 => self.send_piece("end", Position::Last),
            12 => self.send_piece(LINE, Position::Whole),
            13 => {
                self.cause += BLOCK.len() + 14;
                let prepared = Prepared::new(Message::Binary(&BLOCK));
                let _ = self.connection.send_prepared(&mut self.shared, &prepared);
            }
            14 => {
                self.cause += LINE.len() + 14;
                let _ = self.connection.send_prepared(&mut self.shared, &Prepared::new(Message::Text(LINE)));
            }
            _ if self.connection.resume(self.now) => self.receive_held(),
            _ => self.connection.pause(),
        }
        self.check();
    }

    /// Sends at most this many bytes. Zero: the peer accepts nothing.
    pub fn flush(&mut self, mut most: usize) {
        loop {
            let output = self.connection.output(&mut self.shared);
            assert_eq!(output.is_empty(), self.connection.buffered_amount() == 0);
            let count = output.len().min(most);
            self.unread.extend_from_slice(&output[..count]);
            most -= count;
            let state_before = self.connection.state();
            self.connection.sent(&mut self.shared, self.now, count);
            self.check();
            if self.connection.take_answered().is_some() {
                // Another request may follow, and may have arrived.
                assert_eq!(state_before, State::Responding);
                self.receive_held();
            }
            if count == 0 {
                return;
            }
        }
    }

    /// Returns the output since the last call.
    pub fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Lets time pass.
    pub fn wait(&mut self, millis: u32) {
        self.now = Tick::from_millis(self.now.millis().wrapping_add(millis));
        self.cause += 256;
        self.connection.handle_timeout(&mut self.shared, self.now);
        let deadline = self.connection.deadline(&self.shared.limits, self.now);
        assert!(deadline.is_none_or(|deadline| !deadline.is_due(self.now)), "nothing has become of {deadline:?}");
        self.check();
    }

    /// The peer's stream ends.
    pub fn eof(&mut self) {
        self.connection.receive_eof(&mut self.shared, self.now);
        self.check();
    }

    /// The connection breaks.
    pub fn end(&mut self) {
        self.connection.end(&mut self.shared, CloseReason::Io(std::io::ErrorKind::ConnectionReset));
        assert_eq!(self.connection.state(), State::Closed);
        self.check();
        assert_eq!(self.connection.memory(), 0);
        assert_eq!(self.shared.context_bytes(), 0);
        assert!(self.reason.is_some());
    }

    /// Checks what must hold at any time.
    fn check(&mut self) {
        let state = self.connection.state();
        let rank = match state {
            // With several requests, a connection begins again after each response.
            State::Handshaking | State::Deciding | State::Responding if self.plan.has_http() => 0,
            state => state as u8,
        };
        assert!(rank >= self.rank, "no transition leads back to {state:?}");
        self.rank = rank;
        let is_closed = state == State::Closed;
        if is_closed {
            match self.connection.take_close_reason() {
                Some(reason) => assert_eq!(self.reason.replace(reason), None, "two reasons"),
                None => assert!(self.reason.is_some(), "no reason"),
            }
        } else {
            assert_eq!(self.reason, None);
        }
        let memory = self.connection.memory();
        let (limits, pongs) = (&self.shared.limits, 1_024);
        // A compressed message in pieces has a decompressor, and one piece of at most 64 KiB.
        let had_pieces = self.had_pieces || self.plan.in_pieces();
        let inflating = if had_pieces { (48 << 10) + 2 * (64 << 10) } else { 0 };
        let most = 4 * self.cause + pongs + limits.max_head.min(4 * self.cause) + inflating;
        assert!(memory <= most, "{memory} for {}", self.cause);
        let is_over = matches!(state, State::Draining | State::Flushing | State::Closed);
        assert!(!is_over || self.connection.buffered_amount() > 0 || memory == 0, "{memory} bytes in {state:?}");
        assert!(!is_closed || self.connection.deadline(limits, self.now).is_none());
        let most_spare = 4 * (128 << 10) + (64 << 10) + (1 << 20);
        assert!(self.shared.memory() <= most_spare + (64 << 10) + 4 * self.cause, "{}", self.shared.memory());
        if self.shared.has_traces() {
            assert!(self.plan.is_traced());
            self.shared.take_traces();
        }
    }
}

/// Checks that the other side finds no violation.
pub fn agrees(mut other: Side<'_>, said: &[u8]) {
    other.receive(said);
    other.flush(usize::MAX);
    other.eof();
    other.end();
    assert!(!matches!(other.reason, Some(CloseReason::Protocol(_))), "{:?} in {}", other.reason, said.escape_ascii());
}
