//! Limits that hold for all loops together.

use crate::common::{Wire, request};
use crate::kit::serve_with;
use lariat::{Closures, Config, ListenOptions, Server, Stats};
use std::io;

fn statuses(config: Config, count: usize) -> Vec<u16> {
    let server = serve_with(config, ListenOptions::default(), 3, Closures::<()>::new);
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Wire::connect(server.addr);
        client.send(request("/").as_bytes());
        let status = client.response().status();
        clients.push((client, status));
    }
    clients.into_iter().map(|(_, status)| status).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

#[test]
fn connections_are_counted_on_all_loops() {
    let mut config = Config::default();
    config.max_connections = Some(7);
    let statuses = statuses(config, 12);
    assert_eq!(count(&statuses[..7], 101), 7, "{statuses:?}");
    assert_eq!(count(&statuses[7..], 503), 5, "{statuses:?}");
}

#[test]
fn connections_of_an_address_are_counted_on_all_loops() {
    let mut config = Config::default();
    config.max_connections_per_address = Some(8);
    let statuses = statuses(config, 12);
    assert_eq!(count(&statuses[..8], 101), 8, "{statuses:?}");
    assert_eq!(count(&statuses[8..], 429), 4, "{statuses:?}");
}

#[test]
fn handshakes_are_counted_on_all_loops() {
    let mut config = Config::default();
    config.handshakes_per_second = Some(5);
    let statuses = statuses(config, 30);
    let opened = count(&statuses, 101);
    // A slow machine may take more than a second.
    assert!((5..30).contains(&opened), "{statuses:?}");
    assert_eq!(count(&statuses[..5], 101), 5, "{statuses:?}");
    assert_eq!(opened + count(&statuses, 503), 30);
}

#[test]
fn each_loop_has_its_share_of_the_memory_budget() {
    let mut config = Config::default();
    config.memory_budget = 240 << 20;
    let server = serve_with(config, ListenOptions::default(), 3, Closures::<()>::new);
    let budgets = server.ask_all(|clients| clients.stats().memory_budget);
    // An eighth of each share is for messages of other loops.
    assert_eq!(budgets, [70 << 20; 3]);
}

#[test]
fn impossible_numbers_of_loops_are_refused() {
    for (count, expected) in [
        (0, "a server has 1 to 64 loops, not 0"),
        (65, "a server has 1 to 64 loops, not 65"),
        (64, "64 loops need a Config::memory_budget of at least "),
    ] {
        let server = Server::<()>::bind("127.0.0.1:0").expect("a free port");
        let error = server.loops(count).expect_err("it is impossible");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let mut config = Config::default();
    for count in [1, 2, 7, 64] {
        config.memory_budget = config.least_memory_budget_of_loops(count);
        let server = |config: &Config| Server::<()>::new(config.clone()).and_then(|server| server.loops(count));
        server(&config).expect("it is just enough");
        config.memory_budget -= 16 * count;
        server(&config).expect_err("it is too small");
    }
}

/// What all loops have done is the sum of what each has done.
#[test]
fn statistics_add_up() {
    let make = || {
        Closures::<()>::new().on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        })
    };
    let server = serve_with(Config::default(), ListenOptions::default(), 3, make);
    let mut clients: Vec<Wire> = (0..6).map(|_| Wire::open(server.addr)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        (0..=number).for_each(|_| client.echo("hello"));
    }
    let mut refused = Wire::connect(server.addr);
    refused.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(refused.response().status(), 426);
    clients[0].send(&crate::common::close(1000, ""));
    clients[0].expect_close(1000);
    drop(clients.remove(0));
    server.wait_for_connections(5);
    let all = server.ask_all(|clients| clients.stats());
    let sum: Stats = all.iter().cloned().sum();
    assert_eq!((sum.accepted, sum.opened, sum.connections.open), (7, 6, 5));
    assert_eq!((sum.received.messages(), sum.received.bytes(), sum.sent.messages()), (21, 105, 21));
    assert_eq!(sum.refused.values().sum::<u64>(), 1);
    assert_eq!(sum.closed.values().sum::<u64>(), 1);
    assert_eq!(sum.memory_budget, all.iter().map(|stats| stats.memory_budget).sum::<usize>());
    assert_eq!(sum.turn_micros.count(), all.iter().map(|stats| stats.turn_micros.count()).sum::<u64>());
    assert_eq!(Some(sum.turn_micros.max()), all.iter().map(|stats| stats.turn_micros.max()).max());
    let metrics = crate::common::prometheus::parse(&sum.to_prometheus());
    assert_eq!(metrics["lariat_accepted_total"].one(), 7.0);
}
