//! How do messages look on a channel and in a stream?
//!
//! ```text
//! without a history:  1, kind, node (8), latest (8, if bit 1 of kind), payload
//! in a stream:        1, kind, mark (8), payload
//! with a history:     1, 16, epoch (16 hexadecimal digits), offset (20 decimal digits),
//!                     the bytes in the stream
//! ```
//!
//! The first byte is the version. Bit 0 of the kind is set for a binary message. Numbers are in
//! network order. A script puts the last form together, hence the digits.
//!
//! Everything that is read here may be foreign, and is no error but `None`.

use crate::protocol::OwnedMessage;
use crate::server::backplane::follow::Item;
use crate::server::backplane::{NodeId, StreamPosition};

const VERSION: u8 = 1;
const BINARY: u8 = 1;
const LATEST: u8 = 2;
const KEPT: u8 = 16;
/// The header of a message with a history, without the bytes in the stream.
const KEPT_HEADER: usize = 2 + 16 + 20;

/// What has come on the channel of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A message of a topic without a history.
    Plain { node: NodeId, message: OwnedMessage, latest: Option<u64> },
    /// A message of a topic with a history.
    Kept { epoch: u64, item: Item<OwnedMessage> },
}

fn kind(message: &OwnedMessage) -> u8 {
    match message {
        OwnedMessage::Text(_) => 0,
        OwnedMessage::Binary(_) => BINARY,
    }
}

fn message(kind: u8, payload: &[u8]) -> Option<OwnedMessage> {
    match kind & BINARY {
        0 => Some(OwnedMessage::Text(simdutf8::basic::from_utf8(payload).ok()?.to_owned())),
        _ => Some(OwnedMessage::Binary(payload.to_vec())),
    }
}

/// Splits a number off.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// Splits the version and the kind off.
fn kind_of(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [VERSION, kind, rest @ ..] => Some((*kind, rest)),
        _ => None,
    }
}

/// Returns the header of a message without a history. The payload follows.
pub(super) fn plain_header(node: NodeId, of: &OwnedMessage, latest: Option<u64>) -> Vec<u8> {
    let mut header = vec![VERSION, kind(of) | if latest.is_some() { LATEST } else { 0 }];
    header.extend(node.0.to_be_bytes());
    header.extend(latest.iter().flat_map(|key| key.to_be_bytes()));
    header
}

/// Returns the header of a message in a stream. The payload follows.
pub(super) fn entry_header(of: &OwnedMessage, mark: u64) -> Vec<u8> {
    let mut header = vec![VERSION, kind(of)];
    header.extend(mark.to_be_bytes());
    header
}

/// Reads a message in a stream.
pub(super) fn entry(offset: u64, bytes: &[u8]) -> Option<Item<OwnedMessage>> {
    let (kind, rest) = kind_of(bytes)?;
    let (mark, payload) = number(rest).filter(|_| kind & !BINARY == 0)?;
    Some(Item { offset, mark, message: message(kind, payload)? })
}

/// Reads what has come on the channel of a topic.
pub(super) fn arrived(bytes: &[u8]) -> Option<Arrived> {
    let (kind, rest) = kind_of(bytes)?;
    if kind == KEPT {
        let (position, stored) = bytes.split_at_checked(KEPT_HEADER)?;
        let (epoch, offset) = position.get(2..)?.split_at_checked(16)?;
        let position = StreamPosition { epoch: hexadecimal(epoch)?, offset: decimal(offset)? };
        let item = entry(position.offset, stored).filter(|item| item.offset > 0)?;
        return Some(Arrived::Kept { epoch: position.epoch, item });
    }
    let (node, rest) = number(rest).filter(|_| kind & !(BINARY | LATEST) == 0)?;
    let (latest, payload) = match kind & LATEST {
        0 => (None, rest),
        _ => number(rest).map(|(key, payload)| (Some(key), payload))?,
    };
    Some(Arrived::Plain { node: NodeId(node), message: message(kind, payload)?, latest })
}

/// Reads digits, and only digits.
fn digits(bytes: &[u8]) -> Option<&str> {
    bytes.iter().all(u8::is_ascii_hexdigit).then(|| std::str::from_utf8(bytes).ok())?
}

/// Reads an epoch: hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> Option<u64> {
    u64::from_str_radix(digits(bytes)?, 16).ok()
}

/// Reads an offset: decimal digits.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    digits(bytes)?.parse().ok()
}

/// Reads a position as scripts return it: epoch, `-`, offset.
pub(super) fn position(bytes: &[u8]) -> Option<StreamPosition> {
    let dash = bytes.iter().position(|byte| *byte == b'-')?;
    let (epoch, offset) = bytes.split_at_checked(dash)?;
    Some(StreamPosition { epoch: hexadecimal(epoch)?, offset: decimal(offset.get(1..)?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(epoch: &str, offset: &str, stored: &[u8]) -> Vec<u8> {
        [&[VERSION, KEPT], epoch.as_bytes(), offset.as_bytes(), stored].concat()
    }

    fn with(header: Vec<u8>, message: &OwnedMessage) -> Vec<u8> {
        [header, message.as_bytes().to_vec()].concat()
    }

    #[test]
    fn messages_come_back() {
        for message in [OwnedMessage::text("wörter"), OwnedMessage::binary([0, 255]), OwnedMessage::text("")] {
            for latest in [None, Some(0), Some(u64::MAX)] {
                let bytes = with(plain_header(NodeId(7), &message, latest), &message);
                let expected = Arrived::Plain { node: NodeId(7), message: message.clone(), latest };
                assert_eq!(arrived(&bytes), Some(expected));
            }
            let stored = with(entry_header(&message, 9), &message);
            let item = Item { offset: 3, mark: 9, message };
            assert_eq!(entry(3, &stored), Some(item.clone()));
            let bytes = kept("00000000000000ff", "00000000000000000003", &stored);
            assert_eq!(arrived(&bytes), Some(Arrived::Kept { epoch: 255, item }));
        }
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_none_or_shorter() {
        let message = OwnedMessage::binary([1, 2, 3]);
        let stored = with(entry_header(&message, 9), &message);
        let plain = with(plain_header(NodeId(7), &message, Some(5)), &message);
        let whole = kept("00000000000000ff", "00000000000000000003", &stored);
        for (bytes, header) in [(&plain, 18), (&whole, KEPT_HEADER + 10)] {
            for cut in 0..bytes.len() {
                assert_eq!(arrived(&bytes[..cut]).is_some(), cut >= header, "{cut} of {bytes:?}");
            }
        }
        for cut in 0..stored.len() {
            assert_eq!(entry(3, &stored[..cut]).is_some(), cut >= 10, "{cut}");
        }
    }

    #[test]
    fn foreign_bytes_are_none() {
        let message = OwnedMessage::text("x");
        let stored = with(entry_header(&message, 9), &message);
        let plain = with(plain_header(NodeId(7), &message, None), &message);
        for flipped in 0..plain.len() {
            for bit in 0..8 {
                let mut bytes = plain.clone();
                bytes[flipped] ^= 1 << bit;
                let _ = arrived(&bytes);
                let mut bytes = kept("00000000000000ff", "00000000000000000003", &stored);
                bytes[flipped] ^= 1 << bit;
                let _ = arrived(&bytes);
            }
        }
        for wrong in [
            b"hello".to_vec(),
            vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [&[1, 0][..], &[0; 8], &[0xFF]].concat(),
            [&[1, 32][..], &[0; 8]].concat(),
            kept("00000000000000fg", "00000000000000000003", &stored),
            kept("+0000000000000ff", "00000000000000000003", &stored),
            kept("00000000000000ff", "99999999999999999999", &stored),
            kept("00000000000000ff", "00000000000000000000", &stored),
            kept("00000000000000ff", "0000000000000000000a", &stored),
        ] {
            assert_eq!(arrived(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn positions_are_read() {
        assert_eq!(position(b"ff-12"), Some(StreamPosition { epoch: 255, offset: 12 }));
        for wrong in [&b""[..], b"-", b"ff-", b"-1", b"ff", b"ff-1-2", b"ff--1"] {
            assert_eq!(position(wrong), None, "{wrong:?}");
        }
    }
}
