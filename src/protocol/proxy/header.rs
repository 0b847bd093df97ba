//! Whom does the proxy in front of us speak for? (The PROXY protocol, versions 1 and 2, receiving
//! side)
//!
//! A TCP proxy hides its clients' addresses. One that speaks the [PROXY protocol] says, before the
//! first byte of the client, where the client is:
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
//! There is no way to tell a header from a forged one: [`decode`] is for connections of proxies
//! that are known and always send one, as the specification demands. What follows the header is the
//! client's.
//!
//! Left out: the destination, and the values (the checksum among them), which are skipped once
//! their lengths fit.
//!
//! [PROXY protocol]: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, its CR LF included (§2.1).
pub const MAX_LINE: usize = 107;

/// The longest header of version 2 that is taken. Addresses need 52 bytes at most, or 232 for Unix
/// sockets; the rest leaves room for a client's certificate among the values. nginx has the same
/// bound.
pub const MAX_BLOCK: usize = 4_096;

/// How every header of version 2 begins (§2.2): bytes that neither HTTP nor TLS begin with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// What the proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The connection is a client's.
    Proxied {
        /// Where the client is.
        source: SocketAddr,
    },
    /// The connection is the proxy's own (a health check), or the client has no address that counts
    /// here: the socket's own address stands.
    Local,
}

/// These bytes are not a header of the PROXY protocol. The connection must be dropped, whatever
/// else they may be (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyError {
    /// Neither version begins like this.
    NoHeader,
    /// Version 1: neither TCP4 nor TCP6 nor UNKNOWN.
    UnknownProtocol,
    /// Version 1: not an address of the family that was announced, in its usual form.
    MalformedAddress,
    /// Version 1: not a decimal number from 0 to 65535 without leading zeros.
    MalformedPort,
    /// Version 1: too few fields, or too many, or no CR LF where the line ends.
    MalformedLine,
    /// Version 1: no CR LF within [`MAX_LINE`] bytes.
    LineTooLong,
    /// Version 2's signature, with another version.
    UnknownVersion(u8),
    /// Version 2: neither LOCAL nor PROXY.
    UnknownCommand(u8),
    /// Version 2: a family or transport that does not exist.
    UnknownFamily(u8),
    /// Version 2: the length has no room for the addresses.
    BlockTooShort,
    /// Version 2: more than [`MAX_BLOCK`] bytes.
    BlockTooLong,
    /// Version 2: a value does not end where the header ends.
    MalformedValue,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::NoHeader => f.write_str("no PROXY header; does the proxy send one (HAProxy: send-proxy)?"),
            ProxyError::UnknownProtocol => f.write_str("PROXY header: neither TCP4 nor TCP6 nor UNKNOWN"),
            ProxyError::MalformedAddress => f.write_str("PROXY header: malformed address"),
            ProxyError::MalformedPort => f.write_str("PROXY header: malformed port"),
            ProxyError::MalformedLine => f.write_str("PROXY header: malformed line"),
            ProxyError::LineTooLong => write!(f, "PROXY header: no line end within {MAX_LINE} bytes"),
            ProxyError::UnknownVersion(version) => write!(f, "PROXY header: unknown version {version}"),
            ProxyError::UnknownCommand(command) => write!(f, "PROXY header: unknown command {command}"),
            ProxyError::UnknownFamily(family) => write!(f, "PROXY header: unknown address family {family:#04x}"),
            ProxyError::BlockTooShort => f.write_str("PROXY header: too short for its addresses"),
            ProxyError::BlockTooLong => write!(f, "PROXY header: more than {MAX_BLOCK} bytes"),
            ProxyError::MalformedValue => f.write_str("PROXY header: a value does not end where the header ends"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the header at the start of `bytes` and says how many bytes it took. `Ok(None)`: more bytes
/// are needed, [`MAX_BLOCK`] in all at the most.
///
/// # Errors
///
/// What no later byte can mend is an error as soon as it can be seen.
pub fn decode(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => decode_line(bytes),
        Some(b'\r') => decode_block(bytes),
        Some(_) => Err(ProxyError::NoHeader),
    }
}

// ---- version 1 ---------------------------------------------------------------------------------

fn decode_line(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    // The last place where a CR leaves room for its LF.
    let last_end = MAX_LINE - 2;
    let scanned = &bytes[..bytes.len().min(last_end + 1)];
    let Some(end) = scanned.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        read_fields(scanned, false)?;
        return if bytes.len() > last_end { Err(ProxyError::LineTooLong) } else { Ok(None) };
    };
    let header = read_fields(&bytes[..end], true)?;
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Ok(header.map(|header| (header, end + 2))),
        (b'\r', None) => Ok(None),
        (_, _) => Err(ProxyError::MalformedLine),
    }
}

/// Reads a line without its end, or, if it is not complete, as much of it as has come. `Ok(None)`:
/// it could still become one.
fn read_fields(line: &[u8], is_complete: bool) -> Result<Option<ProxyHeader>, ProxyError> {
    let mut rest = line.split(|byte| *byte == b' ').peekable();
    let mut next = || {
        let text = rest.next().ok_or(ProxyError::MalformedLine)?;
        Ok(Field { text, has_ended: is_complete || rest.peek().is_some() })
    };
    if next()?.word(&["PROXY"], ProxyError::NoHeader)?.is_none() {
        return Ok(None);
    }
    let address = match next()?.word(&["TCP4", "TCP6", "UNKNOWN"], ProxyError::UnknownProtocol)? {
        None => return Ok(None),
        Some("TCP4") => Field::ipv4,
        Some("TCP6") => Field::ipv6,
        // "The receiver must ignore anything presented before the CRLF is found."
        Some(_) => return Ok(is_complete.then_some(ProxyHeader::Local)),
    };
    let Some(source) = address(next()?)? else { return Ok(None) };
    let Some(_destination) = address(next()?)? else { return Ok(None) };
    let Some(source_port) = next()?.port()? else { return Ok(None) };
    let Some(_destination_port) = next()?.port()? else { return Ok(None) };
    match next() {
        Ok(_) => Err(ProxyError::MalformedLine),
        Err(_) => Ok(Some(ProxyHeader::Proxied { source: SocketAddr::new(source, source_port) })),
    }
}

/// What stands between two spaces, or before the next one, which has not come.
#[derive(Clone, Copy)]
struct Field<'a> {
    text: &'a [u8],
    has_ended: bool,
}

impl Field<'_> {
    /// The text once it has ended; before that, only whether it may go on like this.
    fn read<T>(
        self,
        error: ProxyError,
        parse: impl Fn(&str) -> Option<T>,
        may_begin: impl Fn(&str) -> bool,
    ) -> Result<Option<T>, ProxyError> {
        let text = std::str::from_utf8(self.text).map_err(|_| error)?;
        if self.has_ended {
            parse(text).map(Some).ok_or(error)
        } else if may_begin(text) {
            Ok(None)
        } else {
            Err(error)
        }
    }

    fn word(self, words: &[&'static str], error: ProxyError) -> Result<Option<&'static str>, ProxyError> {
        let whole = |text: &str| words.iter().copied().find(|word| *word == text);
        self.read(error, whole, |text| words.iter().any(|word| word.starts_with(text)))
    }

    /// "A series of 4 decimal integers separated by dots, heading zeroes not permitted" (§2.1), as
    /// the standard library has it.
    fn ipv4(self) -> Result<Option<IpAddr>, ProxyError> {
        let parse = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        let may_begin = |text: &str| IPV4_ENDS.iter().any(|end| parse(&format!("{text}{end}")).is_some());
        self.read(ProxyError::MalformedAddress, parse, may_begin)
    }

    /// Groups of hexadecimal digits with at most one `::`. Senders write an IPv4-mapped address
    /// with dots, as `inet_ntop` does.
    fn ipv6(self) -> Result<Option<IpAddr>, ProxyError> {
        let parse = |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
        let may_begin =
            |text: &str| IPV6_ENDS.iter().chain(&IPV4_ENDS).any(|end| parse(&format!("{text}{end}")).is_some());
        self.read(ProxyError::MalformedAddress, parse, may_begin)
    }

    fn port(self) -> Result<Option<u16>, ProxyError> {
        let parse = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            if is_plain { text.parse::<u16>().ok() } else { None }
        };
        self.read(ProxyError::MalformedPort, parse, |text| text.is_empty() || parse(text).is_some())
    }
}

/// The beginning of an IPv4 address becomes one with one of these ends, or it is none.
const IPV4_ENDS: [&str; 8] = ["", "0", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"];

/// Likewise for IPv6, without those that end as IPv4.
const IPV6_ENDS: [&str; 15] = [
    ":",
    ":0",
    "0:0",
    ":0:0",
    "0:0:0",
    ":0:0:0",
    "0:0:0:0",
    ":0:0:0:0",
    "0:0:0:0:0",
    ":0:0:0:0:0",
    "0:0:0:0:0:0",
    ":0:0:0:0:0:0",
    "0:0:0:0:0:0:0",
    ":0:0:0:0:0:0:0",
    "0:0:0:0:0:0:0:0",
];

// ---- version 2 ---------------------------------------------------------------------------------

fn decode_block(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if bytes.iter().zip(SIGNATURE).any(|(byte, expected)| byte != expected) {
        return Err(ProxyError::NoHeader);
    }
    let Some(&command) = bytes.get(12) else { return Ok(None) };
    if command >> 4 != 2 {
        return Err(ProxyError::UnknownVersion(command >> 4));
    }
    let is_local = match command & 0xf {
        0 => true,
        1 => false,
        other => return Err(ProxyError::UnknownCommand(other)),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    let addresses = match family {
        // "The receiver must ... discard the protocol block including the family which is ignored."
        _ if is_local => 0,
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        other => return Err(ProxyError::UnknownFamily(other)),
    };
    let Some(&high) = bytes.get(14) else { return Ok(None) };
    let low = bytes.get(15).copied();
    let [least, most] = [low.unwrap_or(0), low.unwrap_or(0xff)].map(|low| usize::from(u16::from_be_bytes([high, low])));
    if most < addresses {
        return Err(ProxyError::BlockTooShort);
    }
    if least > MAX_BLOCK - FIXED {
        return Err(ProxyError::BlockTooLong);
    }
    if low.is_none() {
        return Ok(None);
    }
    let length = least;
    let block = &bytes[FIXED..bytes.len().min(FIXED + length)];
    if addresses > 0 {
        check_values(block.get(addresses..).unwrap_or_default(), length - addresses)?;
    }
    if block.len() < length {
        return Ok(None);
    }
    let source = match family {
        0x11 if !is_local => read_source::<4>(block),
        0x21 if !is_local => read_source::<16>(block),
        // "A receiver is not required to implement other ones, provided that it automatically falls
        // back to the UNSPEC mode for the valid combinations above that it does not support."
        _ => None,
    };
    let header = source.map_or(ProxyHeader::Local, |source| ProxyHeader::Proxied { source });
    Ok(Some((header, FIXED + length)))
}

/// Source and destination address of `N` bytes each, then their ports.
fn read_source<const N: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (address, rest) = block.split_first_chunk::<N>()?;
    let port = rest.get(N..N + 2)?;
    Some(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes([port[0], port[1]])))
}

/// Whether values of which `bytes` have come can fill `length` bytes exactly.
fn check_values(bytes: &[u8], length: usize) -> Result<(), ProxyError> {
    let mut at = 0;
    while at < length {
        // A type and a length.
        let Some(room) = (length - at).checked_sub(3) else { return Err(ProxyError::MalformedValue) };
        let Some(&high) = bytes.get(at + 1) else { return Ok(()) };
        let low = bytes.get(at + 2).copied();
        let least = usize::from(u16::from_be_bytes([high, low.unwrap_or(0)]));
        if least > room {
            return Err(ProxyError::MalformedValue);
        }
        if low.is_none() {
            return Ok(());
        }
        at += 3 + least;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn proxied(source: &str) -> ProxyHeader {
        ProxyHeader::Proxied { source: source.parse().unwrap() }
    }

    /// A header of version 2.
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

    /// Each is refused at its last byte, and not before.
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
        // The dotted form makes lines possible that are longer than any line may be.
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

    /// Each is refused at its last byte, and not before.
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

    /// Good headers, damaged at random: nothing panics, a verdict once reached stays whatever
    /// follows, and one is reached before `MAX_BLOCK` bytes.
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
