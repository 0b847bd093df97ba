//! What a handler may do in its callbacks.

use crate::common::{Call, Frame, WAIT, Wire, close, echo_script, frame, ping, script, serve, serve_with, text};
use lariat::sim::Simulation;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Config, Handler, Message, ReadyState, SendError, TimerId};
use std::collections::HashSet;
use std::time::{Duration, Instant};

#[test]
fn the_id_of_a_disconnected_client_is_not_valid_for_another() {
    let (script, calls) = echo_script();
    let server = serve(script);
    drop(Wire::open(server.addr));
    let (gone, _) = calls.close();
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    assert_eq!(gone.to_u64() >> 32, id.to_u64() >> 32, "the slot is used again");
    assert_ne!(gone, id);
    let (sends, amount, state, has_data, memberships) = server.ask(move |clients| {
        let sends = [
            clients.send(gone, "by another client"),
            clients.ping(gone, b""),
            clients.close(gone, CloseCode::Normal, ""),
            clients.answer(gone, lariat::http::StatusCode::OK),
        ];
        let memberships = (clients.subscribe(gone, "topic"), clients.unsubscribe(gone, "topic"));
        let has_data =
            (clients.data(gone).is_some(), clients.data_mut(gone).is_some(), clients.peer_addr(gone).is_some());
        (sends, clients.buffered_amount(gone), clients.ready_state(gone), has_data, memberships)
    });
    assert_eq!(sends, [Err(SendError::Gone); 4]);
    assert_eq!((amount, state), (0, ReadyState::Closed));
    assert_eq!((has_data, memberships), ((false, false, false), (false, false)));
    wire.echo("nothing came before this");
}

#[test]
fn ids_are_never_used_again() {
    let (script, calls) = script();
    let server = serve(script);
    let (deadline, mut seen) = (Instant::now() + Duration::from_secs(2), HashSet::new());
    while Instant::now() < deadline {
        Wire::open(server.addr).reset();
        let id = calls.open();
        assert!(seen.insert(id), "{id} was used before");
        assert_eq!(ClientId::from_u64(id.to_u64()), Some(id));
    }
    let slots: HashSet<u64> = seen.iter().map(|id| id.to_u64() >> 32).collect();
    assert!(slots.len() < seen.len(), "no slot was used again");
}

#[test]
fn all_clients_can_be_closed_in_a_callback() {
    let (script, calls) = script();
    let server = serve(script.on_message(|clients, _, _| {
        for id in clients.iter().collect::<Vec<_>>() {
            clients.close(id, CloseCode::Restart, "all of you").expect("it is open");
        }
        assert_eq!(clients.iter().count(), 0);
        assert_eq!(clients.broadcast("nobody"), 0);
    }));
    let mut wires: Vec<Wire> = (0..20).map(|_| Wire::open(server.addr)).collect();
    wires[7].send(&[text("end"), text("the connection has ended")].concat());
    for mut wire in wires {
        assert_eq!(wire.expect_close(1012), "all of you");
        wire.send(&close(1012, ""));
        wire.expect_end();
    }
    for _ in 0..20 {
        assert!(matches!(calls.close().1, CloseReason::Local(_)));
    }
}

#[test]
fn a_client_can_be_closed_in_its_own_callbacks() {
    let (seen, at_the_end) = std::sync::mpsc::channel();
    let (script, calls) = script();
    let server = serve(
        script
            .on_open(|clients, id| {
                clients.send(id, "no").expect("it is open");
                clients.close(id, CloseCode::Again, "full").expect("it is open");
                assert_eq!(clients.ready_state(id), ReadyState::Closing);
                assert_eq!(clients.send(id, "more"), Err(SendError::NotOpen));
                assert_eq!(clients.close(id, CloseCode::Again, "full"), Err(SendError::NotOpen));
            })
            .on_close(move |clients, id, _| {
                let outcomes = [clients.send(id, "too late"), clients.close(id, CloseCode::Again, "")];
                seen.send((clients.ready_state(id), outcomes)).expect("the test waits");
            }),
    );
    let mut wire = Wire::open(server.addr);
    wire.expect_text("no");
    assert_eq!(wire.expect_close(1013), "full");
    wire.send(&close(1013, ""));
    wire.expect_end();
    drop(wire);
    assert_eq!(calls.close().1.code(), CloseCode::Again);
    assert_eq!(at_the_end.recv(), Ok((ReadyState::Closed, [Err(SendError::NotOpen); 2])));
    assert_eq!(server.ask(|clients| clients.len()), 0);
}

#[test]
fn on_close_can_send_to_other_clients() {
    let (script, _calls) = script();
    let server = serve(script.on_close(|clients, id, reason| {
        assert_eq!(clients.data(id), Some(&()), "its data can be read for the last time");
        clients.broadcast(&format!("a client left with {}", reason.code()));
    }));
    let mut stays = Wire::open(server.addr);
    let mut leaves = Wire::open(server.addr);
    leaves.send(&close(3333, ""));
    drop(leaves);
    stays.expect_text("a client left with 3333");
    drop(Wire::open(server.addr));
    stays.expect_text("a client left with 1006");
}

#[test]
fn on_drain_tells_a_producer_when_to_continue() {
    const TOTAL: usize = 200;
    fn fill(clients: &mut Clients<()>, id: ClientId, left: &mut usize) {
        while *left > 0 && clients.buffered_amount(id) <= 64 << 10 {
            *left -= 1;
            clients.send(id, &[0; 50_000]).expect("more bytes wait than the limit allows");
        }
    }
    let mut config = Config::default();
    config.limits.max_unsent = 128 << 10;
    let left = std::sync::Arc::new(std::sync::Mutex::new(TOTAL));
    let (script, calls) = script();
    let server = serve_with(config, {
        let (first, then) = (std::sync::Arc::clone(&left), left);
        script
            .on_message(move |clients, id, _| fill(clients, id, &mut first.lock().expect("not poisoned")))
            .on_drain(move |clients, id| fill(clients, id, &mut then.lock().expect("not poisoned")))
    });
    let mut wire = Wire::open(server.addr);
    wire.send(&text("go"));
    for _ in 0..TOTAL {
        wire.expect(0x82, &[0; 50_000]);
    }
    let id = calls.open();
    calls.until(&Call::Drain(id));
}

#[test]
fn a_panic_closes_only_the_client_of_the_callback() {
    let (script, calls) = script();
    let server = serve(
        script
            .on_request(|_, _, request| {
                assert_ne!(request.path(), "/request", "a panic on purpose");
                lariat::Upgrade::new().into()
            })
            .on_open(|clients, id| assert!(clients.len() < 3, "a panic on purpose for {id}"))
            .on_message(|clients, id, message| {
                clients.send(id, message).expect("it is open");
                assert_ne!(message.as_text(), Some("panic"), "a panic on purpose");
            })
            .on_ping(|_, id| panic!("a panic on purpose for {id}"))
            .on_timer(|_, _, token| panic!("a panic on purpose for {token}"))
            .on_close(|_, id, _| panic!("a panic on purpose for {id}")),
    );
    let mut bystander = Wire::open(server.addr);
    let expect_1011 = |mut wire: Wire| {
        wire.expect_close(1011);
        wire.send(&text("nobody hears this"));
        wire.expect_end();
        drop(wire);
        assert_eq!(calls.close().1, CloseReason::HandlerPanicked);
    };

    let mut wire = Wire::connect(server.addr);
    wire.send(crate::common::request("/request").as_bytes());
    assert_eq!(wire.response().status(), 500);
    bystander.echo("on_request");

    let mut wire = Wire::open(server.addr);
    wire.send(&[text("before"), text("panic"), text("after")].concat());
    wire.expect_text("before");
    wire.expect_text("panic");
    expect_1011(wire);
    bystander.echo("on_message");

    let mut wire = Wire::open(server.addr);
    wire.send(&ping(b"!"));
    wire.expect(0x8a, b"!");
    expect_1011(wire);
    bystander.echo("on_ping");

    let second = Wire::open(server.addr);
    expect_1011(Wire::open(server.addr));
    bystander.echo("on_open");
    drop(second);
    calls.close();

    server.ask(|clients| clients.set_timer(Duration::ZERO, 9));
    calls.until(&Call::Timer(9));
    bystander.echo("on_timer, and on_close before");
    assert_eq!(server.ask(|clients| clients.len()), 1);
}

#[test]
fn the_handler_gets_pings_and_pongs() {
    let (script, calls) = script();
    let server = serve(script.on_open(|clients, id| {
        assert_eq!(clients.ping(id, &[0; 126]), Err(SendError::TooLong));
        clients.ping(id, b"are you there?").expect("it is open");
    }));
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    wire.expect(0x89, b"are you there?");
    wire.send(&[frame(0x8a, b"yes"), ping(b"and you?")].concat());
    wire.expect(0x8a, b"and you?");
    assert_eq!(calls.next(), Call::Pong(id, b"yes".to_vec()));
    assert_eq!(calls.next(), Call::Ping(id, b"and you?".to_vec()));
}

/// Answers only the last ping of those that came at once, as §5.5.3 allows, a second later.
#[derive(Default)]
struct Late {
    last: Option<(ClientId, Vec<u8>)>,
}

impl Handler for Late {
    type Data = ();

    fn on_ping(&mut self, clients: &mut Clients<()>, id: ClientId, payload: &[u8]) {
        if self.last.is_none() {
            clients.set_timer(Duration::from_secs(1), 0);
        }
        self.last = Some((id, payload.to_owned()));
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        if let Some((id, payload)) = self.last.take() {
            clients.pong(id, &payload).expect("it is open");
        }
    }
}

#[test]
fn an_application_can_answer_pings_itself() {
    for answer_pings in [false, true] {
        let mut config = Config::default();
        config.limits.answer_pings = answer_pings;
        let mut sim = Simulation::new(1, config, Late::default());
        let peer = sim.connect("/");
        sim.run_until_idle();
        peer.ping(b"first");
        peer.ping(b"last");
        sim.run_for(Duration::from_millis(900));
        let at_once: &[&[u8]] = if answer_pings { &[b"first", b"last"] } else { &[] };
        assert_eq!(peer.received_pongs(), at_once);
        sim.run_for(Duration::from_millis(200));
        assert_eq!(peer.received_pongs(), [b"last"]);
        assert!(peer.is_open());
    }
}

#[test]
fn a_refused_send_changes_nothing() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    let outcomes = server.ask(move |clients| {
        [
            clients.close(id, CloseCode::Abnormal, ""),
            clients.close(id, CloseCode::from(999), ""),
            clients.close(id, CloseCode::Normal, &"x".repeat(124)),
            clients.ping(id, &[0; 126]),
        ]
    });
    let expected = [SendError::InvalidCloseCode, SendError::InvalidCloseCode, SendError::TooLong, SendError::TooLong];
    assert_eq!(outcomes, expected.map(Err));
    wire.echo("as before");
}

#[test]
fn each_client_has_its_own_data() {
    struct Count;
    impl Handler for Count {
        type Data = u32;
        fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, _: Message<'_>) {
            let count = clients.data_mut(id).expect("it is here");
            *count += 1;
            let count = count.to_string();
            clients.send(id, &count).expect("it is open");
        }
    }
    let server = serve(Count);
    let (mut one, mut other) = (Wire::open(server.addr), Wire::open(server.addr));
    for count in ["1", "2", "3"] {
        one.send(&text("count"));
        one.expect_text(count);
    }
    other.send(&text("count"));
    other.expect_text("1");
    drop(one);
    let mut next = Wire::open(server.addr);
    next.send(&text("count"));
    next.expect_text("1");
}

#[test]
fn timers_fire_once_in_order_and_not_too_early() {
    let (script, calls) = script();
    let server = serve(script);
    let start = Instant::now();
    server.ask(|clients| {
        for millis in [60, 20, 40, 0] {
            clients.set_timer(Duration::from_millis(millis), millis);
        }
        let cancelled = clients.set_timer(Duration::from_millis(30), 30);
        assert!(clients.cancel_timer(cancelled));
        assert!(!clients.cancel_timer(cancelled));
    });
    for millis in [0, 20, 40, 60] {
        assert_eq!(calls.next(), Call::Timer(millis));
        let after = start.elapsed();
        assert!(
            after >= Duration::from_millis(millis) && after < WAIT,
            "the timer of {millis} ms fired after {after:?}"
        );
    }
    drop(server);
    assert_eq!(calls.rest(), []);
}

#[test]
fn a_timer_is_not_early_when_the_loop_is_busy() {
    const AFTER: Duration = Duration::from_millis(3);
    let (script, calls) = script();
    let server = serve(script);
    for round in 0..30 {
        let start = Instant::now();
        server.ask(move |clients| clients.set_timer(AFTER, round));
        while calls.so_far().is_empty() {
            server.ask(|_| ());
        }
        assert!(start.elapsed() >= AFTER, "the timer fired after {:?}", start.elapsed());
    }
}

#[test]
fn an_interval_repeats_until_it_is_cancelled() {
    let mut ticks = 0;
    let (script, calls) = script();
    let server = serve(script.on_timer(move |clients, timer, token| {
        ticks += u32::from(token == 1);
        if ticks == 5 && token == 1 {
            assert!(clients.cancel_timer(timer));
            clients.set_timer(Duration::from_millis(50), 2);
        }
    }));
    let start = Instant::now();
    server.ask(|clients| clients.set_interval(Duration::from_millis(5), 1));
    for _ in 0..5 {
        assert_eq!(calls.next(), Call::Timer(1));
    }
    assert!(start.elapsed() >= Duration::from_millis(25), "five intervals took {:?}", start.elapsed());
    assert_eq!(calls.next(), Call::Timer(2));
    drop(server);
    assert_eq!(calls.rest(), []);
}

#[test]
fn a_silent_client_gets_pings_and_is_then_closed() {
    let mut config = Config::default();
    config.limits.ping_interval = Some(Duration::from_millis(50));
    config.limits.idle_timeout = Some(Duration::from_secs(1));
    let (script, calls) = script();
    let server = serve_with(config, script);
    let mut wire = Wire::open(server.addr);
    for _ in 0..4 {
        wire.expect(0x89, b"");
        wire.send(&frame(0x8a, b""));
    }
    // After that the client no longer answers. A busy machine may skip some pings, but not all.
    let unanswered: Vec<Frame> =
        std::iter::repeat_with(|| wire.frame()).take_while(|frame| frame.first == 0x89).collect();
    assert!(!unanswered.is_empty() && unanswered.len() < 20, "{} pings", unanswered.len());
    wire.expect_end();
    drop(wire);
    assert_eq!(calls.close().1, CloseReason::Timeout(lariat::Timeout::Idle));
}
