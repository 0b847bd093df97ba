//! Unit tests of `forwarded`.

use super::forwarded::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ours() -> TrustedProxies {
    "10.0.0.0/8 127.0.0.1, ::1 fd00::/8".parse().unwrap()
}

/// Returns the client's address behind the proxy 10.0.0.1.
fn by_forwarded(lines: &[&str]) -> Option<IpAddr> {
    client_address(ip("10.0.0.1"), &ours(), lines.iter().map(|line| line.as_bytes()), [])
}

fn by_x_forwarded_for(lines: &[&str]) -> Option<IpAddr> {
    client_address(ip("10.0.0.1"), &ours(), [], lines.iter().map(|line| line.as_bytes()))
}

/// The left column is a line. `None` means that it contains no valid address.
#[test]
fn forwarded_is_read_as_rfc_7239_defines_it() {
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

/// The client's bytes are to the left of the outer proxy's element, in the same line or in an
/// earlier one.
#[test]
fn a_client_cannot_change_what_the_proxies_report() {
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
        // Without an appended element, only the absence of a panic is guaranteed.
        let _ = client_address(ip("10.0.0.1"), &ours(), [&written[..]], []);
    }
}
