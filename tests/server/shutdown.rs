//! How a server stops.

use crate::common::{Call, Wire, close, echo_script, request, run, script, serve, text};
use lariat::{Answer, CloseCode, CloseReason, Drain, Outcome, Server, Upgrade};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Answers the server's Close. Returns the time at which the Close arrived.
fn answer_close(mut wire: Wire, code: u16, reason: &str) -> Instant {
    assert_eq!(wire.expect_close(code), reason);
    let came = Instant::now();
    wire.send(&close(code, ""));
    wire.expect_end();
    came
}

fn parts(outcome: Outcome) -> (usize, bool) {
    (outcome.dropped, outcome.interrupted)
}

#[test]
fn all_clients_are_closed_with_1001_and_none_is_dropped() {
    let (script, calls) = script();
    // No other test listens on this address, so nobody can take the port when it is free again.
    let own = if cfg!(target_os = "linux") { "127.0.0.2:0" } else { "127.0.0.1:0" };
    let server = run(Server::bind(own).expect("a free port"), script);
    let wires: Vec<Wire> = (0..20).map(|_| Wire::open(server.addr)).collect();
    let (addr, start) = (server.addr, Instant::now());
    server.remote.shutdown(Drain::default().reason("moving")).expect("it runs");
    for wire in wires {
        answer_close(wire, 1001, "moving");
    }
    assert_eq!(parts(server.outcome()), (0, false));
    assert!(start.elapsed() < Duration::from_secs(4), "the server waited for the deadline: {:?}", start.elapsed());
    assert!(TcpStream::connect(addr).is_err(), "the listener is closed");
    let closes = calls.rest().into_iter().filter(|call| matches!(call, Call::Close(_, CloseReason::Local(_)))).count();
    assert_eq!(closes, 20);
}

#[test]
fn a_server_without_clients_stops_at_once() {
    let start = Instant::now();
    let server = serve(script().0);
    // A client that has sent no request does not delay the end.
    let mut silent = Wire::connect(server.addr);
    server.ask(|_| ());
    assert_eq!(parts(server.stop(Drain::default())), (0, false));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    silent.expect_gone();
}

#[test]
fn close_frames_are_spread_over_the_configured_time() {
    const OVER: Duration = Duration::from_millis(400);
    let server = serve(script().0);
    let wires: Vec<Wire> = (0..20).map(|_| Wire::open(server.addr)).collect();
    let start = Instant::now();
    let drain = Drain::default().over(OVER).code(CloseCode::Restart);
    server.remote.shutdown(drain).expect("it runs");
    let came: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = wires.into_iter().map(|wire| scope.spawn(|| answer_close(wire, 1012, ""))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a time") - start).collect()
    });
    assert_eq!(parts(server.outcome()), (0, false));
    // The n-th of 20 is due after n/20 of the time. A slow machine may be late but never early.
    let mut sorted = came.clone();
    sorted.sort();
    for (index, came) in sorted.iter().enumerate() {
        let due = OVER * (index as u32 + 1) / 20;
        assert!(*came + Duration::from_millis(2) >= due, "number {index} came after {came:?}");
    }
}

#[test]
fn clients_that_never_answer_are_dropped_at_the_deadline() {
    let (script, calls) = script();
    let server = serve(script);
    let (mut stubborn, polite) = (Wire::open(server.addr), Wire::open(server.addr));
    let (first, _) = (calls.open(), calls.open());
    let start = Instant::now();
    let deadline = Duration::from_millis(200);
    server.remote.shutdown(Drain::default().deadline(deadline)).expect("it runs");
    answer_close(polite, 1001, "");
    assert_eq!(parts(server.outcome()), (1, false));
    let took = start.elapsed() + Duration::from_millis(1);
    assert!(took >= deadline && took < Duration::from_secs(4), "the loop counts milliseconds: {took:?}");
    stubborn.expect_close(1001);
    stubborn.expect_gone();
    let rest = calls.rest();
    assert!(
        matches!(rest[..], [Call::Close(polite, CloseReason::Local(_)), Call::Close(last, _)] if polite != first && last == first),
        "{rest:?}"
    );
}

#[test]
fn a_second_shutdown_can_only_bring_the_deadline_forward() {
    let server = serve(script().0);
    let mut wire = Wire::open(server.addr);
    let (start, long) = (Instant::now(), Duration::from_secs(1_000));
    server.remote.shutdown(Drain::default().deadline(long)).expect("it runs");
    assert_eq!(wire.expect_close(1001), "");
    server.remote.shutdown(Drain::default().deadline(Duration::from_millis(100))).expect("it runs");
    server.remote.shutdown(Drain::default().deadline(long)).expect("it runs");
    assert_eq!(parts(server.outcome()), (1, false));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn during_the_drain_new_clients_get_503_and_existing_ones_are_served() {
    let (script, _calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    let drain = Drain::default().over(Duration::from_secs(60));
    server.ask(move |clients| {
        clients.shutdown(drain);
        // Only the first call counts.
        clients.shutdown(Drain::default());
        assert!(clients.is_shutting_down());
    });
    let mut newcomer = Wire::connect(server.addr);
    newcomer.send(request("/").as_bytes());
    assert_eq!(newcomer.response().status(), 503);
    newcomer.expect_end();
    drop(newcomer);
    wire.echo("still served");
    wire.send(&close(1000, ""));
    wire.expect_close(1000);
    wire.expect_end();
    drop(wire);
    assert_eq!(parts(server.outcome()), (0, false));
}

/// The application answers a request in the middle of a shutdown, and right before one. Such a
/// client opens when the server reads from it again.
#[test]
fn a_client_that_opens_during_the_drain_is_closed_too() {
    for answers_first in [false, true] {
        let (script, calls) = script();
        let (sender, asked) = std::sync::mpsc::channel();
        let server = serve(script.on_request(move |_, id, request| {
            if request.path() == "/" {
                return Upgrade::new().into();
            }
            sender.send(id).expect("the test waits");
            Answer::Later
        }));
        let first = Wire::open(server.addr);
        calls.open();
        let mut second = Wire::connect(server.addr);
        second.send(request("/later").as_bytes());
        let (id, start) = (asked.recv().expect("an id"), Instant::now());
        server.ask(move |clients| {
            if !answers_first {
                clients.shutdown(Drain::default());
            }
            clients.answer(id, Upgrade::new()).expect("it waits");
            clients.shutdown(Drain::default());
        });
        assert_eq!(second.response().status(), 101);
        assert_eq!(calls.open(), id);
        answer_close(second, 1001, "");
        answer_close(first, 1001, "");
        assert_eq!(parts(server.outcome()), (0, false));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}

#[test]
fn a_handler_can_stop_the_server() {
    let (script, _calls) = script();
    let server = serve(script.on_message(|clients, id, _| {
        clients.send(id, "goodbye").expect("it is open");
        clients.shutdown(Drain::default());
    }));
    let mut wire = Wire::open(server.addr);
    wire.send(&text("stop"));
    wire.expect_text("goodbye");
    answer_close(wire, 1001, "");
    assert_eq!(parts(server.outcome()), (0, false));
}

#[test]
fn queued_messages_are_delivered_before_the_close() {
    let (script, calls) = script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    let payload = vec![3; 3 << 20];
    let message = payload.clone();
    server.ask(move |clients| {
        clients.send(id, &message).expect("it fits");
        clients.shutdown(Drain::default());
    });
    wire.expect(0x82, &payload);
    answer_close(wire, 1001, "");
    assert_eq!(parts(server.outcome()), (0, false));
}

/// A Close frame cannot carry every code and every reason. With an invalid one, the clients are
/// closed nevertheless.
#[test]
fn an_invalid_close_frame_is_replaced() {
    for drain in [
        Drain::default().code(CloseCode::Abnormal),
        Drain::default().code(CloseCode::Status).reason("why"),
        Drain::default().reason("x".repeat(124)),
    ] {
        let (script, _calls) = script();
        let server = serve(script);
        let (wire, start) = (Wire::open(server.addr), Instant::now());
        server.remote.shutdown(drain).expect("it runs");
        answer_close(wire, 1001, "");
        assert_eq!(parts(server.outcome()), (0, false));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}
