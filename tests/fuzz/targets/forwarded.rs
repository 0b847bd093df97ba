//! `Forwarded` and `X-Forwarded-For`: nothing that a client writes changes what a proxy has
//! appended.

#![no_main]

use lariat::TrustedProxies;
use lariat::protocol::forwarded::{Block, client_address};
use libfuzzer_sys::fuzz_target;
use std::iter::empty;
use std::net::IpAddr;

fuzz_target!(|data: &[u8]| {
    let trusted: TrustedProxies = "10.0.0.0/8, fd00::/8".parse().expect("two blocks");
    let [proxy, stranger, client]: [IpAddr; 3] =
        ["10.0.0.1", "192.0.2.1", "203.0.113.7"].map(|text| text.parse().expect("an address"));
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let address = |peer, forwarded: &[&[u8]], x: &[&[u8]]| {
        client_address(peer, &trusted, forwarded.iter().copied(), x.iter().copied())
    };

    for (forwarded, x) in [(&lines[..], &[][..]), (&[][..], &lines[..])] {
        assert_eq!(address(stranger, forwarded, x), None, "an untrusted client is ignored");
        if let Some(found) = address(proxy, forwarded, x) {
            assert_eq!(found, found.to_canonical());
        }
    }

    // A proxy appends to the last line, or adds a line. There are two proxies.
    let (last, before) = lines.split_last().expect("at least one");
    let append = |appended: &[u8]| [last, &b", "[..], appended].concat();
    for appended in [&b"for=203.0.113.7"[..], b"For=\"203.0.113.7:4711\";proto=https", b"for=203.0.113.7, for=10.9.9.9"]
    {
        assert_eq!(address(proxy, &[before, &[&append(appended)]].concat(), &[]), Some(client));
        assert_eq!(address(proxy, &[&lines[..], &[appended]].concat(), &lines), Some(client));
    }
    for appended in [&b"203.0.113.7"[..], b"203.0.113.7:4711", b"203.0.113.7, 10.9.9.9"] {
        assert_eq!(address(proxy, &[], &[before, &[&append(appended)]].concat()), Some(client));
        assert_eq!(address(proxy, &[], &[&lines[..], &[appended]].concat()), Some(client));
    }
    assert_eq!(client_address(proxy, &trusted, empty(), empty()), None);

    // The text of a block is the block again.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = text.parse::<TrustedProxies>();
    match text.parse::<Block>() {
        Ok(block) => assert_eq!(block.to_string().parse(), Ok(block)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
