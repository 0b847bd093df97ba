//! Parses the PROXY header of version 1, which is a line of text.

use super::header::{MAX_LINE, ProxyError, ProxyHeader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn decode(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    // The last position of a CR that leaves room for its LF.
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

/// Reads a line without its CR LF. If it is not complete, reads the part that has arrived. Returns
/// `Ok(None)` if the part can still become a valid line.
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

/// The text between two spaces. The second space may not have arrived yet.
#[derive(Clone, Copy)]
struct Field<'a> {
    text: &'a [u8],
    has_ended: bool,
}

impl Field<'_> {
    /// Parses the text if it has ended. Otherwise only checks that it can become valid.
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

    /// Reads an IPv4 address: "a series of 4 decimal integers separated by dots, heading zeroes not
    /// permitted" (§2.1). The standard library parses the same form.
    fn ipv4(self) -> Result<Option<IpAddr>, ProxyError> {
        let parse = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        let may_begin = |text: &str| IPV4_ENDS.iter().any(|end| parse(&format!("{text}{end}")).is_some());
        self.read(ProxyError::MalformedAddress, parse, may_begin)
    }

    /// Reads an IPv6 address: groups of hexadecimal digits with at most one `::`. Senders write an
    /// IPv4-mapped address with dots, as `inet_ntop` does.
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

/// Endings that complete IPv4 addresses. A text is the beginning of an address exactly if one of
/// them makes it a valid address.
const IPV4_ENDS: [&str; 8] = ["", "0", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"];

/// Endings that complete IPv6 addresses, without those in [`IPV4_ENDS`].
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
