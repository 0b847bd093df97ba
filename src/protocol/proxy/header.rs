//! Implements the receiving side of the PROXY protocol, versions 1 and 2.
//!
//! A TCP proxy hides its clients' addresses. With the [PROXY protocol], it sends the address of the
//! client before the client's first byte:
//!
//! ```text
//! version 1:  PROXY TCP4 203.0.113.7 192.0.2.1 51234 443 CR LF
//!
//! version 2:  0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A    the signature
//!             2c                                     version 2; c: 0 LOCAL, 1 PROXY
//!             ft                                     f: 0 none, 1 IPv4, 2 IPv6, 3 Unix; t: 0 none, 1 stream, 2 datagram
//!             nn nn                                  bytes that follow
//!             source, destination, their ports       12, 36 or 216 bytes
//!             type, length (2), value ...            further values ("TLV"), any number of them
//! ```
//!
//! A forged header cannot be recognised. Use [`decode`] only for connections from known proxies
//! that always send a header, as the specification requires. The bytes after the header come from
//! the client.
//!
//! The destination and the values (with the checksum) are not read. The lengths of the values are
//! checked.
//!
//! [PROXY protocol]: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

use super::{binary, text};
use std::fmt;
use std::net::SocketAddr;

/// The length of the longest header of version 1, with its CR LF, in bytes (§2.1).
pub const MAX_LINE: usize = 107;

/// The length of the longest header of version 2 that is accepted, in bytes. Addresses need at most
/// 52 bytes, or 232 for Unix sockets. The rest leaves room for a client's certificate among the
/// values. nginx has the same limit.
pub const MAX_BLOCK: usize = 4_096;

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy forwards the connection of a client.
    Proxied {
        /// The client's address.
        source: SocketAddr,
    },
    /// The connection is the proxy's own (a health check), or the header has no IPv4 or IPv6
    /// stream address. The socket's peer address applies.
    Local,
}

/// The reason why bytes are not a valid PROXY header. The connection must be dropped (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyError {
    /// The bytes begin like neither version.
    NoHeader,
    /// Version 1: the protocol is neither TCP4 nor TCP6 nor UNKNOWN.
    UnknownProtocol,
    /// Version 1: an address is not of the announced family, or not in its usual form.
    MalformedAddress,
    /// Version 1: a port is not a decimal number from 0 to 65535 without leading zeros.
    MalformedPort,
    /// Version 1: the line has too few or too many fields, or does not end with CR LF.
    MalformedLine,
    /// Version 1: there is no CR LF within [`MAX_LINE`] bytes.
    LineTooLong,
    /// The signature of version 2 is followed by another version.
    UnknownVersion(u8),
    /// Version 2: the command is neither LOCAL nor PROXY.
    UnknownCommand(u8),
    /// Version 2: the family or transport does not exist.
    UnknownFamily(u8),
    /// Version 2: the length is too small for the addresses.
    BlockTooShort,
    /// Version 2: the header has more than [`MAX_BLOCK`] bytes.
    BlockTooLong,
    /// Version 2: a value does not end where the header ends.
    MalformedValue,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::NoHeader => f.write_str("no PROXY header; does the proxy send one (HAProxy: send-proxy)?"),
            ProxyError::UnknownProtocol => {
                f.write_str("PROXY header: neither TCP4 nor TCP6 nor UNKNOWN; the proxy must forward TCP")
            }
            ProxyError::MalformedAddress => {
                f.write_str("PROXY header: malformed address; try version 2 (HAProxy: send-proxy-v2)")
            }
            ProxyError::MalformedPort => {
                f.write_str("PROXY header: malformed port; try version 2 (HAProxy: send-proxy-v2)")
            }
            ProxyError::MalformedLine => {
                f.write_str("PROXY header: malformed line; try version 2 (HAProxy: send-proxy-v2)")
            }
            ProxyError::LineTooLong => {
                write!(f, "PROXY header: no line end within {MAX_LINE} bytes; try version 2 (HAProxy: send-proxy-v2)")
            }
            ProxyError::UnknownVersion(version) => {
                write!(f, "PROXY header: unknown version {version}; the proxy must send 1 or 2")
            }
            ProxyError::UnknownCommand(command) => {
                write!(f, "PROXY header: unknown command {command}; the proxy must send LOCAL or PROXY")
            }
            ProxyError::UnknownFamily(family) => {
                write!(f, "PROXY header: unknown address family {family:#04x}; try version 1 (HAProxy: send-proxy)")
            }
            ProxyError::BlockTooShort => {
                f.write_str("PROXY header: too short for its addresses; try version 1 (HAProxy: send-proxy)")
            }
            ProxyError::BlockTooLong => {
                write!(f, "PROXY header: more than {MAX_BLOCK} bytes; let the proxy send fewer values")
            }
            ProxyError::MalformedValue => f.write_str(
                "PROXY header: a value does not end where the header ends; try version 1 (HAProxy: send-proxy)",
            ),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the header at the start of `bytes` and returns it with its length. Returns `Ok(None)` if
/// more bytes are needed. A header has at most [`MAX_BLOCK`] bytes.
///
/// # Errors
///
/// A [`ProxyError`], at the first byte after which no further bytes can make the header valid.
pub fn decode(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => text::decode(bytes),
        Some(b'\r') => binary::decode(bytes),
        Some(_) => Err(ProxyError::NoHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::super::binary::{FIXED, SIGNATURE};
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::net::Ipv6Addr;

    fn proxied(source: &str) -> ProxyHeader {
        ProxyHeader::Proxied { source: source.parse().unwrap() }
    }

    /// Returns a header of version 2.
    fn block(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    const IPV4: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 0xc8, 0x22, 0x01, 0xbb];

    fn ipv6() -> Vec<u8> {
        let ends = ["2001:db8::7", "2001:db8::1"].map(|address| address.parse::<Ipv6Addr>().unwrap().octets());
        [&ends.concat()[..], &[0xc8, 0x22, 0x01, 0xbb]].concat()
    }

    fn with_values(addresses: &[u8], values: &[(u8, &[u8])]) -> Vec<u8> {
        values.iter().fold(addresses.to_vec(), |mut body, (kind, value)| {
            body.push(*kind);
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body
        })
    }

    fn good_headers() -> Vec<(Vec<u8>, ProxyHeader)> {
        let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(longest.len(), MAX_LINE);
        let certificate = vec![0x30; MAX_BLOCK - FIXED - 12 - 3];
        let lines = [
            ("PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n", proxied("203.0.113.7:51234")),
            ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", proxied("0.0.0.0:0")),
            ("PROXY TCP6 2001:db8::7 2001:DB8::1 51234 443\r\n", proxied("[2001:db8::7]:51234")),
            ("PROXY TCP6 :: ::1 1 2\r\n", proxied("[::]:1")),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                proxied("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("PROXY TCP6 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: 1 2\r\n", proxied("[1:2:3:4:5:6:7:8]:1")),
            ("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 1 2\r\n", proxied("[::ffff:203.0.113.7]:1")),
            ("PROXY UNKNOWN\r\n", ProxyHeader::Local),
            ("PROXY UNKNOWN \r\n", ProxyHeader::Local),
            ("PROXY UNKNOWN \u{0}anything at all\r\n", ProxyHeader::Local),
            (longest, ProxyHeader::Local),
        ];
        let blocks = [
            (block(0x21, 0x11, IPV4), proxied("203.0.113.7:51234")),
            (block(0x21, 0x21, &ipv6()), proxied("[2001:db8::7]:51234")),
            (
                block(0x21, 0x11, &with_values(IPV4, &[(1, b"h2"), (4, b""), (0xea, &[0; 300])])),
                proxied("203.0.113.7:51234"),
            ),
            (block(0x21, 0x11, &with_values(IPV4, &[(0x20, &certificate)])), proxied("203.0.113.7:51234")),
            (block(0x20, 0x00, b""), ProxyHeader::Local),
            (block(0x20, 0x11, IPV4), ProxyHeader::Local),
            (block(0x20, 0xff, b"discarded"), ProxyHeader::Local),
            (block(0x21, 0x00, b"discarded"), ProxyHeader::Local),
            (block(0x21, 0x12, IPV4), ProxyHeader::Local),
            (block(0x21, 0x22, &ipv6()), ProxyHeader::Local),
            (block(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Local),
            (block(0x21, 0x32, &with_values(&[0; 216], &[(4, b"x")])), ProxyHeader::Local),
        ];
        lines.into_iter().map(|(line, header)| (line.as_bytes().to_vec(), header)).chain(blocks).collect()
    }

    #[test]
    fn good_headers_need_each_of_their_bytes_and_no_others() {
        for (bytes, header) in good_headers() {
            let step = if cfg!(miri) { 1 + bytes.len() / 20 } else { 1 };
            for cut in (0..bytes.len()).step_by(step) {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{header:?} cut at {cut}");
            }
            assert_eq!(decode(&bytes), Ok(Some((header, bytes.len()))));
            for trailing in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n", SIGNATURE, b"\0"] {
                let both = [&bytes, trailing].concat();
                assert_eq!(decode(&both), Ok(Some((header, bytes.len()))));
            }
        }
    }

    /// Each entry is refused at its last byte, and not before.
    #[test]
    fn a_line_is_refused_at_the_first_byte_that_does_not_fit() {
        use ProxyError::*;
        let table: [(&str, ProxyError); 46] = [
            ("G", NoHeader),
            ("p", NoHeader),
            (" ", NoHeader),
            ("\n", NoHeader),
            ("\u{16}", NoHeader),
            ("PO", NoHeader),
            ("PROXY\t", NoHeader),
            ("PROXYx", NoHeader),
            ("PROXY\r", MalformedLine),
            ("PROXY  ", UnknownProtocol),
            ("PROXY \r", UnknownProtocol),
            ("PROXY t", UnknownProtocol),
            ("PROXY U\n", UnknownProtocol),
            ("PROXY UD", UnknownProtocol),
            ("PROXY TCP5", UnknownProtocol),
            ("PROXY TCP ", UnknownProtocol),
            ("PROXY TCP4\r", MalformedLine),
            ("PROXY UNKNOWNX", UnknownProtocol),
            ("PROXY UNKNOWN\n", MalformedLine),
            ("PROXY UNKNOWN\rx", MalformedLine),
            ("PROXY UNKNOWN a\r\r", MalformedLine),
            ("PROXY TCP4  ", MalformedAddress),
            ("PROXY TCP4 :", MalformedAddress),
            ("PROXY TCP4 256", MalformedAddress),
            ("PROXY TCP4 01", MalformedAddress),
            ("PROXY TCP4 1..", MalformedAddress),
            ("PROXY TCP4 1.2.3 ", MalformedAddress),
            ("PROXY TCP4 1.2.3.4.", MalformedAddress),
            ("PROXY TCP4 1.2.3.4\t", MalformedAddress),
            ("PROXY TCP4 1.2.3.4 2001", MalformedAddress),
            ("PROXY TCP4 1.2.3.4 x", MalformedAddress),
            ("PROXY TCP4 1.2.3.4  ", MalformedAddress),
            ("PROXY TCP6 1.", MalformedAddress),
            ("PROXY TCP6 12345", MalformedAddress),
            ("PROXY TCP6 :1", MalformedAddress),
            ("PROXY TCP6 1:::", MalformedAddress),
            ("PROXY TCP6 1::2::", MalformedAddress),
            ("PROXY TCP6 fe80::1%", MalformedAddress),
            ("PROXY TCP6 1:2:3:4:5:6:7:8:", MalformedAddress),
            ("PROXY TCP6 ::ffff:1.2.3.256", MalformedAddress),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +", MalformedPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 00", MalformedPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 65536", MalformedPort),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r", MalformedLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ", MalformedLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r", MalformedLine),
        ];
        for (line, error) in table {
            let bytes = line.as_bytes();
            assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(None), "{line:?} less its last byte");
            assert_eq!(decode(bytes), Err(error), "{line:?}");
        }
        assert_eq!(decode(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r"), Err(MalformedPort));
        assert_eq!(decode(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"), Err(MalformedLine));
        assert_eq!(decode(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\n"), Err(MalformedLine));
        assert_eq!(decode(b"PROXY TCP4 \xff"), Err(MalformedAddress));
        // With the dotted form, a line can exceed the limit.
        let long = "0000:0000:0000:0000:0000:ffff:255.255.255.255";
        assert_eq!(decode(format!("PROXY TCP6 {long} {long} 65535 65535\r\n").as_bytes()), Err(LineTooLong));
    }

    #[test]
    fn a_line_without_end_is_refused_when_none_fits_any_more() {
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        assert_eq!(decode(&endless[..105]), Ok(None));
        assert_eq!(decode(&endless[..106]), Err(ProxyError::LineTooLong));
        assert_eq!(decode(&endless), Err(ProxyError::LineTooLong));
        let ended_too_late = [&endless[..106], b"\r\n"].concat();
        assert_eq!(decode(&ended_too_late), Err(ProxyError::LineTooLong));
        let ended_in_time = [&endless[..105], b"\r\n"].concat();
        assert_eq!(decode(&ended_in_time), Ok(Some((ProxyHeader::Local, MAX_LINE))));
    }

    /// Each entry is refused at its last byte, and not before.
    #[test]
    fn a_block_is_refused_at_the_first_byte_that_does_not_fit() {
        use ProxyError::*;
        let after = |rest: &[u8]| [SIGNATURE, rest].concat();
        let table: [(Vec<u8>, ProxyError); 17] = [
            (b"\r\n\r\n\r".to_vec(), NoHeader),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), NoHeader),
            (after(b"\x11"), UnknownVersion(1)),
            (after(b"\x31"), UnknownVersion(3)),
            (after(b"\x01"), UnknownVersion(0)),
            (after(b"\x22"), UnknownCommand(2)),
            (after(b"\x2f"), UnknownCommand(15)),
            (after(b"\x21\x01"), UnknownFamily(1)),
            (after(b"\x21\x10"), UnknownFamily(0x10)),
            (after(b"\x21\x13"), UnknownFamily(0x13)),
            (after(b"\x21\x41"), UnknownFamily(0x41)),
            (after(b"\x21\x11\0\x0b"), BlockTooShort),
            (after(b"\x21\x21\0\x23"), BlockTooShort),
            (after(b"\x21\x31\0\xd7"), BlockTooShort),
            (after(b"\x21\x11\x10"), BlockTooLong),
            (after(b"\x20\0\x0f\xf1"), BlockTooLong),
            (after(b"\x21\x11\0\x0d"), MalformedValue),
        ];
        for (bytes, error) in table {
            assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?} less its last byte");
            assert_eq!(decode(&bytes), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn values_must_end_where_the_header_ends() {
        let announced = |length: u16, values: &[u8]| {
            [SIGNATURE, &b"\x21\x11"[..], &(12 + length).to_be_bytes(), IPV4, values].concat()
        };
        let malformed = Err(ProxyError::MalformedValue);
        assert_eq!(decode(&announced(1, b"")), malformed, "no room for a type and a length");
        assert_eq!(decode(&announced(4, b"\x04\0")), Ok(None));
        assert_eq!(decode(&announced(4, b"\x04\0\x02")), malformed, "a value longer than the rest");
        assert_eq!(decode(&announced(4, b"\x04\x01")), malformed, "much longer");
        assert_eq!(decode(&announced(4, b"\x04\0\0")), malformed, "one byte is left over");
        assert_eq!(decode(&announced(4, b"\x04\0\x01x")), Ok(Some((proxied("203.0.113.7:51234"), 32))));
    }

    /// Damages good headers at random. Nothing panics, further bytes do not change a verdict, and
    /// there is a verdict before `MAX_BLOCK` bytes.
    #[test]
    fn any_bytes_have_a_verdict_that_no_later_byte_changes() {
        let mut random = StdRng::seed_from_u64(7);
        let good = good_headers();
        let palette = b"PROXY TCP46UNKNOWN 0123456789abcdef:.\r\n\0\x11\x20\x21\xff";
        let rounds = if cfg!(miri) { 3 } else { 3_000 };
        for _ in 0..rounds {
            let mut bytes = good[random.random_range(0..good.len())].0.clone();
            bytes.truncate(300);
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                let byte = palette[random.random_range(0..palette.len())];
                match random.random_range(0..3) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let verdict = (0..=bytes.len()).map(|cut| decode(&bytes[..cut])).find(|verdict| *verdict != Ok(None));
            match verdict {
                None => assert_eq!(decode(&bytes), Ok(None)),
                Some(verdict) => {
                    assert_eq!(decode(&bytes), verdict, "{bytes:x?}");
                    let consumed = verdict.map_or(0, |found| found.map_or(0, |(_, consumed)| consumed));
                    assert!(consumed <= bytes.len());
                    bytes.extend((0..20).map(|_| random.random::<u8>()));
                    assert_eq!(decode(&bytes), verdict, "{bytes:x?}");
                }
            }
            bytes.resize(MAX_BLOCK, b' ');
            assert_ne!(decode(&bytes), Ok(None), "{bytes:x?}");
        }
    }
}
