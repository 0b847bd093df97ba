//! Rates, timers and deadlines go on.

use crate::common::{Folder, WAIT, Wire, text, until, until_passed};
use crate::kit::{echo, nothing_saved, only, serve, serve_with};
use lariat::{Clients, CloseReason, Closures, Config, Excess, Rates, TimerId};
use std::io::Read;
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[test]
fn a_client_that_has_sent_too_much_still_waits() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.rates.bytes_per_second = Some(16 << 10);
        config
    };
    let message = vec![b'x'; 4_096 - 8];
    let server = serve_with(config(), &path, echo);
    let begin = Instant::now();
    let mut client = Wire::open(server.addr);
    // A second's worth at once, then one each quarter of a second.
    client.send(&crate::common::binary(&message).repeat(8));
    for _ in 0..4 {
        client.expect(0x82, &message);
    }
    let server = server.replace(config(), &path, echo);
    for _ in 0..4 {
        client.expect(0x82, &message);
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
    drop(server);
}

#[test]
fn a_clients_own_rates_go_along() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        let mut rates = Rates::default();
        rates.messages_per_second = Some(2);
        rates.excess = Excess::Close;
        let rates = Closures::new().on_open(move |clients, id| {
            clients.set_rates(id, rates.clone());
        });
        nothing_saved(rates.on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        }))
    };
    let server = serve(&path, make);
    let mut client = Wire::open(server.addr);
    client.echo("one");
    client.echo("two");
    let server = server.replace(Config::default(), &path, echo);
    client.send(&text("too much").repeat(4));
    let mut last = client.frame();
    while last.first == 0x81 {
        last = client.frame();
    }
    assert_eq!((last.first, &last.payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]));
    drop(client);
    drop(server);
}

/// A timer that must not expire in a test.
const NEVER: Duration = Duration::from_secs(1_000);

#[test]
fn timers_come_once_and_can_be_cancelled() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let (timers, of_clients) = (reports.clone(), reports.clone());
        let on_timer = Closures::new().on_timer(move |_, _, token| {
            let _ = timers.send(token);
        });
        nothing_saved(on_timer.on_client_timer(move |_, _, _, token| {
            let _ = of_clients.send(token);
        }))
    };
    let server = serve(&path, make.clone());
    let client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    let (cancelled, of_client): (TimerId, TimerId) = server.ask(|clients| {
        let id = only(clients);
        clients.set_timer(Duration::from_millis(300), 1);
        clients.set_client_timer(id, Duration::from_millis(350), 2).expect("it is open");
        let cancelled = clients.set_timer(NEVER, 3);
        let of_client = clients.set_client_interval(id, NEVER, 4).expect("it is open");
        clients.set_client_timer(id, NEVER, 5).expect("it is open");
        (cancelled, of_client)
    });
    let server = server.replace(Config::default(), &path, make.clone());
    server.ask(move |clients| {
        assert!(clients.cancel_timer(cancelled));
        assert!(!clients.cancel_timer(cancelled));
        assert!(clients.cancel_timer(of_client));
        let new = clients.set_timer(NEVER, 6);
        assert!(new != cancelled && new != of_client, "ids are not given again");
        assert!(!clients.cancel_timer(of_client));
    });
    let server = server.replace(Config::default(), &path, make);
    let mut tokens = [(); 2].map(|()| reported.recv_timeout(WAIT).expect("a timer"));
    // Both may be due at once.
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2]);
    // Timers of a client end with it.
    drop(client);
    until(|| server.ask(|clients| clients.is_empty()));
    drop(server);
    assert_eq!(reported.try_iter().collect::<Vec<_>>(), [0_u64; 0], "each comes once, and the others never");
}

#[test]
fn an_interval_keeps_its_phase() {
    // The passing of time is the subject here: both callbacks prolong the freeze.
    const PERIOD: Duration = Duration::from_secs(2);
    const SAVING: Duration = Duration::from_millis(600);
    const RESTORING: Duration = Duration::from_millis(500);
    // A server that did not count the one or the other would move the interval by at least 500 ms.
    const MOST_LATE: Duration = Duration::from_millis(400);
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        let closures = Closures::<()>::new().on_timer(move |clients, _, _| {
            let _ = reports.send(clients.now());
        });
        let save = |_: &mut Clients<()>| {
            until_passed(Instant::now(), SAVING);
            Some(Vec::new())
        };
        closures.saved_as(save, |_, _| {
            until_passed(Instant::now(), RESTORING);
            Ok(())
        })
    };
    let server = serve(&path, make.clone());
    server.ask(|clients| {
        clients.set_interval(PERIOD, 0);
    });
    let first = reported.recv_timeout(WAIT).expect("a tick");
    let server = server.replace(Config::default(), &path, make);
    let second = reported.recv_timeout(WAIT).expect("a tick");
    let third = reported.recv_timeout(WAIT).expect("a tick");
    for (tick, count) in [(second, 1), (third, 2)] {
        let late = (tick - first).checked_sub(count * PERIOD);
        // Ticks are never early, but the first one may have been late.
        let late = late.unwrap_or_default();
        assert!(late < MOST_LATE, "the interval has moved by {late:?}");
    }
    drop(server);
}

#[test]
fn deadlines_keep_their_remaining_time() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.limits.idle_timeout = Some(Duration::from_millis(1_500));
        config.limits.ping_interval = None;
        config
    };
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        nothing_saved(Closures::new().on_close(move |_, _, reason| drop(reports.send(reason.clone()))))
    };
    let mut server = serve_with(config(), &path, make.clone());
    let begin = Instant::now();
    let mut client = Wire::open(server.addr);
    // Takeovers are no sign of life.
    let reason = loop {
        server = server.replace(config(), &path, make.clone());
        if let Ok(reason) = reported.recv_timeout(Duration::from_millis(200)) {
            break reason;
        }
        assert!(begin.elapsed() < WAIT, "takeovers keep it alive");
    };
    // It may be nearly over at a takeover.
    assert!(matches!(reason, CloseReason::Timeout(_) | CloseReason::LeftBehind), "{reason:?}");
    assert!(begin.elapsed() >= Duration::from_millis(1_400));
    client.stream.read_to_end(&mut Vec::new()).expect("it ends");
}

#[test]
fn the_longest_lifetime_counts_from_the_beginning() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.limits.max_lifetime = Some(Duration::from_millis(1_500));
        config
    };
    let mut server = serve_with(config(), &path, echo);
    let begin = Instant::now();
    let mut client = Wire::open(server.addr);
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut byte = [0];
    while client.stream.read(&mut byte).is_err() {
        server = server.replace(config(), &path, echo);
        assert!(begin.elapsed() < WAIT, "takeovers prolong it");
    }
    assert_eq!(byte, [0x88]);
    assert!(begin.elapsed() >= Duration::from_millis(1_400));
}
