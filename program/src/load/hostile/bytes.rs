//! Requests and frames, also such that no good client sends.

use crate::load::plan::Target;

/// The payload of the ping to which a server answers that takes the connection for a good one.
pub(super) const PROBE: &[u8] = b"lariat-probe";

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
pub(super) const RSV2: u8 = 0x20;
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

const MASK: [u8; 4] = [0x1c, 0xa7, 0x31, 0x5d];

/// Returns a frame with a mask, of 65,535 bytes at most. The first byte is given as it is.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = match payload.len() {
        short @ ..=125 => vec![first, 0x80 | short as u8],
        long => [&[first, 0x80 | 126], &(long as u16).to_be_bytes()[..]].concat(),
    };
    frame.extend_from_slice(&MASK);
    frame.extend(masked(payload));
    frame
}

fn masked(payload: &[u8]) -> impl Iterator<Item = u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask)
}

/// Returns a Close frame with a code.
pub(super) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// Returns the header of a frame with a length of 64 bits, with its mask.
pub(super) fn long_header(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127], &length.to_be_bytes()[..], &MASK].concat()
}

/// Returns a text of 5 bytes whose length is written in 16 bits.
pub(super) fn long_form() -> Vec<u8> {
    let mut frame = [&[FIN | TEXT, 0x80 | 126, 0, 5], &MASK[..]].concat();
    frame.extend(masked(b"hello"));
    frame
}

/// A key of 16 bytes, in base64.
pub(super) const KEY: &str = "bGFyaWF0LWhvc3RpbGUtMQ==";

/// Returns a request with this version and key, without the empty line at its end.
pub(super) fn head(target: &Target, version: u32, key: Option<&str>) -> Vec<u8> {
    let Target { host, path, headers, .. } = target;
    let key = key.map_or_else(String::new, |key| format!("Sec-WebSocket-Key: {key}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}Sec-WebSocket-Version: {version}\r\n{headers}"
    )
    .into_bytes()
}

/// Returns a request with this version and key.
pub(super) fn request(target: &Target, version: u32, key: Option<&str>) -> Vec<u8> {
    [&head(target, version, key)[..], b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_a_mask_and_their_length() {
        assert_eq!(frame(FIN | PING, b""), [0x89, 0x80, 0x1c, 0xa7, 0x31, 0x5d]);
        assert_eq!(frame(FIN | TEXT, b"ab")[..2], [0x81, 0x82]);
        assert_eq!(frame(FIN | PING, &[0; 126])[..4], [0x89, 0xfe, 0, 126]);
        assert_eq!(close(999, b"")[6..], [0x03 ^ 0x1c, 0xe7 ^ 0xa7]);
        assert_eq!(long_header(FIN | TEXT, 1 << 40)[..10], [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]);
    }
}
