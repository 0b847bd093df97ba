//! Handlers and servers that consist of closures.

use crate::common::{WAIT, Wire, binary, frame, ping, text, turn_until};
use lariat::sim::Simulation;
use lariat::{Answer, CloseCode, Closures, Config, ConnectOptions, Drain, Server, Upgrade};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Which closures were called, in order.
fn story() -> (impl Fn(&str) + Clone + 'static, Receiver<String>) {
    let (sender, told) = channel();
    (move |what: &str| sender.send(what.to_owned()).expect("the test waits"), told)
}

/// Each callback of a handler has a closure, and the order in which they are set does not matter.
#[test]
fn every_callback_can_be_a_closure() {
    let (tell, told) = story();
    let say = |what: &'static str| {
        let tell = tell.clone();
        move || tell(what)
    };
    let says =
        ["close", "event", "timer", "client timer", "drain", "pong", "ping", "piece", "open", "request", "start"];
    let [close, event, timer, client_timer, drain, pong, ping_, piece, open, request, start] = says.map(say);
    let (message, connect) = (say("message"), say("connect"));
    let closures = Closures::<u8>::new()
        .on_close(move |_, _, _| close())
        .on_event(move |_, _| event())
        .on_timer(move |_, _, _| timer())
        .on_client_timer(move |clients, id, _, _| {
            client_timer();
            clients.close(id, CloseCode::Normal, "").expect("it is open");
        })
        .on_drain(move |_, _| drain())
        .on_pong(move |_, _, _| pong())
        .on_ping(move |_, _, _| ping_())
        .on_piece(move |_, _, _, _| piece())
        .on_message(move |clients, id, _| {
            message();
            clients.receive_in_pieces(id);
            clients.ping(id, b"").expect("it is open");
            clients.send(id, &*vec![b'x'; 1 << 20]).expect("there is room");
        })
        .on_open(move |_, _| open())
        .on_connect(move |_, _| connect())
        .on_request(move |_, _, _| {
            request();
            Answer::Upgrade(Upgrade::new())
        })
        .on_start(move |clients| {
            start();
            clients.set_timer(Duration::ZERO, 1);
        });
    let mut config = Config::default();
    config.deflate = None;
    let mut sim = Simulation::new(1, config, closures);
    sim.listen("elsewhere", 80);
    let steps = |sim: &mut Simulation<Closures<u8>>| {
        sim.run_until_idle();
        told.try_iter().collect::<Vec<_>>()
    };
    assert_eq!(steps(&mut sim), ["start", "timer"]);
    let peer = sim.connect("/");
    assert_eq!(steps(&mut sim), ["request", "open"]);
    peer.stop_reading();
    peer.send("first");
    assert_eq!(steps(&mut sim), ["message"]);
    peer.resume_reading();
    assert_eq!(steps(&mut sim), ["drain", "pong"]);
    peer.send("second");
    assert_eq!(steps(&mut sim), ["piece"]);
    peer.ping(b"");
    assert_eq!(steps(&mut sim), ["ping"]);
    sim.remote().post(5_u8).expect("there is room");
    assert_eq!(steps(&mut sim), ["event"]);
    let id = sim.clients().iter().next().expect("a client");
    sim.clients().set_client_timer(id, Duration::ZERO, 1);
    assert_eq!(steps(&mut sim), ["client timer", "close"]);
    sim.clients().connect("ws://elsewhere/", &ConnectOptions::new()).expect("a valid URL");
    // The turn looks up the name.
    sim.step_at_once();
    assert_eq!(steps(&mut sim), ["connect", "open"]);
    drop(peer);
}

/// A server goes on with any of the closures, and takes the others in any order.
#[test]
fn a_server_takes_closures_in_any_order() {
    let (tell, told) = story();
    let say = tell.clone();
    let server = Server::bind("127.0.0.1:0")
        .expect("a free port")
        .on_ping(move |_, _, _| say("ping"))
        .on_start(move |clients| {
            tell("start");
            clients.set_timer(Duration::ZERO, 1);
        })
        .on_timer(|clients, _, _| clients.shutdown(Drain::default()))
        .on_message(|_, _, _| unreachable!("nobody sends"));
    let mut event_loop = server.start().expect("the listener can be watched");
    turn_until(&mut event_loop, |event_loop| event_loop.outcome().is_some());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["start"]);
}

/// The clients of a server with closures can have data.
#[test]
fn a_server_of_closures_has_data_for_each_client() {
    let (sender, addr) = channel();
    let thread = std::thread::spawn(move || {
        let server = Server::<Vec<usize>>::bind("127.0.0.1:0").expect("a free port").closures();
        sender.send((server.local_addrs(), server.remote())).expect("the test waits");
        server
            .on_message(|clients, id, message| {
                let Some(mut client) = clients.get(id) else { return };
                client.data_mut().push(message.as_bytes().len());
                client.send(&format!("{:?}", client.data())).expect("it is open");
            })
            .run()
    });
    let (addrs, remote) = addr.recv_timeout(WAIT).expect("it listens");
    let [lariat::LocalAddr::Tcp(addr)] = addrs[..] else { panic!("{addrs:?}") };
    let (mut one, mut other) = (Wire::open(addr), Wire::open(addr));
    one.send(&text("four"));
    one.expect_text("[4]");
    other.send(&binary(&[0; 7]));
    other.expect_text("[7]");
    one.send(&[ping(b"x"), frame(0x81, b"")].concat());
    one.expect(0x8a, b"x");
    one.expect_text("[4, 0]");
    remote.shutdown(Drain::default().deadline(Duration::ZERO)).expect("it runs");
    thread.join().expect("it does not panic").expect("the poller works");
}
