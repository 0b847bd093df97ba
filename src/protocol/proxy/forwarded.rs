//! Finds the address of a client behind HTTP proxies (RFC 7239).
//!
//! Each proxy appends the address of its client to `Forwarded` or to `X-Forwarded-For`. Elements to
//! the left of the one from our outermost proxy are only claims of the client:
//!
//! ```text
//!                 claimed by the client      by our outer proxy      by our inner proxy     the socket's peer
//! Forwarded:      for=6.6.6.6, for=_secret,  for=203.0.113.7,        for=10.0.0.2           10.0.0.1
//!                                            the client              ◄── trusted            ◄── trusted
//! ```
//!
//! [`client_address`] reads from the right. An element counts only if a trusted proxy is to its
//! right. The lines are also split from the right. So a client's bytes, such as an unclosed
//! quotation mark, cannot change the elements that a proxy has appended.
//!
//! Not supported: `by`, `host` and `proto`.

pub use super::trusted::{Block, BlockError, TrustedProxies};
use crate::protocol::wire::token::is_token;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the client's address as reported by trusted proxies, or `None` if they report none and
/// only the socket's peer is known.
///
/// The arguments are the values of all lines of each header, in their order, as
/// [`Request::values`](crate::protocol::Request::values) returns them. `X-Forwarded-For` counts
/// only if there is no `Forwarded`. A proxy that sets only one of the two passes the other on as
/// the client wrote it. So pass [`std::iter::empty`] for a header that the proxies do not set.
///
/// An element that is malformed, is `unknown` or hides its address (`_secret`) ends the search. The
/// result is then the proxy to its right, which is the known address nearest to the client.
pub fn client_address<'a>(
    peer: IpAddr,
    trusted: &TrustedProxies,
    forwarded: impl IntoIterator<Item = &'a [u8]>,
    x_forwarded_for: impl IntoIterator<Item = &'a [u8]>,
) -> Option<IpAddr> {
    if !trusted.contains(peer) {
        return None;
    }
    let mut forwarded = forwarded.into_iter().peekable();
    if forwarded.peek().is_some() {
        walk_lines(trusted, forwarded, Forwarded)
    } else {
        walk_lines(trusted, x_forwarded_for, XForwardedFor)
    }
}

/// The syntax of a header's elements.
trait Elements {
    /// Reads the last element, and returns what is to its left: `None` if it is the only one.
    /// Returns an error if the line cannot be split here.
    fn read_last(line: &[u8]) -> Result<(Option<&[u8]>, Element), Malformed>;
}

enum Element {
    Empty,
    Address(IpAddr),
    /// It is malformed, or hides the address.
    Unknown,
}

impl From<Option<IpAddr>> for Element {
    fn from(address: Option<IpAddr>) -> Element {
        address.map_or(Element::Unknown, Element::Address)
    }
}

struct Malformed;

/// Searches all lines. The lines arrive from the left, but the search runs from the right. So each
/// line is searched as if the search reached it. The lines to its right then decide whether it did.
fn walk_lines<'a, E: Elements>(
    trusted: &TrustedProxies,
    lines: impl IntoIterator<Item = &'a [u8]>,
    _: E,
) -> Option<IpAddr> {
    lines.into_iter().fold(None, |before, line| match walk_line::<E>(trusted, line) {
        Walk::Ended(address) => address,
        Walk::AllTrusted(leftmost) => before.or(leftmost),
    })
}

/// The result of the search in one line. The address is the last that was reached in the line, if
/// any.
enum Walk {
    Ended(Option<IpAddr>),
    AllTrusted(Option<IpAddr>),
}

fn walk_line<E: Elements>(trusted: &TrustedProxies, line: &[u8]) -> Walk {
    let mut reached = None;
    let mut left = Some(line);
    while let Some(line) = left {
        let Ok((rest, element)) = E::read_last(line) else { return Walk::Ended(reached) };
        left = rest;
        let address = match element {
            // "A recipient MUST parse and ignore a reasonable number of empty list elements" (RFC
            // 9110 §5.6.1.2).
            Element::Empty => continue,
            Element::Unknown => return Walk::Ended(reached),
            Element::Address(address) => address.to_canonical(),
        };
        reached = Some(address);
        if !trusted.contains(address) {
            return Walk::Ended(reached);
        }
    }
    Walk::AllTrusted(reached)
}

/// The syntax of `Forwarded`: `for=192.0.2.43;proto=https, for="[2001:db8::1]:4711"`.
struct Forwarded;

impl Elements for Forwarded {
    fn read_last(line: &[u8]) -> Result<(Option<&[u8]>, Element), Malformed> {
        let (mut node, mut is_empty, mut left) = (None, true, line);
        loop {
            let (rest, pair) = split_last_unquoted(left)?;
            let pair = trim(pair);
            if !pair.is_empty() && !read_pair(pair, &mut node) {
                return Ok((None, Element::Unknown));
            }
            match rest {
                Some((rest, b';')) => (left, is_empty) = (rest, false),
                rest if is_empty && pair.is_empty() => return Ok((rest.map(|(rest, _)| rest), Element::Empty)),
                rest => return Ok((rest.map(|(rest, _)| rest), node.and_then(read_forwarded_node).into())),
            }
        }
    }
}

/// Reads a parameter of `Forwarded`. Returns `false` if it is malformed or repeats `for`.
fn read_pair<'p>(pair: &'p [u8], node: &mut Option<&'p str>) -> bool {
    let Some((name, value)) = std::str::from_utf8(pair).ok().and_then(|pair| pair.split_once('=')) else {
        return false;
    };
    // "Each parameter MUST NOT occur more than once per field-value."
    is_token(name) && is_value(value) && !(name.eq_ignore_ascii_case("for") && node.replace(value).is_some())
}

/// Returns the address in the value of `for`. An IPv6 address must be in brackets (§6).
fn read_forwarded_node(value: &str) -> Option<IpAddr> {
    let node = Some(value).filter(|value| value.len() <= LONGEST_NODE).and_then(unquote)?;
    read_node(&node).filter(|(address, in_brackets)| address.is_ipv4() || *in_brackets).map(|(address, _)| address)
}

/// The syntax of `X-Forwarded-For` as proxies write it. No specification exists. An example:
/// `203.0.113.7, 2001:db8::1, 10.0.0.2:51234`.
struct XForwardedFor;

impl Elements for XForwardedFor {
    fn read_last(line: &[u8]) -> Result<(Option<&[u8]>, Element), Malformed> {
        let (rest, element) = match line.iter().rposition(|byte| *byte == b',') {
            Some(at) => (Some(&line[..at]), &line[at + 1..]),
            None => (None, line),
        };
        let element = trim(element);
        if element.is_empty() {
            return Ok((rest, Element::Empty));
        }
        let node = std::str::from_utf8(element).ok().and_then(read_node);
        Ok((rest, node.map(|(address, _)| address).into()))
    }
}

/// What is to the left of a delimiter, with the delimiter, and what is to the right. Without a
/// delimiter, all is to the right.
type Split<'t> = (Option<(&'t [u8], u8)>, &'t [u8]);

/// Splits at the last comma or semicolon outside quotation marks, and returns which it was. Does
/// not read the bytes to its left.
///
/// Quotation marks are unambiguous from the right as well. One inside a quoted string has an odd
/// number of backslashes before it. One that opens a string has `=` before it.
fn split_last_unquoted(text: &[u8]) -> Result<Split<'_>, Malformed> {
    let mut left = text;
    while let Some(at) = last_mark(left) {
        if text[at] != b'"' {
            return Ok((Some((&text[..at], text[at])), &text[at + 1..]));
        }
        left = &text[..opening_mark(&text[..at]).ok_or(Malformed)?];
        if !left.ends_with(b"=") {
            return Err(Malformed);
        }
    }
    Ok((None, text))
}

/// Returns the place of the last delimiter or quotation mark. A block without any costs little more
/// than a byte.
fn last_mark(text: &[u8]) -> Option<usize> {
    let is_mark = |byte: &u8| matches!(byte, b',' | b';' | b'"');
    let mut left = text;
    while let Some((rest, block)) = left.split_last_chunk::<16>() {
        if block.iter().fold(false, |is_found, byte| is_found | is_mark(byte)) {
            break;
        }
        left = rest;
    }
    left.iter().rposition(is_mark)
}

/// Returns the place of the last quotation mark that is not escaped.
fn opening_mark(text: &[u8]) -> Option<usize> {
    let mut left = text;
    while let Some((last, rest)) = left.split_last() {
        left = rest;
        if *last == b'"' {
            while let Some(rest) = left.strip_suffix(b"\\") {
                left = rest;
            }
            if (rest.len() - left.len()) % 2 == 0 {
                return Some(rest.len());
            }
        }
    }
    None
}

/// Returns the text without spaces and tabs around it. A block of them costs little more than one.
fn trim(mut text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    while let Some((block, rest)) = text.split_first_chunk::<16>() {
        if !block.iter().fold(true, |is_all, byte| is_all & is_blank(byte)) {
            break;
        }
        text = rest;
    }
    while let Some((rest, block)) = text.split_last_chunk::<16>() {
        if !block.iter().fold(true, |is_all, byte| is_all & is_blank(byte)) {
            break;
        }
        text = rest;
    }
    text.trim_ascii()
}

/// The longest value that can be an address: an IPv6 address in brackets with a port, all of it
/// escaped.
const LONGEST_NODE: usize = 2 * "[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535".len() + 2;

/// Returns whether this is a parameter's value: a token or a quoted string. An address with a port
/// is accepted without quotation marks, because many proxies omit them.
fn is_value(value: &str) -> bool {
    match value.strip_prefix('"') {
        None => {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
            !value.is_empty() && value.bytes().all(is_plain)
        }
        // The last backslash must not escape the closing mark.
        Some(rest) => rest
            .strip_suffix('"')
            .is_some_and(|quoted| quoted.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0),
    }
}

/// Returns the contents of a value.
fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = value.strip_prefix('"') else { return Some(Cow::Borrowed(value)) };
    let quoted = rest.strip_suffix('"')?;
    if !quoted.contains('\\') {
        return Some(Cow::Borrowed(quoted));
    }
    let mut unquoted = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        unquoted.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(Cow::Owned(unquoted))
}

/// Returns the address of a node, with or without a port, and whether it was in brackets. Returns
/// `None` for names that hide the address: `unknown`, `_secret`.
fn read_node(node: &str) -> Option<(IpAddr, bool)> {
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some((address.into(), true));
    }
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some((address, false));
    }
    let (address, port) = node.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some((address.into(), false))
}

/// Returns whether the text is a port number or a hidden port, such as `_x1` (RFC 7239 §6.2).
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty() && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5 && port.parse::<u16>().is_ok(),
    }
}
