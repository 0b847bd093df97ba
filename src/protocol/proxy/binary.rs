//! Parses the PROXY header of version 2, which is binary.

use super::header::{MAX_BLOCK, ProxyError, ProxyHeader};
use std::net::{IpAddr, SocketAddr};

/// The first bytes of every header of version 2 (§2.2). Neither HTTP nor TLS begins with them.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the fixed part: signature, version and command, family, length.
pub(super) const FIXED: usize = 16;

pub(super) fn decode(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
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

/// Reads the source. The block has the source and destination address of `N` bytes each, then their
/// ports.
fn read_source<const N: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (address, rest) = block.split_first_chunk::<N>()?;
    let port = rest.get(N..N + 2)?;
    Some(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes([port[0], port[1]])))
}

/// Checks that the values can fill `length` bytes exactly. `bytes` is the part that has arrived.
fn check_values(bytes: &[u8], length: usize) -> Result<(), ProxyError> {
    let mut at = 0;
    while at < length {
        // A value begins with a type and a length.
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
