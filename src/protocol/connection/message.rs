//! Messages, borrowed and owned.

use crate::protocol::wire::Opcode;

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
    pub fn into_owned(self) -> OwnedMessage {
        match self {
            Message::Text(text) => OwnedMessage::Text(text.to_owned()),
            Message::Binary(bytes) => OwnedMessage::Binary(bytes.to_vec()),
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

/// A message in a buffer of its own, for a queue or another thread. Its reference is a [`Message`]
/// wherever one is wanted.
///
/// ```
/// use lariat::{ClientId, Clients, Message, OwnedMessage};
///
/// fn pass_on(clients: &mut Clients<()>, id: ClientId, message: &OwnedMessage) {
///     let _ = clients.send(id, message);
/// }
///
/// assert_eq!(OwnedMessage::text("hello").as_message(), Message::Text("hello"));
/// assert_eq!(Message::Binary(&[1, 2]).into_owned(), OwnedMessage::binary([1, 2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedMessage {
    /// Text.
    Text(String),
    /// Arbitrary bytes.
    Binary(Vec<u8>),
}

impl OwnedMessage {
    /// A text message.
    pub fn text(text: impl Into<String>) -> OwnedMessage {
        OwnedMessage::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> OwnedMessage {
        OwnedMessage::Binary(bytes.into())
    }

    /// The message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        match self {
            OwnedMessage::Text(text) => Message::Text(text),
            OwnedMessage::Binary(bytes) => Message::Binary(bytes),
        }
    }

    /// The payload's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_message().as_bytes()
    }

    /// The text, if it is a text message.
    pub fn as_text(&self) -> Option<&str> {
        self.as_message().as_text()
    }

    /// Whether it is a text message.
    pub const fn is_text(&self) -> bool {
        matches!(self, OwnedMessage::Text(_))
    }

    /// Whether it is a binary message.
    pub const fn is_binary(&self) -> bool {
        matches!(self, OwnedMessage::Binary(_))
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Bytes of memory that its buffer takes.
    pub(super) fn capacity(&self) -> usize {
        match self {
            OwnedMessage::Text(text) => text.capacity(),
            OwnedMessage::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Returns the buffer, for reuse.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        match self {
            OwnedMessage::Text(text) => text.into_bytes(),
            OwnedMessage::Binary(bytes) => bytes,
        }
    }
}

/// Borrows the message.
impl<'a> From<&'a OwnedMessage> for Message<'a> {
    fn from(message: &'a OwnedMessage) -> Message<'a> {
        message.as_message()
    }
}

/// Makes an owned copy.
impl From<Message<'_>> for OwnedMessage {
    fn from(message: Message<'_>) -> OwnedMessage {
        message.into_owned()
    }
}

impl From<String> for OwnedMessage {
    fn from(text: String) -> OwnedMessage {
        OwnedMessage::Text(text)
    }
}

impl From<Vec<u8>> for OwnedMessage {
    fn from(bytes: Vec<u8>) -> OwnedMessage {
        OwnedMessage::Binary(bytes)
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
