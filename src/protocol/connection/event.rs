//! What has a driver to tell the application?

use super::message::{Gathered, Message, Position};
use std::borrow::Cow;

/// What the driver has to tell the application.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A request head is complete: to be parsed and answered with
    /// [`Connection::answer`](super::Connection::answer).
    Request(Cow<'b, [u8]>),
    /// The server to which we connected has accepted, and perhaps chosen a subprotocol.
    Opened(Option<String>),
    /// A message that lies whole in the bytes that were given.
    Message(Message<'b>),
    /// A message that has been put together, or decompressed; to be given back with
    /// [`Shared::recycle`](super::Shared::recycle).
    Gathered(Gathered),
    /// A piece of a message, if
    /// [`Connection::receive_in_pieces`](super::Connection::receive_in_pieces) asked for them; to
    /// be given back as well.
    Piece(Gathered, Position),
    /// A ping; its pong is queued already.
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong(Cow<'b, [u8]>),
}
