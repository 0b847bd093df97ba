//! Events of a connection.

use super::message::{Message, OwnedMessage, Position};
use std::borrow::Cow;

/// Something that a connection has received, for the application.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A complete request, to be parsed and answered with
    /// [`Connection::answer`](super::Connection::answer).
    Request {
        /// Its head, up to the empty line.
        head: Cow<'b, [u8]>,
        /// Its body, decoded. Empty if there is none.
        body: Vec<u8>,
    },
    /// The server to which we connected has accepted, with the subprotocol that it has chosen.
    Opened(Option<String>),
    /// A message that lies whole in the input.
    Message(Message<'b>),
    /// A message that has been put together or decompressed, to be returned with
    /// [`Shared::recycle`](super::Shared::recycle).
    Gathered(OwnedMessage),
    /// A piece of a message, if
    /// [`Connection::receive_in_pieces`](super::Connection::receive_in_pieces) asked for pieces. It
    /// is to be returned in the same way.
    Piece(OwnedMessage, Position),
    /// A ping. Its pong is queued already, unless [`answer_pings`](crate::Limits::answer_pings) is
    /// `false`.
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong(Cow<'b, [u8]>),
}
