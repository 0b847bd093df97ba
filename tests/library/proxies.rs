//! The address of a client that connects through proxies.

use crate::common::{Wire, request, request_with, run, script, text};
use lariat::http::Response;
use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, ForwardedHeader, Handler, Http, ListenOptions, Message, Server,
};
use std::io::Read;

/// Answers every message with the address of its sender.
struct WhereAmI;

impl Handler for WhereAmI {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, _: Message<'_>) {
        let addr = clients.peer_addr(id).map_or_else(|| "nowhere".to_owned(), |addr| addr.to_string());
        let _ = clients.send(id, addr.as_str());
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, _: &CloseReason) {}
}

fn server(trusted: &str, is_proxied: bool, forwarded_header: ForwardedHeader) -> Server<()> {
    let mut config = Config::default();
    config.trusted_proxies = trusted.parse().expect("blocks");
    config.forwarded_header = forwarded_header;
    let mut options = ListenOptions::default();
    options.proxy_protocol = is_proxied;
    Server::new(config).expect("a config").options(options).listen("127.0.0.1:0").expect("a free port")
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n";

fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
    header.extend_from_slice(&[203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x34, 1, 0xbb]);
    header.extend_from_slice(&[4, 0, 0]);
    header
}

#[test]
fn the_proxy_protocol_gives_the_clients_address_for_any_cut() {
    let server = run(server("127.0.0.1", true, ForwardedHeader::XForwardedFor), WhereAmI);
    for (header, expected) in [
        (V1.to_vec(), Some("203.0.113.7:51234")),
        (v2(), Some("203.0.113.9:4660")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
    ] {
        let conversation = [&header[..], request("/").as_bytes(), &text("where?")].concat();
        for cut in [0, 1, 7, 15, 16, header.len() - 1, header.len(), header.len() + 1, conversation.len()] {
            let mut wire = Wire::connect(server.addr);
            let local = wire.stream.get_ref().local_addr().expect("an address").to_string();
            wire.send(&conversation[..cut]);
            wire.send(&conversation[cut..]);
            assert_eq!(wire.response().status(), 101);
            wire.expect_text(expected.unwrap_or(&local));
        }
    }
}

#[test]
fn without_a_valid_header_of_a_trusted_proxy_the_connection_ends() {
    for (trusted, header) in [
        ("127.0.0.1", &b""[..]),
        ("127.0.0.1", b"PROXY TCP4 203.0.113.7 192.0.2.1 99999 443\r\n"),
        ("127.0.0.1", b"PROXY TCP4 203.0.113.7\r\n"),
        ("10.0.0.0/8", V1),
        ("", V1),
    ] {
        let server = run(server(trusted, true, ForwardedHeader::XForwardedFor), WhereAmI);
        let mut wire = Wire::connect(server.addr);
        wire.send(&[header, request("/").as_bytes()].concat());
        let mut answer = Vec::new();
        // The server disconnects: with FIN, or with a reset because of unread bytes.
        let _ = wire.stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{trusted} {header:?}");
    }
}

#[test]
fn an_unexpected_proxy_header_is_not_http() {
    let server = run(server("127.0.0.1", false, ForwardedHeader::XForwardedFor), WhereAmI);
    let mut wire = Wire::connect(server.addr);
    wire.send(&[V1, request("/").as_bytes()].concat());
    assert_eq!(wire.response().status(), 400);
}

#[test]
fn forwarded_headers_count_only_from_trusted_proxies() {
    let x_forwarded_for = "X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.1\r\n";
    let forwarded = "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:1234\"\r\nX-Forwarded-For: 6.6.6.6\r\n";
    for (trusted, kind, headers, expected) in [
        ("127.0.0.1, 10.0.0.0/8", ForwardedHeader::XForwardedFor, x_forwarded_for, Some("203.0.113.7:0")),
        ("127.0.0.1", ForwardedHeader::XForwardedFor, x_forwarded_for, Some("10.0.0.1:0")),
        ("10.0.0.0/8", ForwardedHeader::XForwardedFor, x_forwarded_for, None),
        ("", ForwardedHeader::XForwardedFor, x_forwarded_for, None),
        ("127.0.0.1", ForwardedHeader::Forwarded, forwarded, Some("[2001:db8::7]:0")),
        ("127.0.0.1", ForwardedHeader::Forwarded, x_forwarded_for, None),
    ] {
        let server = run(server(trusted, false, kind), WhereAmI);
        let mut wire = Wire::connect(server.addr);
        let local = wire.stream.get_ref().local_addr().expect("an address").to_string();
        wire.send(request_with("/", headers).as_bytes());
        assert_eq!(wire.response().status(), 101);
        wire.send(&text("where?"));
        wire.expect_text(expected.unwrap_or(&local));
    }
}

#[test]
fn a_slow_header_ends_at_the_handshake_timeout() {
    let mut config = Config::default();
    config.trusted_proxies = "127.0.0.1".parse().expect("a block");
    config.limits.handshake_timeout = std::time::Duration::from_millis(100);
    let mut options = ListenOptions::default();
    options.proxy_protocol = true;
    let server = Server::new(config).expect("a config").options(options).listen("127.0.0.1:0").expect("a free port");
    let (script, _calls) = script();
    let server = run(server, script);
    let mut wire = Wire::connect(server.addr);
    wire.send(&V1[..10]);
    assert_eq!(wire.stream.read_to_end(&mut Vec::new()).expect("the server disconnects"), 0);
}

/// A proxy sends requests of many clients over one connection.
#[test]
fn each_request_of_a_kept_connection_has_the_address_of_its_own_client() {
    struct Who;

    impl Handler for Who {
        type Data = ();

        fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &lariat::Request<'_>) -> Answer {
            if request.is_upgrade() {
                return lariat::Upgrade::new().into();
            }
            Response::new(clients.peer_addr(id).map_or_else(String::new, |addr| addr.to_string())).into()
        }
    }

    let mut config = Config::default();
    config.trusted_proxies = "127.0.0.1, 192.0.2.2".parse().expect("blocks");
    config.limits.http = Some(Http::default());
    config.max_connections_per_address = Some(2);
    for header in ["", "PROXY TCP4 192.0.2.2 192.0.2.1 51234 443\r\n"] {
        let mut options = ListenOptions::default();
        options.proxy_protocol = !header.is_empty();
        let server = Server::new(config.clone()).expect("a config").options(options);
        let server = run(server.listen("127.0.0.1:0").expect("a free port"), Who);
        let mut wires: Vec<Wire> = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::connect(server.addr);
            wire.send(header.as_bytes());
            let local = match header {
                "" => wire.stream.get_ref().local_addr().expect("an address").to_string(),
                _ => "192.0.2.2:51234".to_owned(),
            };
            for (forwarded, expected) in [
                ("203.0.113.7", "203.0.113.7:0"),
                ("203.0.113.8", "203.0.113.8:0"),
                ("", local.as_str()),
                ("203.0.113.9", "203.0.113.9:0"),
            ] {
                let line = if forwarded.is_empty() { "" } else { &*format!("X-Forwarded-For: {forwarded}\r\n") };
                wire.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n").as_bytes());
                assert_eq!(String::from_utf8_lossy(&wire.response().body), expected);
            }
            wires.push(wire);
        }
        // Only upgrades count for the address that a proxy reports: each connection once, for its
        // last request.
        for wire in &mut wires {
            wire.send(request_with("/", "X-Forwarded-For: 203.0.113.7\r\n").as_bytes());
            assert_eq!(wire.response().status(), 101);
        }
    }
}
