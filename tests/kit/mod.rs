//! Common parts of the protocol's tests: a client's frames, a driver without a socket, and a parser
//! of its output.

// Each test program uses a part of it.
#![allow(dead_code)]

#[cfg(not(lariat_plain))]
use lariat::protocol::LONGEST_RUN;
use lariat::protocol::time::Tick;
use lariat::protocol::{
    Answer, Connection, Event, Input, Limits, Message, Opening, Position, Rejection, Request, Role, Shared, State,
    Ticket, Upgrade,
};
use lariat::{CloseCode, CloseReason};
use tungstenite::handshake::derive_accept_key;

/// The opening handshake of RFC 6455 §1.2, without the optional headers.
pub const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const RSV2: u8 = 0x20;
pub const RSV3: u8 = 0x10;

/// The masking key of the examples in RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The number of bytes in which a header encodes its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    Minimal,
    Bits16,
    Bits64,
}

/// Returns a header with this first byte.
pub fn header(first: u8, key: Option<[u8; 4]>, form: LengthForm, length: u64) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let form = match (form, length) {
        (LengthForm::Minimal, 126..=0xffff) => LengthForm::Bits16,
        (LengthForm::Minimal, 0x1_0000..) => LengthForm::Bits64,
        (form, _) => form,
    };
    let mut bytes = vec![first];
    match form {
        LengthForm::Minimal => bytes.push(masked | length as u8),
        LengthForm::Bits16 => {
            bytes.push(masked | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        LengthForm::Bits64 => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend(key.into_iter().flatten());
    bytes
}

/// Returns a masked frame with this first byte.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    keyed_frame(first, KEY, payload)
}

/// Returns a frame that is masked with this key.
pub fn keyed_frame(first: u8, key: [u8; 4], payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(first, Some(key), LengthForm::Minimal, payload.len() as u64);
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]));
    bytes
}

/// Returns a frame that is not masked, as a server sends it.
pub fn unmasked_frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(first, None, LengthForm::Minimal, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns a frame as the peer of `role` must send it.
pub fn peer_frame(role: Role, first: u8, key: [u8; 4], payload: impl AsRef<[u8]>) -> Vec<u8> {
    match role {
        Role::Server => keyed_frame(first, key, payload),
        Role::Client => unmasked_frame(first, payload),
    }
}

/// Returns a complete text message.
pub fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text)
}

/// Returns a complete binary message.
pub fn binary(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | BINARY, bytes)
}

/// Returns the body of a Close frame.
pub fn close_body(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_ref()].concat()
}

/// Returns a Close frame.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | CLOSE, close_body(code, reason))
}

/// An event as an owned value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Request { path: String, is_upgrade: bool },
    Refused(Rejection),
    Opened(Option<String>),
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl Seen {
    fn message(message: Message<'_>) -> Seen {
        match message {
            Message::Text(text) => Seen::text(text),
            Message::Binary(bytes) => Seen::binary(bytes),
        }
    }

    pub fn text(text: &str) -> Seen {
        Seen::Text(text.to_owned())
    }

    pub fn binary(bytes: impl AsRef<[u8]>) -> Seen {
        Seen::Binary(bytes.as_ref().to_vec())
    }

    pub fn ping(bytes: impl AsRef<[u8]>) -> Seen {
        Seen::Ping(bytes.as_ref().to_vec())
    }

    pub fn pong(bytes: impl AsRef<[u8]>) -> Seen {
        Seen::Pong(bytes.as_ref().to_vec())
    }
}

/// An application's answer to a request.
pub type Decide = fn(&Request<'_>) -> Answer;

/// Accepts every request.
pub fn upgrade(_: &Request<'_>) -> Answer {
    Upgrade::new().into()
}

/// A connection and its driver. It does the same as `server`, with vectors instead of sockets.
pub struct Talk {
    pub connection: Connection,
    pub shared: Shared,
    pub now: Tick,
    pub seen: Vec<Seen>,
    /// The pieces of an incomplete message.
    pieces: Option<Seen>,
    /// All bytes that the driver has sent.
    pub output: Vec<u8>,
    /// The most memory that the connection held after a read.
    pub most_memory: usize,
    pub decide: Decide,
}

impl Talk {
    /// Creates a connection before its opening handshake.
    pub fn fresh(shared: Shared, now: Tick) -> Talk {
        Talk::new(Connection::new(Role::Server, now), shared, now)
    }

    /// Creates a connection in the client role and sends its request.
    pub fn connect(mut shared: Shared, now: Tick, opening: &Opening) -> Talk {
        let connection = Connection::connect(&mut shared, now, opening);
        let mut talk = Talk::new(connection, shared, now);
        talk.flush();
        talk
    }

    fn new(connection: Connection, shared: Shared, now: Tick) -> Talk {
        Talk {
            connection,
            shared,
            now,
            seen: Vec::new(),
            pieces: None,
            output: Vec::new(),
            most_memory: 0,
            decide: upgrade,
        }
    }

    /// Creates an open connection and discards its 101 response.
    pub fn open(shared: Shared, now: Tick) -> Talk {
        let mut talk = Talk::fresh(shared, now);
        talk.receive(REQUEST);
        talk.flush();
        assert_eq!(talk.state(), State::Open);
        assert!(talk.output.starts_with(b"HTTP/1.1 101 "), "{:?}", talk.output);
        assert_eq!(talk.connection.memory(), 0, "an idle connection owns no buffer");
        talk.seen.clear();
        talk.output.clear();
        talk.most_memory = 0;
        talk
    }

    pub fn with_limits(limits: Limits) -> Talk {
        Talk::open(Shared::with_seed(limits, 0), Tick::default())
    }

    /// The same as [`open`](Self::open) in the client role.
    pub fn open_client(shared: Shared, now: Tick) -> Talk {
        let (opening, _, _) = Opening::parse("ws://server.example.com/chat").expect("a URL");
        let mut talk = Talk::connect(shared, now, &opening);
        let response = response(&accept(&talk.output), "");
        talk.receive(&response);
        assert_eq!(talk.state(), State::Open);
        assert_eq!(talk.connection.memory(), 0, "an idle connection owns no buffer");
        talk.seen.clear();
        talk.output.clear();
        talk.most_memory = 0;
        talk
    }

    pub fn state(&self) -> State {
        self.connection.state()
    }

    /// Passes the bytes of one read to the connection, as the loop does.
    pub fn receive(&mut self, bytes: &[u8]) {
        // A read buffer mostly has room after the bytes that were read.
        let mut buffer = [bytes, &[0xa5; 150][..]].concat();
        #[cfg(not(lariat_plain))]
        {
            let was_open = self.state() == State::Open;
            match self.connection.receive_single(&mut self.shared, self.now, &mut buffer, bytes.len()) {
                Some(message) => return self.seen.push(Seen::message(message)),
                None if was_open && self.state() != State::Open => {}
                None => assert_eq!(buffer[..bytes.len()], *bytes, "the input is unchanged"),
            }
        }
        let mut input = Input::new(&mut buffer[..bytes.len()]);
        while !input.is_empty() {
            #[cfg(not(lariat_plain))]
            if let Some(mut run) = self.connection.receive_run(&self.shared, self.now, &mut input, LONGEST_RUN) {
                self.seen.extend(run.by_ref().map(Seen::message));
                self.connection.finish_run(&mut self.shared, self.now, &run);
                continue;
            }
            let Some(event) = self.connection.receive(&mut self.shared, self.now, &mut input) else { continue };
            match event {
                Event::Request { head, .. } => self.request(&head),
                Event::Opened(subprotocol) => {
                    assert_eq!(self.connection.role(), Role::Client, "a server gets no event `Opened`");
                    self.seen.push(Seen::Opened(subprotocol));
                }
                Event::Message(message) => self.seen.push(Seen::message(message)),
                Event::Gathered(gathered) => {
                    self.seen.push(Seen::message(gathered.as_message()));
                    self.shared.recycle(gathered);
                }
                Event::Piece(piece, position) => {
                    self.piece(Seen::message(piece.as_message()), position);
                    self.shared.recycle(piece);
                }
                Event::Ping(payload) => self.seen.push(Seen::ping(payload)),
                Event::Pong(payload) => self.seen.push(Seen::pong(payload)),
            }
        }
        assert!(input.is_empty(), "None means that everything has been handled");
        self.most_memory = self.most_memory.max(self.connection.memory());
    }

    /// Joins the pieces of a message that is delivered in pieces.
    fn piece(&mut self, piece: Seen, position: Position) {
        assert_eq!(position.begins(), self.pieces.is_none(), "{position:?}");
        let message = match (self.pieces.take(), piece) {
            (None, piece) => piece,
            (Some(Seen::Text(head)), Seen::Text(tail)) => Seen::Text(head + &tail),
            (Some(Seen::Binary(head)), Seen::Binary(tail)) => Seen::Binary([head, tail].concat()),
            (Some(head), tail) => panic!("{tail:?} goes on with {head:?}"),
        };
        if position.ends() {
            self.seen.push(message);
        } else {
            self.pieces = Some(message);
        }
    }

    fn request(&mut self, head: &[u8]) {
        let (ticket, answer) = match Request::parse(head) {
            Ok(request) => {
                self.seen.push(Seen::Request { path: request.path().to_owned(), is_upgrade: request.is_upgrade() });
                (Ticket::new(&request), Ok((self.decide)(&request)))
            }
            Err(rejection) => (Ticket::unreadable(), Err(rejection)),
        };
        let outcome = match answer {
            Ok(answer) => self.connection.answer(&mut self.shared, self.now, ticket, answer),
            Err(rejection) => {
                self.connection.reject(&mut self.shared, self.now, &ticket, rejection);
                Err(rejection)
            }
        };
        if let Err(rejection) = outcome {
            self.seen.push(Seen::Refused(rejection));
        }
    }

    /// Sends all output, in as many writes as necessary.
    pub fn flush(&mut self) {
        loop {
            let output = self.connection.output(&mut self.shared);
            let count = output.len();
            self.output.extend_from_slice(output);
            if count == 0 {
                return;
            }
            self.connection.sent(&mut self.shared, self.now, count);
        }
    }

    /// Sends all output and parses it.
    pub fn flushed(&mut self) -> Vec<Sent> {
        self.flush();
        sent(&std::mem::take(&mut self.output))
    }

    pub fn eof(&mut self) {
        self.connection.receive_eof(&mut self.shared, self.now);
    }

    pub fn handle_timeout(&mut self) {
        self.connection.handle_timeout(&mut self.shared, self.now);
    }

    pub fn deadline(&self) -> Option<Tick> {
        self.connection.deadline(&self.shared.limits, self.now)
    }

    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let outcome = self.connection.close(&mut self.shared, self.now, code, reason);
        assert_eq!(outcome, Ok(()));
    }

    /// Breaks the connection and returns the close reason. A reason that is already known stays.
    pub fn end(mut self) -> Option<CloseReason> {
        self.connection.end(&mut self.shared, CloseReason::Io(std::io::ErrorKind::ConnectionReset));
        assert_eq!(self.state(), State::Closed);
        assert_eq!(self.connection.memory(), 0, "a closed connection owns no buffer");
        let reason = self.connection.take_close_reason();
        assert_eq!(self.connection.take_close_reason(), None, "the reason is returned once");
        reason
    }
}

/// Something that the connection has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Response(Response),
    /// The first byte and the payload.
    Frame(u8, Vec<u8>),
}

impl Sent {
    pub fn text(text: &str) -> Sent {
        Sent::Frame(FIN | TEXT, text.into())
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Sent {
        Sent::Frame(FIN | PING, payload.as_ref().to_vec())
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Sent {
        Sent::Frame(FIN | PONG, payload.as_ref().to_vec())
    }

    pub fn close(code: u16, reason: &str) -> Sent {
        Sent::Frame(FIN | CLOSE, close_body(code, reason))
    }

    /// Returns the HTTP status, or the code of a Close frame.
    pub fn code(&self) -> Option<u16> {
        match self {
            Sent::Response(response) => Some(response.status),
            Sent::Frame(0x88, body) => body.first_chunk().map(|code| u16::from_be_bytes(*code)),
            Sent::Frame(_, _) => None,
        }
    }
}

/// The head and body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the values of all headers with this name, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    }

    /// Parses a response at the beginning of `bytes`. Its body is the rest, unless the status is
    /// 101.
    fn parse(bytes: &[u8]) -> (Response, usize) {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = parsed.parse(bytes) else {
            panic!("not a response: {}", bytes.escape_ascii());
        };
        let status = parsed.code.expect("a complete response has a status");
        let value = |value: &[u8]| String::from_utf8(value.to_vec()).expect("our headers are ASCII");
        let headers = parsed.headers.iter().map(|header| (header.name.to_owned(), value(header.value))).collect();
        let end = if status == 101 { length } else { bytes.len() };
        (Response { status, headers, body: bytes[length..end].to_vec() }, end)
    }
}

/// Returns the value of `Sec-WebSocket-Accept` for a request (RFC 6455 §4.2.2).
pub fn accept(request: &[u8]) -> String {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(request).expect("a request");
    let key = parsed.headers.iter().find(|header| header.name == "Sec-WebSocket-Key").expect("a key");
    derive_accept_key(key.value)
}

/// Returns a response that opens the connection, with more header lines, each ended by CR LF.
pub fn response(accept: &str, headers: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Parses a server's output. A frame that is masked, not minimal or incomplete is a failure.
pub fn sent(bytes: &[u8]) -> Vec<Sent> {
    sent_by(Role::Server, bytes).0
}

/// Parses output and returns its masking keys. A frame that is not masked correctly, not minimal or
/// incomplete is a failure.
pub fn sent_by(role: Role, mut bytes: &[u8]) -> (Vec<Sent>, Vec<[u8; 4]>) {
    let (mut all, mut keys) = (Vec::new(), Vec::new());
    while let Some(&first) = bytes.first() {
        if bytes.starts_with(b"HTTP/") {
            let (response, length) = Response::parse(bytes);
            bytes = &bytes[length..];
            all.push(Sent::Response(response));
            continue;
        }
        assert_eq!(
            bytes[1] & 0x80 != 0,
            role == Role::Client,
            "clients mask, servers do not: {}",
            bytes.escape_ascii()
        );
        let (length, mut start) = match bytes[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().expect("eight bytes")) as usize, 10),
            length => (usize::from(length), 2),
        };
        let mut key = [0; 4];
        if role == Role::Client {
            key.copy_from_slice(&bytes[start..start + 4]);
            keys.push(key);
            start += 4;
        }
        let payload: Vec<u8> =
            bytes[start..start + length].iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
        let again = match role {
            Role::Server => unmasked_frame(first, &payload),
            Role::Client => keyed_frame(first, key, &payload),
        };
        assert_eq!(again, bytes[..start + length], "a length must be minimal");
        all.push(Sent::Frame(first, payload));
        bytes = &bytes[start + length..];
    }
    (all, keys)
}
