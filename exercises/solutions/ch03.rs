//! Chapter 3, frames.
//!
//! The question of the chapter: a length has 63 bits, so the longest payload has 2⁶³ - 1 bytes. A
//! server must compare it with its own limit (`max_message`), and must not reserve memory because
//! of it: the bytes may never come.

use crate::ch03::{Frame, Start};

/// Exercise 1: two flags, a number, and the form of the length.
pub fn start(bytes: [u8; 2]) -> Start {
    let masked = bytes[1] & 0x80 != 0;
    let length = match bytes[1] & 0x7f {
        126 => 2,
        127 => right!(8, not 4),
        _ => 0,
    };
    let mask = if masked { 4 } else { 0 };
    Start { fin: bytes[0] & 0x80 != 0, opcode: bytes[0] & 0x0f, masked, header: 2 + length + mask }
}

/// Exercise 2: three forms. 126 does not fit into the shortest, because it announces the next one.
pub fn header(opcode: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match length {
        _ if length <= right!(125, not 127) => bytes.push(length as u8),
        ..=0xffff => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

/// Exercise 3. The key begins again with each frame.
pub fn frame(bytes: &[u8]) -> Option<Frame> {
    let start = start(*bytes.first_chunk()?);
    let header = bytes.get(..start.header)?;
    let length = match bytes[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes([header[2], header[3]])),
        127 => usize::try_from(u64::from_be_bytes(header[2..10].try_into().ok()?)).ok()?,
        short => usize::from(short),
    };
    let key = header.last_chunk::<4>()?;
    let size = start.header.checked_add(length)?;
    let masked = bytes.get(start.header..size)?;
    let payload =
        masked.iter().enumerate().map(|(at, byte)| byte ^ key[right!(at, not start.header + at) % 4]).collect();
    Some(Frame { opcode: start.opcode, payload, size })
}
