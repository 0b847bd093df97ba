//! Conversions to and from tungstenite's types (feature `tungstenite`).
//!
//! A new release of tungstenite that changes its types changes this file alone.

use super::connection::{Message, OwnedMessage};
use super::wire::{CloseCode, CloseFrame};
use std::fmt;
use tungstenite::protocol::frame::coding::CloseCode as ForeignCode;
use tungstenite::{Message as ForeignMessage, protocol::CloseFrame as ForeignFrame};

/// Error for a message of tungstenite's that carries no data of the application: a ping, a pong, a
/// Close, or a raw frame. Use [`Clients::ping`](crate::Clients::ping) and
/// [`Clients::close`](crate::Clients::close) for those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotData;

impl fmt::Display for NotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only text and binary messages carry data: use Clients::ping or Clients::close for others")
    }
}

impl std::error::Error for NotData {}

/// Borrows tungstenite's message (feature `tungstenite`).
///
/// ```
/// use lariat::{Message, NotData};
///
/// let text = tungstenite::Message::text("hello");
/// assert_eq!(Message::try_from(&text), Ok(Message::Text("hello")));
/// let ping = tungstenite::Message::Ping("are you there?".into());
/// assert_eq!(Message::try_from(&ping), Err(NotData));
/// ```
impl<'a> TryFrom<&'a ForeignMessage> for Message<'a> {
    type Error = NotData;

    fn try_from(message: &'a ForeignMessage) -> Result<Message<'a>, NotData> {
        match message {
            ForeignMessage::Text(text) => Ok(Message::Text(text.as_str())),
            ForeignMessage::Binary(bytes) => Ok(Message::Binary(bytes)),
            ForeignMessage::Ping(_) | ForeignMessage::Pong(_) | ForeignMessage::Close(_) | ForeignMessage::Frame(_) => {
                Err(NotData)
            }
        }
    }
}

/// Copies the payload (feature `tungstenite`).
impl TryFrom<&ForeignMessage> for OwnedMessage {
    type Error = NotData;

    fn try_from(message: &ForeignMessage) -> Result<OwnedMessage, NotData> {
        Message::try_from(message).map(OwnedMessage::from)
    }
}

/// Copies the payload (feature `tungstenite`).
impl From<Message<'_>> for ForeignMessage {
    fn from(message: Message<'_>) -> ForeignMessage {
        OwnedMessage::from(message).into()
    }
}

/// Hands over the payload (feature `tungstenite`).
impl From<OwnedMessage> for ForeignMessage {
    fn from(message: OwnedMessage) -> ForeignMessage {
        match message {
            OwnedMessage::Text(text) => ForeignMessage::text(text),
            OwnedMessage::Binary(bytes) => ForeignMessage::binary(bytes),
        }
    }
}

/// Keeps the number (feature `tungstenite`).
impl From<ForeignCode> for CloseCode {
    fn from(code: ForeignCode) -> CloseCode {
        CloseCode::from(u16::from(code))
    }
}

/// Keeps the number (feature `tungstenite`).
impl From<CloseCode> for ForeignCode {
    fn from(code: CloseCode) -> ForeignCode {
        ForeignCode::from(code.number())
    }
}

/// Copies the reason (feature `tungstenite`).
impl From<ForeignFrame> for CloseFrame {
    fn from(frame: ForeignFrame) -> CloseFrame {
        CloseFrame { code: frame.code.into(), reason: frame.reason.as_str().to_owned() }
    }
}

/// Hands over the reason (feature `tungstenite`).
impl From<CloseFrame> for ForeignFrame {
    fn from(frame: CloseFrame) -> ForeignFrame {
        ForeignFrame { code: frame.code.into(), reason: frame.reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_converted_there_and_back_stays_as_it_was() {
        for number in 0..=u16::MAX {
            let code = CloseCode::from(number);
            assert_eq!(CloseCode::from(ForeignCode::from(code)), code);
        }
        let frame = CloseFrame { code: CloseCode::Library(4_000), reason: "wörter".to_owned() };
        assert_eq!(CloseFrame::from(ForeignFrame::from(frame.clone())), frame);
        for message in [OwnedMessage::text("wörter"), OwnedMessage::binary([0, 255])] {
            let foreign = ForeignMessage::from(message.clone());
            assert_eq!(OwnedMessage::try_from(&foreign), Ok(message));
        }
        for control in [ForeignMessage::Ping("x".into()), ForeignMessage::Pong("x".into()), ForeignMessage::Close(None)]
        {
            assert_eq!(OwnedMessage::try_from(&control), Err(NotData));
        }
    }
}
