//! The two implementations: tungstenite and ours.

use crate::kit::{Seen, Sent, Talk, sent_by};
use lariat::protocol::time::Tick;
use lariat::protocol::{Limits, Role, Shared};
use lariat::{CloseCode, CloseReason};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::{self, Read, Write};
use tungstenite::error::CapacityError;
use tungstenite::protocol::{WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, error::ProtocolError};

pub const MAX_MESSAGE: usize = 70_000;
pub const MAX_FRAGMENTS: u32 = 8;

/// The end of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The stream ended without a Close frame.
    HungUp,
    /// The peer's Close arrived.
    Closed(Option<(u16, String)>),
    /// The connection failed with this code.
    Failed(u16),
}

/// The output of one side.
#[derive(Debug)]
pub struct Outcome {
    pub seen: Vec<Seen>,
    pub sent: Vec<Sent>,
    pub verdict: Verdict,
    /// The code with which tungstenite fails because of bytes after the peer's Close.
    pub behind_the_close: Option<u16>,
}

/// The side that sends the first Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstClose {
    Theirs,
    /// We send 1000 "bye" before anything arrives.
    Ours,
}

/// Returns the close code for an error of tungstenite. Returns `None` if it is no failure: the
/// stream has ended, or the closing handshake is complete.
fn code_of(error: &Error) -> Option<u16> {
    match error {
        Error::ConnectionClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(
            ProtocolError::NonZeroReservedBits
            | ProtocolError::UnmaskedFrameFromClient
            | ProtocolError::MaskedFrameFromServer
            | ProtocolError::FragmentedControlFrame
            | ProtocolError::ControlFrameTooBig
            | ProtocolError::InvalidOpcode(_)
            | ProtocolError::UnexpectedContinueFrame
            | ProtocolError::ExpectedFragment(_)
            | ProtocolError::ReceivedAfterClosing
            | ProtocolError::InvalidCloseSequence,
        ) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(1009),
        unforeseen => panic!("tungstenite says {unforeseen:?}"),
    }
}

/// Bytes that arrive in pieces, sometimes none, and a buffer for written bytes.
pub struct Stream<'b> {
    rest: &'b [u8],
    random: StdRng,
    pub written: Vec<u8>,
}

impl<'b> Stream<'b> {
    pub fn new(bytes: &'b [u8], random: StdRng) -> Stream<'b> {
        Stream { rest: bytes, random, written: vec![] }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.random_ratio(1, 8) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = piece(&mut self.random).min(self.rest.len()).min(buffer.len());
        let (head, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(head);
        self.rest = rest;
        Ok(count)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the number of bytes that arrive together.
pub fn piece(random: &mut StdRng) -> usize {
    let most = [1, 3, 20, 200, 5_000, 100_000][random.random_range(0..6)];
    random.random_range(1..=most)
}

/// Returns a tungstenite context in a role.
pub fn context(role: Role) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(4_096)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    WebSocketContext::new(role, Some(config))
}

/// Converts a message that tungstenite has read, or returns the frame of the peer's Close.
pub fn seen(message: Message) -> Result<Seen, Option<(u16, String)>> {
    match message {
        Message::Text(text) => Ok(Seen::text(&text)),
        Message::Binary(bytes) => Ok(Seen::binary(bytes)),
        Message::Ping(bytes) => Ok(Seen::ping(bytes)),
        Message::Pong(bytes) => Ok(Seen::pong(bytes)),
        Message::Close(frame) => Err(frame.map(|frame| (frame.code.into(), frame.reason.to_string()))),
        Message::Frame(_) => panic!("read does not give raw frames"),
    }
}

/// Passes the bytes to tungstenite.
pub fn oracle(role: Role, bytes: &[u8], first_close: FirstClose, random: StdRng) -> Outcome {
    let (mut context, mut stream) = (context(role), Stream::new(bytes, random));
    if first_close == FirstClose::Ours {
        let frame = lariat::CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        context.close(&mut stream, Some(frame.into())).expect("the stream takes every write");
    }
    let (mut all, mut closed) = (vec![], None);
    let error = loop {
        match context.read(&mut stream).map(seen) {
            Ok(Ok(seen)) => all.push(seen),
            Ok(Err(frame)) => closed = Some(frame),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => break code_of(&error),
        }
    };
    let (verdict, behind_the_close) = match (closed, error) {
        (Some(frame), behind) => (Verdict::Closed(frame), behind),
        (None, Some(code)) => (Verdict::Failed(code), None),
        (None, None) => (Verdict::HungUp, None),
    };
    Outcome { seen: all, sent: sent_by(role, &stream.written).0, verdict, behind_the_close }
}

/// Opens one of our connections.
pub fn open(role: Role, limits: Limits) -> Talk {
    let (shared, now) = (Shared::with_seed(limits, 0), Tick::default());
    match role {
        Role::Server => Talk::open(shared, now),
        Role::Client => Talk::open_client(shared, now),
    }
}

/// Passes the bytes to our `Connection`.
pub fn ours(
    role: Role,
    bytes: &[u8],
    limits: Limits,
    first_close: FirstClose,
    mut pieces: impl FnMut() -> usize,
) -> Outcome {
    let mut talk = open(role, limits);
    if first_close == FirstClose::Ours {
        talk.close(CloseCode::Normal, "bye");
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = pieces();
        let (head, tail) = rest.split_at(count.min(rest.len()));
        talk.receive(head);
        if count % 2 == 0 {
            talk.flush();
        }
        rest = tail;
    }
    talk.flush();
    talk.eof();
    let (seen, (sent, _)) = (std::mem::take(&mut talk.seen), sent_by(role, &talk.output));
    let verdict = match talk.end() {
        Some(CloseReason::Peer(frame)) => {
            Verdict::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
        }
        // Our Close was the first, and the code of the peer's answer is not kept.
        Some(CloseReason::Local(_)) => Verdict::Closed(None),
        Some(CloseReason::Eof) => Verdict::HungUp,
        Some(CloseReason::Protocol(error)) => Verdict::Failed(error.close_code().into()),
        reason => panic!("{reason:?}"),
    };
    Outcome { seen, sent, verdict, behind_the_close: None }
}

pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_message = MAX_MESSAGE;
    limits.max_fragments = MAX_FRAGMENTS;
    limits
}

/// Returns a separate stream of random numbers.
pub fn fork(random: &mut StdRng) -> StdRng {
    StdRng::seed_from_u64(random.random())
}
