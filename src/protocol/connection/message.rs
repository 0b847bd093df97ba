//! Messages, borrowed and owned.

use crate::protocol::wire::Opcode;
use std::fmt;

/// A message, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text (§5.6).
    Text(&'a str),
    /// Arbitrary bytes (§5.6).
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The payload's bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The text, if it is a text message.
    pub const fn as_text(self) -> Option<&'a str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The opcode of its first frame.
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        }
    }

    /// Returns an owned copy, for a queue or another thread.
    pub fn into_owned(self) -> tungstenite::Message {
        match self {
            Message::Text(text) => tungstenite::Message::text(text),
            Message::Binary(bytes) => tungstenite::Message::binary(bytes.to_vec()),
        }
    }
}

/// Makes an owned copy.
impl From<Message<'_>> for tungstenite::Message {
    fn from(message: Message<'_>) -> tungstenite::Message {
        message.into_owned()
    }
}

/// Error for an [`OwnedMessage`](crate::OwnedMessage) that carries no data of the application: a
/// ping, a pong, a Close, or a raw frame. Use [`Clients::ping`](crate::Clients::ping) and
/// [`Clients::close`](crate::Clients::close) for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotData;

impl fmt::Display for NotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only text and binary messages carry data")
    }
}

impl std::error::Error for NotData {}

/// Borrows an owned message.
///
/// ```
/// use lariat::{Message, NotData, OwnedMessage};
///
/// let text = OwnedMessage::text("hello");
/// assert_eq!(Message::try_from(&text), Ok(Message::Text("hello")));
/// assert_eq!(Message::try_from(&OwnedMessage::Ping("are you there?".into())), Err(NotData));
/// ```
///
/// A control frame is never sent as a message by mistake:
///
/// ```compile_fail
/// # use lariat::{ClientId, Clients, OwnedMessage};
/// fn pass_on(clients: &mut Clients<()>, id: ClientId, message: &OwnedMessage) {
///     let _ = clients.send(id, message);
/// }
/// ```
impl<'a> TryFrom<&'a tungstenite::Message> for Message<'a> {
    type Error = NotData;

    fn try_from(owned: &'a tungstenite::Message) -> Result<Message<'a>, NotData> {
        match owned {
            tungstenite::Message::Text(text) => Ok(Message::Text(text.as_str())),
            tungstenite::Message::Binary(bytes) => Ok(Message::Binary(bytes)),
            tungstenite::Message::Ping(_)
            | tungstenite::Message::Pong(_)
            | tungstenite::Message::Close(_)
            | tungstenite::Message::Frame(_) => Err(NotData),
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Message<'a> {
        Message::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Message<'a> {
        Message::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Message<'a> {
        Message::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Message<'a> {
        Message::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Message<'a> {
        Message::Binary(bytes)
    }
}

/// A message that has been put together, in a buffer of its own.
#[derive(Debug, PartialEq, Eq)]
pub enum Gathered {
    /// Text.
    Text(String),
    /// Arbitrary bytes.
    Binary(Vec<u8>),
}

impl Gathered {
    /// The message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        match self {
            Gathered::Text(text) => Message::Text(text),
            Gathered::Binary(bytes) => Message::Binary(bytes),
        }
    }

    /// Bytes of memory that its buffer takes.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Gathered::Text(text) => text.capacity(),
            Gathered::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Returns the buffer, for reuse.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        match self {
            Gathered::Text(text) => text.into_bytes(),
            Gathered::Binary(bytes) => bytes,
        }
    }
}

/// Borrows the message.
impl<'a> From<&'a Gathered> for Message<'a> {
    fn from(gathered: &'a Gathered) -> Message<'a> {
        gathered.as_message()
    }
}

/// Makes an owned copy.
impl From<Message<'_>> for Gathered {
    fn from(message: Message<'_>) -> Gathered {
        match message {
            Message::Text(text) => Gathered::Text(text.to_owned()),
            Message::Binary(bytes) => Gathered::Binary(bytes.to_vec()),
        }
    }
}

/// The position of a piece in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// The only piece.
    Whole,
    /// The first piece of several.
    First,
    /// A piece between the first and the last.
    Middle,
    /// The last piece of several.
    Last,
}

impl Position {
    /// Whether the message begins with this piece.
    pub const fn begins(self) -> bool {
        matches!(self, Position::Whole | Position::First)
    }

    /// Whether the message ends with this piece.
    pub const fn ends(self) -> bool {
        matches!(self, Position::Whole | Position::Last)
    }
}
