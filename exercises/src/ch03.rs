//! Chapter 3, frames.

// ---- 1 ------------------------------------------------------------------------------------------

/// What the first two bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The type of the frame: 1 is text.
    pub opcode: u8,
    /// Whether the payload is masked.
    pub masked: bool,
    /// The number of bytes of the whole header, which the first two tell.
    pub header: usize,
}

/// Exercise 1. Take the first two bytes of a frame apart.
pub fn start(bytes: [u8; 2]) -> Start {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Write the header of a server's frame, which is complete (FIN) and not masked.
///
/// The length must have its shortest form.
pub fn header(opcode: u8, length: u64) -> Vec<u8> {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type of the frame.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
    /// The number of bytes that the frame has on the wire.
    pub size: usize,
}

/// Exercise 3. Read a client's frame at the beginning of `bytes`.
///
/// Return `None` while bytes are missing. The frame is valid, and other frames may follow it.
pub fn frame(bytes: &[u8]) -> Option<Frame> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch03: start, header, frame);
    use super::{Frame, Start};
    use crate::kit::{FIN, PING, TEXT, Talk};
    use lariat::protocol::time::Tick;
    use lariat::protocol::{Header, Limits, Message, Opcode, Shared};

    const OPCODES: [(u8, Opcode); 6] = [
        (0, Opcode::Continuation),
        (1, Opcode::Text),
        (2, Opcode::Binary),
        (8, Opcode::Close),
        (9, Opcode::Ping),
        (10, Opcode::Pong),
    ];

    #[test]
    fn ex1_two_bytes_say_much() {
        let ping = Start { fin: true, opcode: 9, masked: false, header: 2 };
        assert_eq!(start([0x89, 0x00]), ping);
        for (number, opcode) in OPCODES {
            for length in [0, 5, 125, 126, 127, 65_535, 65_536, 1 << 40] {
                for (fin, mask) in [(true, None), (true, Some([1, 2, 3, 4])), (false, None), (false, Some([9; 4]))] {
                    if opcode.is_control() && !(fin && length <= 125) {
                        continue;
                    }
                    let header = Header { fin, rsv1: false, opcode, mask, length };
                    let bytes = header.to_bytes();
                    let expected = Start { fin, opcode: number, masked: mask.is_some(), header: bytes.len() };
                    assert_eq!(start([bytes[0], bytes[1]]), expected, "for {header:?}");
                }
            }
        }
    }

    #[test]
    fn ex2_headers_are_as_short_as_possible() {
        for (number, opcode) in OPCODES {
            for length in [0, 1, 5, 124, 125, 126, 127, 300, 65_534, 65_535, 65_536, 100_000, 1 << 32] {
                if opcode.is_control() && length > 125 {
                    continue;
                }
                let expected = Header { fin: true, rsv1: false, opcode, mask: None, length }.to_bytes();
                assert_eq!(header(number, length), expected, "for opcode {number} and {length} bytes");
            }
        }
    }

    #[test]
    fn ex3_frames_of_a_client_are_read() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(frame(&hello), Some(Frame { opcode: 1, payload: b"Hello".to_vec(), size: 11 }));

        // A client of Lariat's masks each frame with another key.
        let mut client = Talk::open_client(Shared::new(Limits::default()), Tick::default());
        for length in [0, 1, 3, 4, 125, 126, 300, 65_535, 65_536] {
            let payload = "lariat".bytes().cycle().take(length).collect::<Vec<u8>>();
            let text = String::from_utf8(payload.clone()).expect("ASCII");
            client.connection.send(&mut client.shared, Message::Text(&text)).expect("room for it");
            client.connection.ping(&mut client.shared, b"?").expect("room for it");
            client.flush();
            let bytes = std::mem::take(&mut client.output);

            let first = frame(&bytes).expect("a whole frame");
            assert_eq!((first.opcode | FIN, first.payload.len()), (FIN | TEXT, length));
            assert!(first.payload == payload, "{length} bytes are unmasked");
            let second = frame(&bytes[first.size..]).expect("the next frame");
            assert_eq!((second.opcode, &*second.payload), (PING, &b"?"[..]));
            assert_eq!(first.size + second.size, bytes.len());

            for cut in (0..first.size.min(200)).chain([first.size - 1]) {
                assert_eq!(frame(&bytes[..cut]), None, "{cut} of {} bytes", first.size);
            }
        }
    }
}
