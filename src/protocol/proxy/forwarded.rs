//! Which address is the client's, when HTTP proxies stand in front of us? (RFC 7239)
//!
//! Each proxy appends whom it speaks for to `Forwarded` or to `X-Forwarded-For`, so the elements
//! stand like this, and whatever was there before the first proxy of ours is only what somebody
//! claims:
//!
//! ```text
//!                 claimed by the client      by our outer proxy      by our inner proxy     the socket's peer
//! Forwarded:      for=6.6.6.6, for=_secret,  for=203.0.113.7,        for=10.0.0.2           10.0.0.1
//!                                            the client              ◄── trusted            ◄── trusted
//! ```
//!
//! [`client_address`] walks from the right: an element counts only if the one to its right is a
//! proxy that we trust. The lines are taken apart from the right, too, so that nothing that a
//! client writes (an open quotation mark, say) reaches what a proxy has appended.
//!
//! Left out: `by`, `host` and `proto`.

use crate::parts::PROXIES;
use crate::protocol::wire::token::is_token;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

// ---- whom we trust -----------------------------------------------------------------------------

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or a single one, `127.0.0.1`.
///
/// An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address that it maps, here and in
/// [`contains`](Self::contains).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    first: IpAddr,
    prefix: u8,
}

impl Block {
    /// Whether the address lies in the block.
    pub fn contains(&self, address: IpAddr) -> bool {
        network(address.to_canonical(), self.prefix) == Some(self.first)
    }
}

/// The first address of the block of this size that `address` lies in; `None` if there are no
/// blocks of this size.
fn network(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    // Shifting by all the bits there are gives `None`: the mask of `/0`.
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl From<IpAddr> for Block {
    fn from(address: IpAddr) -> Block {
        let first = address.to_canonical();
        Block { first, prefix: if first.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Block, BlockError> {
        let error = |problem| BlockError { text: text.to_owned(), problem };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| error(Problem::Malformed))?;
        let Some(prefix) = prefix else { return Ok(written.into()) };
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let mut prefix: u8 = prefix.parse().ok().filter(|_| is_plain).ok_or_else(|| error(Problem::Malformed))?;
        let first = network(written, prefix).ok_or_else(|| error(Problem::PrefixTooLong))?;
        if first != written {
            return Err(error(Problem::NotTheFirst(Block { first, prefix })));
        }
        let first = written.to_canonical();
        if first.is_ipv4() && written.is_ipv6() {
            // The bits of `::ffff:` are set, so the prefix reaches beyond them.
            prefix -= 96;
        }
        Ok(Block { first, prefix })
    }
}

/// A text is not a [`Block`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockError {
    text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Malformed,
    PrefixTooLong,
    NotTheFirst(Block),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.problem {
            Problem::Malformed => {
                write!(f, "{text:?} is not a block of addresses. Write it like 10.0.0.0/8, 127.0.0.1 or ::1")
            }
            Problem::PrefixTooLong => {
                write!(f, "{text:?} has a prefix of more bits than its address: at most 32, or 128 with IPv6")
            }
            Problem::NotTheFirst(block) => {
                write!(f, "{text:?} does not begin with a block's first address. Did you mean {block}?")
            }
        }
    }
}

impl std::error::Error for BlockError {}

/// The proxies that are believed. By default, none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Block>);

impl TrustedProxies {
    /// None.
    pub const fn new() -> TrustedProxies {
        TrustedProxies(Vec::new())
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        !PROXIES.is_used() || self.0.is_empty()
    }

    /// Whether this is a proxy that is believed.
    pub fn contains(&self, address: IpAddr) -> bool {
        !self.is_empty() && self.0.iter().any(|block| block.contains(address))
    }
}

impl FromIterator<Block> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Block>>(blocks: I) -> TrustedProxies {
        PROXIES.use_it();
        TrustedProxies(blocks.into_iter().collect())
    }
}

impl Extend<Block> for TrustedProxies {
    fn extend<I: IntoIterator<Item = Block>>(&mut self, blocks: I) {
        PROXIES.use_it();
        self.0.extend(blocks);
    }
}

/// Blocks, separated by commas or spaces: `127.0.0.1, ::1, 10.0.0.0/8`. An empty text means none.
impl FromStr for TrustedProxies {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<TrustedProxies, BlockError> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        text.split(is_separator).filter(|block| !block.is_empty()).map(str::parse).collect()
    }
}

// ---- whom they speak for -----------------------------------------------------------------------

/// The client's address, as far as trusted proxies tell; `None`: they tell nothing, and the
/// socket's peer is all that is known.
///
/// The arguments are the values of all lines of each header, in their order, such as
/// [`Request::values`](crate::protocol::Request::values) gives. `X-Forwarded-For` counts only if
/// there is no `Forwarded`. A proxy that knows only one of the two hands the other one on as the
/// client wrote it: pass [`std::iter::empty`] for a header that the proxies do not set.
///
/// Where an element is malformed, `unknown`, or hides its address (`_secret`), the walk ends: the
/// answer is the last proxy before it, who is as near to the client as one can see.
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

/// What a header's elements look like.
trait Elements {
    /// Splits the last element off; the rest is `None` if it was the only one. `Err`: the line
    /// cannot be split here.
    fn split_last(line: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Malformed>;

    /// The address in an element, if there is one.
    fn address(element: &[u8]) -> Option<IpAddr>;
}

struct Malformed;

/// The lines come from the left, the walk from the right. So each line's end is worked out as if
/// the walk came to it: the lines to its right decide whether it did.
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

/// How the walk through one line went. An address is the last that was reached in it, if one was.
enum Walk {
    Ended(Option<IpAddr>),
    AllTrusted(Option<IpAddr>),
}

fn walk_line<E: Elements>(trusted: &TrustedProxies, line: &[u8]) -> Walk {
    let mut reached = None;
    let mut left = Some(line);
    while let Some(line) = left {
        let Ok((rest, element)) = E::split_last(line) else { return Walk::Ended(reached) };
        left = rest;
        let element = element.trim_ascii();
        // "A recipient MUST parse and ignore a reasonable number of empty list elements" (RFC 9110
        // §5.6.1.2).
        if element.is_empty() {
            continue;
        }
        let Some(address) = E::address(element) else { return Walk::Ended(reached) };
        let address = address.to_canonical();
        reached = Some(address);
        if !trusted.contains(address) {
            return Walk::Ended(reached);
        }
    }
    Walk::AllTrusted(reached)
}

/// `for=192.0.2.43;proto=https, for="[2001:db8::1]:4711"`
struct Forwarded;

impl Elements for Forwarded {
    fn split_last(line: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Malformed> {
        split_last_unquoted(line, b',')
    }

    fn address(element: &[u8]) -> Option<IpAddr> {
        let mut node = None;
        let mut left = Some(element);
        while let Some(pairs) = left {
            let (rest, pair) = split_last_unquoted(pairs, b';').ok()?;
            left = rest;
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            let pair = std::str::from_utf8(pair).ok()?;
            let (name, value) = pair.split_once('=')?;
            if !is_token(name) {
                return None;
            }
            let value = unquote(value)?;
            // "Each parameter MUST NOT occur more than once per field-value."
            if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
                return None;
            }
        }
        // An IPv6 address stands in brackets here, always (§6).
        read_node(&node?).filter(|(address, in_brackets)| address.is_ipv4() || *in_brackets).map(|(address, _)| address)
    }
}

/// `203.0.113.7, 2001:db8::1, 10.0.0.2:51234`: what proxies write, since nobody has specified it.
struct XForwardedFor;

impl Elements for XForwardedFor {
    fn split_last(line: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Malformed> {
        Ok(match line.iter().rposition(|byte| *byte == b',') {
            Some(at) => (Some(&line[..at]), &line[at + 1..]),
            None => (None, line),
        })
    }

    fn address(element: &[u8]) -> Option<IpAddr> {
        read_node(std::str::from_utf8(element).ok()?).map(|(address, _)| address)
    }
}

/// Splits at the last delimiter outside quotation marks, looking at nothing to the left of it.
///
/// From the right, too, every quotation mark says what it is: one inside a quoted string has an odd
/// number of backslashes before it, and the one that opens the string has `=` before it.
fn split_last_unquoted(text: &[u8], delimiter: u8) -> Result<(Option<&[u8]>, &[u8]), Malformed> {
    let is_escaped = |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let mut end = text.len();
    while let Some(at) = end.checked_sub(1) {
        end = at;
        if text[at] == delimiter {
            return Ok((Some(&text[..at]), &text[at + 1..]));
        }
        if text[at] == b'"' {
            let is_mark = |place: &usize| text[*place] == b'"' && !is_escaped(*place);
            let opening = (0..at).rev().find(is_mark).ok_or(Malformed)?;
            if !text[..opening].ends_with(b"=") {
                return Err(Malformed);
            }
            end = opening;
        }
    }
    Ok((None, text))
}

/// A parameter's value: a token, or a quoted string. Many forget that an address with a port needs
/// the quotation marks.
fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = value.strip_prefix('"') else {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=');
        return (!value.is_empty() && value.chars().all(is_plain)).then_some(Cow::Borrowed(value));
    };
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

/// An address, with or without port, and whether it stood in brackets. `None` for names that hide
/// it, too: `unknown`, `_secret`.
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

/// A number, or one that is hidden: `_x1` (RFC 7239 §6.2).
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty() && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5 && port.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ours() -> TrustedProxies {
        "10.0.0.0/8 127.0.0.1, ::1 fd00::/8".parse().unwrap()
    }

    /// Behind the proxy 10.0.0.1.
    fn by_forwarded(lines: &[&str]) -> Option<IpAddr> {
        client_address(ip("10.0.0.1"), &ours(), lines.iter().map(|line| line.as_bytes()), [])
    }

    fn by_x_forwarded_for(lines: &[&str]) -> Option<IpAddr> {
        client_address(ip("10.0.0.1"), &ours(), [], lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn blocks_contain_what_they_say() {
        let table = [
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..], &["9.255.255.255", "11.0.0.0"][..]),
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1", "::127.0.0.1"]),
            ("::1", &["::1"], &["::2", "0.0.0.1", "127.0.0.1"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::1", "2001:db9::"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], &["::", "1::"]),
            ("::/0", &["::", "ffff::"], &["1.2.3.4", "::ffff:1.2.3.4"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.0", "::"]),
            ("::ffff:0:0/96", &["0.0.0.0", "255.255.255.255"], &["::"]),
            ("192.0.2.1/32", &["192.0.2.1"], &["192.0.2.0"]),
        ];
        for (text, inside, outside) in table {
            let block: Block = text.parse().unwrap();
            for address in inside {
                assert!(block.contains(ip(address)), "{address} in {text}");
            }
            for address in outside {
                assert!(!block.contains(ip(address)), "{address} not in {text}");
            }
            assert_eq!(block.to_string().parse(), Ok(block), "{text}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused_with_advice() {
        for text in [
            "",
            "10.0.0.0/",
            "/8",
            "10/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "010.0.0.0/8",
            "10.0.0.0/256",
            "[::1]",
            "fe80::1%eth0",
            "localhost",
            "10.0.0.1:80",
        ] {
            assert!(text.parse::<Block>().unwrap_err().to_string().contains("Write it like"), "{text}");
        }
        for text in ["10.0.0.0/33", "::/129", "::1/255"] {
            assert!(text.parse::<Block>().unwrap_err().to_string().contains("at most 32"), "{text}");
        }
        let error = "10.1.2.3/8".parse::<Block>().unwrap_err();
        assert!(error.to_string().contains("Did you mean 10.0.0.0/8?"), "{error}");
        assert!("::ffff:10.0.0.0/90".parse::<Block>().is_err());
    }

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        assert_eq!("".parse(), Ok(TrustedProxies::new()));
        assert!(!TrustedProxies::new().contains(ip("127.0.0.1")));
        let list: TrustedProxies = " 127.0.0.1,::1 ,10.0.0.0/8\n".parse().unwrap();
        assert!(["127.0.0.1", "::1", "10.2.3.4"].iter().all(|address| list.contains(ip(address))));
        assert!("127.0.0.1, nobody".parse::<TrustedProxies>().is_err());
        let mut same = TrustedProxies::from_iter([Block::from(ip("127.0.0.1")), Block::from(ip("::1"))]);
        same.extend(["10.0.0.0/8".parse::<Block>().unwrap()]);
        assert_eq!(same, list);
    }

    /// The left column is a line; `None`: nothing that counts is in it.
    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let table = [
            ("for=203.0.113.7", Some("203.0.113.7")),
            ("For=203.0.113.7;proto=https;by=10.0.0.1", Some("203.0.113.7")),
            ("proto=https ; FOR=203.0.113.7", Some("203.0.113.7")),
            (";for=203.0.113.7;;", Some("203.0.113.7")),
            ("for=\"203.0.113.7\"", Some("203.0.113.7")),
            ("for=\"203.0.113.7:51234\"", Some("203.0.113.7")),
            ("for=203.0.113.7:51234", Some("203.0.113.7")),
            ("for=\"203.0.113.7:_hidden\"", Some("203.0.113.7")),
            ("for=\"[2001:db8:cafe::17]\"", Some("2001:db8:cafe::17")),
            ("for=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("for=[2001:db8:cafe::17]", Some("2001:db8:cafe::17")),
            ("for=\"[::ffff:203.0.113.7]\"", Some("203.0.113.7")),
            ("for=\"\\203.0.113\\.7\"", Some("203.0.113.7")),
            ("for=203.0.113.7;host=\"a,b;for=6.6.6.6\"", Some("203.0.113.7")),
            ("host=\"\\\",for=6.6.6.6;x=\\\"\";for=203.0.113.7", Some("203.0.113.7")),
            ("host=\"\\\\\";for=203.0.113.7", Some("203.0.113.7")),
            ("for=203.0.113.7,", Some("203.0.113.7")),
            ("for=203.0.113.7 ,\t, ", Some("203.0.113.7")),
            ("for=203.0.113.7, for=10.0.0.2", Some("203.0.113.7")),
            ("for=203.0.113.7,for=\"[fd00::2]:1\",for=10.0.0.2", Some("203.0.113.7")),
            ("for=10.0.0.3, for=10.0.0.2", Some("10.0.0.3")),
            ("for=unknown, for=10.0.0.2", Some("10.0.0.2")),
            ("for=_hidden, for=10.0.0.2", Some("10.0.0.2")),
            ("for=_SEVKISEK;proto=http", None),
            ("for=unknown", None),
            ("for=Unknown", None),
            ("proto=https", None),
            ("", None),
            (" , ,", None),
            ("for=", None),
            ("for=\"\"", None),
            ("for", None),
            ("=203.0.113.7", None),
            ("for =203.0.113.7", None),
            ("for= 203.0.113.7", None),
            ("for==203.0.113.7", None),
            ("for=203.0.113.7;for=203.0.113.7", None),
            ("for=203.0.113.7;for=6.6.6.6", None),
            ("for=203.0.113.07", None),
            ("for=203.0.113", None),
            ("for=203.0.113.7:", None),
            ("for=203.0.113.7:65536", None),
            ("for=203.0.113.7:+1", None),
            ("for=\"203.0.113.7:_\"", None),
            ("for=\"2001:db8:cafe::17\"", None),
            ("for=\"[2001:db8:cafe::17\"", None),
            ("for=\"[2001:db8:cafe::17]4711\"", None),
            ("for=\"[203.0.113.7]\"", None),
            ("for=\"203.0.113.7", None),
            ("for=203.0.113.7\"", None),
            ("for=\"203.0.113.7\\\"", None),
            ("for=\"203.0.113.7\"x", None),
            ("for=x\"203.0.113.7\"", None),
            ("for=\" 203.0.113.7\"", None),
            ("x=\"a\"\"b\";for=203.0.113.7", None),
            ("x=\"a\\\";for=203.0.113.7", None),
            ("fo r=203.0.113.7", None),
            ("f\u{f6}r=203.0.113.7", None),
            ("203.0.113.7", None),
        ];
        for (line, expected) in table {
            assert_eq!(by_forwarded(&[line]), expected.map(ip), "{line}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_as_proxies_write_it() {
        let table = [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:51234", Some("203.0.113.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]", Some("2001:db8::7")),
            ("[2001:db8::7]:51234", Some("2001:db8::7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7,10.0.0.2", Some("203.0.113.7")),
            ("203.0.113.7, ::ffff:10.0.0.2, 10.0.0.3:1", Some("203.0.113.7")),
            ("6.6.6.6, 203.0.113.7, 10.0.0.2", Some("203.0.113.7")),
            ("10.0.0.3, 10.0.0.2", Some("10.0.0.3")),
            ("6.6.6.6, unknown, 10.0.0.2", Some("10.0.0.2")),
            ("6.6.6.6, , 10.0.0.2, ", Some("6.6.6.6")),
            ("6.6.6.6, for=203.0.113.7", None),
            ("unknown", None),
            ("", None),
            ("203.0.113.7 10.0.0.2", None),
            ("\"203.0.113.7\"", None),
            ("203.0.113.7:x", None),
            ("203.0.113.7:123456", None),
            ("2001:db8::7:", None),
            ("[2001:db8::7", None),
            ("client.example", None),
        ];
        for (line, expected) in table {
            assert_eq!(by_x_forwarded_for(&[line]), expected.map(ip), "{line}");
        }
    }

    #[test]
    fn who_is_not_trusted_is_not_believed() {
        let lines = [&b"for=6.6.6.6"[..]];
        for peer in ["203.0.113.7", "::2", "::ffff:203.0.113.7", "11.0.0.0"] {
            assert_eq!(client_address(ip(peer), &ours(), lines, []), None, "{peer}");
            assert_eq!(client_address(ip(peer), &ours(), [], [&b"6.6.6.6"[..]]), None, "{peer}");
        }
        assert_eq!(client_address(ip("10.0.0.1"), &TrustedProxies::new(), lines, []), None);
        assert_eq!(client_address(ip("::ffff:10.0.0.1"), &ours(), lines, []), Some(ip("6.6.6.6")));
    }

    #[test]
    fn forwarded_wins_over_x_forwarded_for() {
        let both = |forwarded: &'static [u8]| client_address(ip("10.0.0.1"), &ours(), [forwarded], [&b"6.6.6.6"[..]]);
        assert_eq!(both(b"for=203.0.113.7"), Some(ip("203.0.113.7")));
        assert_eq!(both(b"for=unknown"), None, "hidden is hidden");
        assert_eq!(both(b"?"), None);
        assert_eq!(both(b""), None);
    }

    #[test]
    fn several_lines_are_one_list() {
        let cases: [(&[&str], Option<&str>); 8] = [
            (&["for=6.6.6.6", "for=203.0.113.7", "for=10.0.0.2"], Some("203.0.113.7")),
            (&["for=6.6.6.6, for=203.0.113.7", "for=10.0.0.3, for=10.0.0.2"], Some("203.0.113.7")),
            (&["for=203.0.113.7", "", "for=10.0.0.2"], Some("203.0.113.7")),
            (&["for=203.0.113.7", ","], Some("203.0.113.7")),
            (&["for=6.6.6.6", "for=unknown", "for=10.0.0.2"], Some("10.0.0.2")),
            (&["for=6.6.6.6", "for=10.0.0.9, for=unknown", "for=10.0.0.2"], Some("10.0.0.2")),
            (&["for=6.6.6.6", "malformed"], None),
            (&["for=10.0.0.4", "for=10.0.0.3, for=10.0.0.2"], Some("10.0.0.4")),
        ];
        for (lines, expected) in cases {
            assert_eq!(by_forwarded(lines), expected.map(ip), "{lines:?}");
            let bare: Vec<String> = lines.iter().map(|line| line.replace("for=", "")).collect();
            let bare: Vec<&str> = bare.iter().map(String::as_str).collect();
            assert_eq!(by_x_forwarded_for(&bare), expected.map(ip), "{bare:?}");
        }
    }

    #[test]
    fn a_client_cannot_reach_what_a_proxy_appends() {
        let forgeries = [
            "for=6.6.6.6",
            "for=10.0.0.9",
            "for=\"",
            "for=6.6.6.6;x=\"",
            "for=6.6.6.6;x=\"\\",
            "for=6.6.6.6;x=\\",
            "\"",
            "\\\"",
            "=\"",
            "for=6.6.6.6,x=\"a\",\"",
            ";",
            ",",
            "for=6.6.6.6;",
        ];
        for forged in forgeries.into_iter().step_by(if cfg!(miri) { 4 } else { 1 }) {
            for appended in [
                "for=203.0.113.7",
                "for=\"203.0.113.7:1\"",
                "for=203.0.113.7;host=\",for=6.6.6.6;y=\\\"\"",
                "host=\"\";for=203.0.113.7;by=\"\"",
            ] {
                for more in ["", ", for=10.0.0.2", ", for=\"[fd00::2]\";host=\"a\\\\\""] {
                    let line = format!("{forged}, {appended}{more}");
                    assert_eq!(by_forwarded(&[&line]), Some(ip("203.0.113.7")), "{line}");
                }
            }
        }
    }

    /// Whatever stands to the left of what the outer proxy has appended, in the same line or before
    /// it.
    #[test]
    fn whatever_a_client_writes_the_proxies_are_believed() {
        let mut random = StdRng::seed_from_u64(7239);
        let palette = b"for=\"\"\\\\,; []:1.0x_\xff\t";
        let proxies = [&b"for=\"203.0.113.7\";host=\"a\\\"b\", for=10.0.0.2"[..], b"203.0.113.7, 10.0.0.2"];
        let rounds = if cfg!(miri) { 5 } else { 20_000 };
        for round in 0..rounds {
            let written: Vec<u8> =
                (0..random.random_range(0..24)).map(|_| palette[random.random_range(0..palette.len())]).collect();
            for (is_x, appended) in proxies.into_iter().enumerate() {
                let one_line = [&written, &b", "[..], appended].concat();
                let lines: &[&[u8]] = if round % 2 == 0 { &[&one_line] } else { &[&written, appended] };
                let (none, all): (&[&[u8]], &[&[u8]]) = (&[], lines);
                let (forwarded, x) = if is_x == 0 { (all, none) } else { (none, all) };
                let found = client_address(ip("10.0.0.1"), &ours(), forwarded.iter().copied(), x.iter().copied());
                assert_eq!(found, Some(ip("203.0.113.7")), "{}", one_line.escape_ascii());
            }
            // With nothing appended there is no promise but an answer.
            let _ = client_address(ip("10.0.0.1"), &ours(), [&written[..]], []);
        }
    }
}
