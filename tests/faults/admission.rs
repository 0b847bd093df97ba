//! Who may connect: each limit has its own status, and the response says when to try again.

use crate::common::{Wire, request, request_with, run, script};
use crate::kit::{Echo, connect, response, sim, status};
use lariat::sim::{Peer, Simulation};
use lariat::{Config, ListenOptions, Server};
use std::net::IpAddr;
use std::time::Duration;

fn with(set: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    set(&mut config);
    config
}

fn per_address(most: u32) -> Config {
    with(|config| config.max_connections_per_address = Some(most))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn is_refusal(response: &str, expected: u16) {
    assert_eq!(status(response), expected, "{response}");
    assert!(response.contains("\r\nRetry-After: 5\r\n"), "{response}");
}

#[test]
fn connections_beyond_the_limit_get_503_until_one_ends() {
    let mut sim = sim(with(|config| config.max_connections = Some(3)));
    let mut peers = connect(&mut sim, 3);
    is_refusal(&response(&mut sim), 503);
    assert_eq!(sim.clients().stats().refused.get(&503), Some(&1));
    peers.pop();
    sim.run_until_idle();
    assert_eq!(status(&response(&mut sim)), 101);
}

#[test]
fn a_burst_of_connections_fills_all_places() {
    let mut sim = sim(with(|config| config.max_connections = Some(3)));
    let peers: Vec<Peer> = (0..50).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert_eq!(open(&peers), 3);
    assert_eq!(sim.clients().stats().refused.get(&503), Some(&47));
}

fn connect_from(sim: &mut Simulation<Echo>, address: &str, count: usize) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect_from(ip(address), "/")).collect();
    sim.run_until_idle();
    peers
}

fn open(peers: &[Peer]) -> usize {
    peers.iter().filter(|peer| peer.is_open()).count()
}

#[test]
fn connections_of_one_address_beyond_the_limit_get_429_and_far_beyond_it_no_response() {
    let mut sim = sim(per_address(10));
    let mut first = connect_from(&mut sim, "192.0.2.7", 30);
    assert_eq!(open(&first), 10);
    let stats = sim.clients().stats();
    assert_eq!(stats.turned_away, 10, "connections beyond twice the limit");
    assert_eq!(stats.refused.get(&429), Some(&20), "ten that get 429");
    // Other addresses are not affected, and a connection that ends makes room.
    assert_eq!(open(&connect_from(&mut sim, "192.0.2.8", 10)), 10);
    first.retain(Peer::is_open);
    first.truncate(4);
    sim.run_for(Duration::from_secs(10));
    assert_eq!(open(&connect_from(&mut sim, "192.0.2.7", 20)), 6);
}

/// A customer usually has at least 64 bits of IPv6 addresses. So a network of 64 bits counts as one
/// address.
#[test]
fn an_ipv6_network_of_64_bits_counts_as_one_address() {
    let mut sim = sim(per_address(2));
    let mut peers = Vec::new();
    for host in 1..=4 {
        peers.extend(connect_from(&mut sim, &format!("2001:db8:1:1::{host}"), 1));
    }
    assert_eq!(open(&peers), 2);
    assert_eq!(open(&connect_from(&mut sim, "2001:db8:1:2::1", 2)), 2, "the next network");
    // The same IPv4 host, through a socket of either kind.
    let (v4, mapped) = (connect_from(&mut sim, "192.0.2.7", 1), connect_from(&mut sim, "::ffff:192.0.2.7", 2));
    assert_eq!(open(&v4) + open(&mapped), 2);
}

/// A refused client must get its response at once, without waiting for its request.
#[test]
fn a_refusal_comes_before_the_request() {
    let server = run(
        Server::new(per_address(1)).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port"),
        script().0,
    );
    let _first = Wire::open(server.addr);
    let mut second = Wire::connect(server.addr);
    let response = second.response();
    assert_eq!((response.status(), response.header("Retry-After")), (429, Some("5")));
    second.expect_end();
    let mut third = Wire::connect(server.addr);
    third.expect_gone();
    assert_eq!(server.ask(|clients| clients.stats().turned_away), 1);
    // The connections are counted when they have ended.
    drop(second);
    while server.ask(|clients| clients.stats().refused.get(&429) != Some(&2)) {}
}

#[test]
fn behind_an_http_proxy_the_clients_are_counted_and_not_the_proxy() {
    let mut config = per_address(2);
    config.trusted_proxies = "127.0.0.1".parse().expect("a block");
    let server =
        run(Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port"), script().0);
    let ask = |client: &str| {
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with("/", &format!("X-Forwarded-For: {client}\r\n")).as_bytes());
        let response = wire.response();
        (response.status(), response.header("Retry-After").map(str::to_owned), wire)
    };
    let mut here = Vec::new();
    for (client, expected) in [
        ("203.0.113.7", 101),
        ("203.0.113.7", 101),
        ("203.0.113.7", 429),
        ("203.0.113.8", 101),
        // An address that the client itself claims does not count. Only the proxy's own entry does.
        ("198.51.100.1, 203.0.113.7", 429),
        ("2001:db8::1", 101),
        ("2001:db8::2", 101),
        ("2001:db8::3", 429),
    ] {
        let (status, retry_after, wire) = ask(client);
        assert_eq!(status, expected, "{client}");
        assert_eq!(retry_after.is_some(), expected == 429);
        here.push(wire);
    }
    // When they have disconnected, there is room again.
    drop(here);
    let gone = || server.ask(|clients| clients.stats().connections) == lariat::Connections::default();
    while !gone() {}
    assert_eq!(ask("203.0.113.7").0, 101);
}

#[test]
fn behind_the_proxy_protocol_the_clients_are_counted_and_not_the_proxy() {
    let mut config = per_address(2);
    config.trusted_proxies = "127.0.0.1".parse().expect("a block");
    let mut options = ListenOptions::default();
    options.proxy_protocol = true;
    let listening = Server::new(config).expect("a poller").options(options).listen("127.0.0.1:0");
    let server = run(listening.expect("a free port"), script().0);
    let connect = |client: &str| {
        let mut wire = Wire::connect(server.addr);
        wire.send(format!("PROXY TCP4 {client} 192.0.2.1 51234 443\r\n").as_bytes());
        wire
    };
    let mut here = Vec::new();
    for (client, expected) in
        [("203.0.113.7", 101), ("203.0.113.8", 101), ("203.0.113.7", 101), ("203.0.113.7", 429), ("203.0.113.7", 429)]
    {
        let mut wire = connect(client);
        if expected == 101 {
            wire.send(request("/").as_bytes());
        }
        let response = wire.response();
        assert_eq!(response.status(), expected, "{client}");
        assert_eq!(response.header("Retry-After").is_some(), expected == 429);
        here.push(wire);
    }
    connect("203.0.113.7").expect_gone();
    assert_eq!(server.ask(|clients| clients.stats().turned_away), 1);
}

#[test]
fn handshakes_beyond_the_rate_get_503_and_it_recovers() {
    let mut sim = sim(with(|config| config.handshakes_per_second = Some(20)));
    let mut peers = connect(&mut sim, 20);
    is_refusal(&response(&mut sim), 503);
    sim.run_for(Duration::from_millis(500));
    let more: Vec<Peer> = (0..30).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert_eq!(open(&more), 10, "half a second's worth");
    peers.extend(more);
    // After a long pause, a burst of at most one second is allowed.
    sim.run_for(Duration::from_secs(60));
    let more: Vec<Peer> = (0..30).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert_eq!(open(&more), 20);
    assert_eq!(sim.clients().stats().refused.get(&503), Some(&31));
    assert!(peers.iter().take(20).all(Peer::is_open), "existing connections are not affected");
}
