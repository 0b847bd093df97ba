//! The addresses of trusted proxies.

use crate::parts::PROXIES;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, such as `10.0.0.0/8` or `2001:db8::/32`, or a single address, such as
/// `127.0.0.1`.
///
/// An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is treated as the IPv4 address that it maps,
/// here and in [`contains`](Self::contains).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    first: IpAddr,
    prefix: u8,
}

impl Block {
    /// Returns whether the address lies in the block.
    pub fn contains(&self, address: IpAddr) -> bool {
        network(address.to_canonical(), self.prefix) == Some(self.first)
    }
}

/// Returns the first address of the block with this prefix that contains `address`. Returns `None`
/// if the prefix is too long for the address.
fn network(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    // A shift by all bits returns `None`. The mask of `/0` is 0.
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
            // The first address begins with `::ffff:`, so the prefix has at least 96 bits.
            prefix -= 96;
        }
        Ok(Block { first, prefix })
    }
}

/// The reason why a text is not a [`Block`].
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

/// The proxies that are trusted. By default, there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Block>);

impl TrustedProxies {
    /// Creates an empty list.
    pub const fn new() -> TrustedProxies {
        TrustedProxies(Vec::new())
    }

    /// Returns whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        !PROXIES.is_used() || self.0.is_empty()
    }

    /// Returns whether the address belongs to a trusted proxy.
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

/// Parses blocks separated by commas or spaces: `127.0.0.1, ::1, 10.0.0.0/8`. An empty text means
/// no proxies.
impl FromStr for TrustedProxies {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<TrustedProxies, BlockError> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        text.split(is_separator).filter(|block| !block.is_empty()).map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_contain_their_addresses() {
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
    fn a_text_that_is_not_a_block_is_refused_with_advice() {
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
}
