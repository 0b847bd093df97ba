//! The header of a frame (RFC 6455 §5.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
//! |I|S|S|S|  (4)  |A|     (7)     |             (16/64)           |
//! |N|V|V|V|       |S|             |   (if payload len==126/127)   |
//! | |1|2|3|       |K|             |                               |
//! +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//! |     Extended payload length continued, if payload len == 127  |
//! + - - - - - - - - - - - - - - - +-------------------------------+
//! |                               |Masking-key, if MASK set to 1  |
//! +-------------------------------+-------------------------------+
//! | Masking-key (continued)       |          Payload Data         |
//! +-------------------------------- - - - - - - - - - - - - - - - +
//! ```
//!
//! This module handles single headers. [`Connection`](crate::protocol::Connection) checks the mask,
//! the RSV1 bit and the order of frames.

use super::error::ProtocolError;
use super::mask;

/// The type of a frame (§5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// The first or only frame of a text message.
    Text = 0x1,
    /// The first or only frame of a binary message.
    Binary = 0x2,
    /// A frame of the closing handshake (§5.5.1).
    Close = 0x8,
    /// A ping, which the peer answers with a pong (§5.5.2).
    Ping = 0x9,
    /// A pong (§5.5.3).
    Pong = 0xa,
}

impl Opcode {
    /// Returns whether this is Close, Ping or Pong. Control frames are never fragmented and have at
    /// most [`MAX_CONTROL_PAYLOAD`] bytes (§5.5).
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    const fn from_bits(bits: u8) -> Result<Opcode, ProtocolError> {
        match bits {
            0x0 => Ok(Opcode::Continuation),
            0x1 => Ok(Opcode::Text),
            0x2 => Ok(Opcode::Binary),
            0x8 => Ok(Opcode::Close),
            0x9 => Ok(Opcode::Ping),
            0xa => Ok(Opcode::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }
}

/// The largest payload of a control frame, in bytes (§5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The size of the longest header, in bytes: two bytes, a 64-bit length and a masking key.
pub const MAX_HEADER: usize = 14;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The RSV1 bit, which marks a compressed message (RFC 7692 §6).
    pub rsv1: bool,
    /// The type of the frame.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<mask::Key>,
    /// The payload's length, in bytes.
    pub length: u64,
}

impl Header {
    /// Returns the header of a whole, unmasked message or control frame.
    pub const fn unmasked(opcode: Opcode, length: usize) -> Header {
        Header { fin: true, rsv1: false, opcode, mask: None, length: length as u64 }
    }

    /// Returns the header of a whole, unmasked, compressed message (RFC 7692 §6).
    pub const fn compressed(opcode: Opcode, length: usize) -> Header {
        Header { rsv1: true, ..Header::unmasked(opcode, length) }
    }

    /// Reads the header at the start of `bytes` and returns it with its length in bytes. Returns
    /// `Ok(None)` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// RSV2 or RSV3 is set, the opcode is reserved, a control frame is fragmented or too long, or
    /// the length is not minimal or has its top bit set. Each error is returned at the first byte
    /// that shows it.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        // "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if first & 0x30 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(ProtocolError::ControlTooLong);
        }
        let (length, mask_at) = match short {
            126 => match bytes.get(2..4) {
                Some(extended) => (u64::from(u16::from_be_bytes([extended[0], extended[1]])), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10) {
                Some(extended) => (u64::from_be_bytes(extended.try_into().expect("eight bytes")), 10),
                None => return Ok(None),
            },
            length => (u64::from(length), 2),
        };
        // "The minimal number of bytes MUST be used to encode the length."
        match short {
            126 if length < 126 => return Err(ProtocolError::NonMinimalLength),
            127 if length <= u64::from(u16::MAX) => return Err(ProtocolError::NonMinimalLength),
            127 if length >> 63 != 0 => return Err(ProtocolError::LengthTopBit),
            _ => {}
        }
        let (mask, end) = if second & 0x80 != 0 {
            match bytes.get(mask_at..mask_at + 4) {
                Some(key) => (Some([key[0], key[1], key[2], key[3]]), mask_at + 4),
                None => return Ok(None),
            }
        } else {
            (None, mask_at)
        };
        Ok(Some((Header { fin, rsv1: first & 0x40 != 0, opcode, mask, length }, end)))
    }

    /// Returns the bytes of the header of a whole, unmasked message of at most 125 bytes.
    #[inline]
    pub const fn short(opcode: Opcode, length: usize) -> [u8; 2] {
        [0x80 | opcode as u8, length as u8]
    }

    /// Appends the header to `out`.
    #[inline(always)]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let first = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.length {
            0..=125 => out.extend_from_slice(&[first, masked | self.length as u8]),
            126..=0xffff => {
                let [high, low] = (self.length as u16).to_be_bytes();
                out.extend_from_slice(&[first, masked | 126, high, low]);
            }
            _ => {
                out.extend_from_slice(&[first, masked | 127]);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }

    /// Returns the header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAX_HEADER);
        self.encode(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [u64; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 32, u64::MAX >> 1];

    #[test]
    fn every_header_survives_encoding_and_needs_each_of_its_bytes() {
        for length in LENGTHS {
            for mask in [None, Some([1, 2, 3, 4])] {
                for (fin, rsv1, opcode) in
                    [(true, false, Opcode::Text), (false, true, Opcode::Binary), (false, false, Opcode::Continuation)]
                {
                    let header = Header { fin, rsv1, opcode, mask, length };
                    let mut bytes = Vec::new();
                    header.encode(&mut bytes);
                    for cut in 0..bytes.len() {
                        assert_eq!(Header::decode(&bytes[..cut]), Ok(None), "{header:?} cut at {cut}");
                    }
                    let end = bytes.len();
                    bytes.extend_from_slice(b"payload");
                    assert_eq!(Header::decode(&bytes), Ok(Some((header, end))));
                }
            }
        }
    }

    #[test]
    fn headers_that_rfc_6455_5_2_forbids_are_refused() {
        use ProtocolError::*;
        let table: [(&[u8], ProtocolError); 14] = [
            (b"\x91", ReservedBits),
            (b"\xa1", ReservedBits),
            (b"\x83", ReservedOpcode(3)),
            (b"\x87", ReservedOpcode(7)),
            (b"\x8b", ReservedOpcode(11)),
            (b"\x8f", ReservedOpcode(15)),
            (b"\x08", FragmentedControl),
            (b"\x09", FragmentedControl),
            (b"\x88\x7e", ControlTooLong),
            (b"\x89\xff", ControlTooLong),
            (b"\x82\x7e\x00\x7d", NonMinimalLength),
            (b"\x82\x7f\0\0\0\0\0\0\0\x01", NonMinimalLength),
            (b"\x82\x7f\0\0\0\0\0\0\xff\xff", NonMinimalLength),
            (b"\x82\x7f\x80\0\0\0\0\x01\0\0", LengthTopBit),
        ];
        for (bytes, error) in table {
            assert_eq!(Header::decode(bytes), Err(error), "{bytes:x?}");
        }
    }
}
