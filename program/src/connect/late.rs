//! What a server sends after our Close and before its own.
//!
//! A peer may go on sending until it has sent its Close (RFC 6455 §1.4). The library checks this,
//! and delivers none of it. So a trace of the connection, begun right before our Close, is put
//! together here. Compressed messages are left out.

use lariat::{Side, Trace};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// What has come whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Text(String),
    Binary(Vec<u8>),
    /// The code of the server's Close; 1005 if it has none.
    Close(u16),
}

/// A frame that comes in pieces.
#[derive(Debug)]
struct Frame {
    opcode: u8,
    fin: bool,
    compressed: bool,
    payload: Vec<u8>,
    /// The bytes that are still to come.
    left: u64,
}

/// Frames and messages as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Late {
    frame: Option<Frame>,
    message: Option<(u8, Vec<u8>)>,
}

impl Late {
    /// Handles a step of the trace.
    pub(super) fn step(&mut self, trace: &Trace) -> Option<Item> {
        let mut frame = match trace {
            Trace::Frame { side: Side::Peer, header, payload } => Frame {
                opcode: header.to_bytes().first()? & 0x0f,
                fin: header.fin,
                compressed: header.rsv1,
                payload: payload.clone(),
                left: header.length.saturating_sub(payload.len() as u64),
            },
            Trace::Payload { payload } => {
                // Without a frame, it had begun before the trace.
                let mut frame = self.frame.take()?;
                frame.payload.extend_from_slice(payload);
                frame.left = frame.left.saturating_sub(payload.len() as u64);
                frame
            }
            _ => return None,
        };
        if frame.left > 0 {
            self.frame = Some(frame);
            return None;
        }
        match frame.opcode {
            TEXT | BINARY if frame.compressed => self.message = None,
            TEXT | BINARY => self.message = Some((frame.opcode, frame.payload)),
            CONTINUATION => self.message.as_mut()?.1.append(&mut frame.payload),
            CLOSE => {
                let code = frame.payload.first_chunk().copied().map_or(1005, u16::from_be_bytes);
                return Some(Item::Close(code));
            }
            _ => return None,
        }
        if !frame.fin {
            return None;
        }
        match self.message.take()? {
            // If it is not UTF-8, the library fails the connection.
            (TEXT, bytes) => String::from_utf8(bytes).ok().map(Item::Text),
            (_, bytes) => Some(Item::Binary(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lariat::protocol::Header;

    /// Steps of a trace in which frames are cut after so many bytes of payload.
    fn items(bytes: &[u8], cut: usize) -> Vec<Item> {
        let (mut rest, mut late, mut items) = (bytes, Late::default(), Vec::new());
        while !rest.is_empty() {
            let (header, length) = Header::decode(rest).expect("it is right").expect("it is whole");
            let (payload, after) = rest[length..].split_at(header.length as usize);
            rest = after;
            let (first, more) = payload.split_at(cut.min(payload.len()));
            items.extend(late.step(&Trace::Frame { side: Side::Peer, header, payload: first.to_vec() }));
            for piece in more.chunks(cut.max(1)) {
                items.extend(late.step(&Trace::Payload { payload: piece.to_vec() }));
            }
        }
        items
    }

    #[test]
    fn messages_are_put_together_from_pieces_of_frames() {
        let bytes = [
            // The end of a message that began before the trace.
            &b"\x80\x03old"[..],
            b"\x81\x05hello",
            b"\x82\x03\x00\xff\x01",
            b"\x01\x03gr\xc3",
            // A pong between the fragments.
            b"\x8a\x02hi",
            b"\x80\x02\xb6n",
            b"\x81\x00",
            // A compressed one.
            b"\xc1\x03abc",
            b"\x88\x06\x0f\xa0busy",
        ]
        .concat();
        let text = |text: &str| Item::Text(text.to_owned());
        let expected = [text("hello"), Item::Binary(vec![0, 255, 1]), text("grön"), text(""), Item::Close(4000)];
        for cut in 0..7 {
            assert_eq!(items(&bytes, cut), expected, "cut after {cut}");
        }
        assert_eq!(items(b"\x88\x00", 1), [Item::Close(1005)]);
    }

    #[test]
    fn pieces_without_a_beginning_and_our_own_frames_are_left_out() {
        let mut late = Late::default();
        assert_eq!(late.step(&Trace::Payload { payload: b"x".to_vec() }), None);
        let (header, _) = Header::decode(b"\x81\x01x").expect("it is right").expect("it is whole");
        assert_eq!(late.step(&Trace::Frame { side: Side::Us, header, payload: b"x".to_vec() }), None);
    }
}
