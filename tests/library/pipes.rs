//! Two clients that a [`Pipe`] joins.

use crate::common::{Running, WAIT, Wire, binary, close, frame, serve, until};
use lariat::sim::Simulation;
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Handler, Message, OwnedMessage, Pipe,
    Position, ReadyState, Request, Upgrade,
};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

struct Proxy {
    upstream: String,
    pipe: Pipe,
}

impl Proxy {
    fn to(addr: SocketAddr) -> Proxy {
        Proxy { upstream: format!("ws://{addr}/"), pipe: Pipe::new() }
    }
}

impl Handler for Proxy {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        let upstream = clients.connect(&self.upstream, &ConnectOptions::new()).expect("a good address");
        self.pipe.join(clients, id, upstream);
        Answer::Upgrade(Upgrade::new())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.pipe.on_open(clients, id);
    }

    fn on_message(&mut self, _: &mut Clients<()>, _: ClientId, _: Message<'_>) {
        panic!("messages come in pieces");
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        self.pipe.on_piece(clients, id, piece, position);
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.pipe.on_drain(clients, id);
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.pipe.on_close(clients, id, reason);
    }
}

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.receive_in_pieces(id);
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        let _ = clients.send_piece(id, piece, position);
    }
}

fn echo_and_proxy() -> (Running, Running) {
    let echo = serve(Echo);
    let proxy = serve(Proxy::to(echo.addr));
    (echo, proxy)
}

#[test]
fn a_gigabyte_goes_through_a_slow_side_in_bounded_memory() {
    // A debug build moves less in the same time.
    const MEBIBYTES: u64 = if cfg!(debug_assertions) { 64 } else { 1 << 10 };
    let mut config = Config::default();
    config.deflate = None;
    let (high_water, read) = (config.limits.high_water, config.read_buffer);
    let proxy = Proxy { upstream: "ws://upstream.test/".to_owned(), pipe: Pipe::new() };
    let mut sim = Simulation::new(1, config, proxy);
    sim.listen("upstream.test", 80);
    let client = sim.connect("/");
    sim.run_until_idle();
    let upstream = sim.accept().expect("the proxy connects");
    sim.run_until_idle();
    assert!(client.is_open() && upstream.is_open());
    upstream.count_only();
    // A mebibyte in 16 messages of 64 KiB, with masking keys of zero.
    let mut message = vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.resize(14 + (64 << 10), 7);
    let mebibyte = message.repeat(16);
    let mut most = 0;
    for number in 0..MEBIBYTES {
        upstream.stop_reading();
        client.send_raw(&mebibyte);
        for _ in 0..20 {
            sim.step_at_once();
            most = most.max(sim.footprint().buffers);
        }
        assert!(number % 8 > 0 || upstream.received_count() <= number * 16, "the upstream does not read now");
        upstream.resume_reading();
        while !sim.is_idle() {
            sim.step_at_once();
            most = most.max(sim.footprint().buffers);
        }
        assert_eq!(upstream.received_count(), (number + 1) * 16);
    }
    assert!(most <= high_water + 4 * read, "{most} bytes were held");
    assert!(client.is_open() && upstream.is_open());
}

/// The most bytes that each of the two servers holds here.
const MOST_HELD: usize = 4 << 20;

/// The most bytes that the kernel keeps of one direction of a TCP stream, in both sockets' buffers.
fn most_in_a_stream() -> usize {
    let most = |name: &str| {
        let limits = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
        limits.split_whitespace().last()?.parse::<usize>().ok()
    };
    most("tcp_rmem").unwrap_or(16 << 20) + most("tcp_wmem").unwrap_or(16 << 20)
}

/// Both servers stop reading a client that takes nothing. If the proxy did that as well with its
/// upstream, both would wait forever.
#[test]
fn forwarding_to_an_echo_does_not_block_when_the_client_reads_late() {
    let count = (2 * MOST_HELD + 4 * most_in_a_stream()) / (64 << 10) + 200;
    let (_echo, proxy) = echo_and_proxy();
    let mut wire = Wire::open(proxy.addr);
    let message = binary(&[7; 64 << 10]);
    let mut stream = wire.stream.get_ref().try_clone().expect("a clone");
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..count {
                stream.write_all(&message).expect("the proxy reads in the end");
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Until nothing is taken any more.
        let (mut seen, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_millis(300) && seen < count {
            let now = sent.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            std::thread::yield_now();
        }
        assert!(seen < count, "the proxy has taken everything");
        let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
        while bytes < count * (64 << 10) {
            bytes += wire.stream.read(&mut buffer).expect("the echo comes");
        }
    });
    // How much a client had to wait shows what was held: four sockets' buffers and two outboxes.
    // Spare buffers stay for a while.
    until(|| proxy.ask(|clients| clients.stats().buffered) < MOST_HELD / 4);
}

#[test]
fn messages_keep_their_type_order_and_ends_and_may_have_any_size() {
    let (_echo, proxy) = echo_and_proxy();
    let mut wire = Wire::open(proxy.addr);
    wire.echo("short");
    wire.send(&[frame(0x01, "gr\u{fc}".as_bytes()), frame(0x00, "\u{df}e ".as_bytes()), frame(0x80, b"!")].concat());
    assert_eq!(whole(&mut wire), (0x1, "gr\u{fc}\u{df}e !".into()));
    let large = vec![9; 20 << 20];
    let mut stream = wire.stream.get_ref().try_clone().expect("a clone");
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&binary(&large)).expect("the proxy reads"));
        let (opcode, found) = whole(&mut wire);
        assert!(opcode == 0x2 && found == large, "{opcode} {}", found.len());
    });
    wire.send(&binary(b""));
    assert_eq!(whole(&mut wire), (0x2, Vec::new()));
}

/// Returns the next message and its opcode, from all its frames.
fn whole(wire: &mut Wire) -> (u8, Vec<u8>) {
    let first = wire.frame();
    let (opcode, mut payload, mut ends) = (first.first & 0xf, first.payload, first.first & 0x80 != 0);
    while !ends {
        let next = wire.frame();
        assert_eq!(next.first & 0xf, 0, "a continuation");
        payload.extend(next.payload);
        ends = next.first & 0x80 != 0;
    }
    (opcode, payload)
}

#[test]
fn a_close_goes_through_with_its_code_and_behind_the_messages() {
    let (sender, ends) = std::sync::mpsc::channel();
    struct Upstream(std::sync::mpsc::Sender<(Vec<u8>, CloseReason)>, Vec<u8>);
    impl Handler for Upstream {
        type Data = ();
        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
            self.1.extend(message.as_bytes());
            if message.as_bytes() == b"go" {
                let _ = clients.send(id, "last words");
                let _ = clients.close(id, CloseCode::from(4001), "token expired");
            }
        }
        fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
            let _ = self.0.send((std::mem::take(&mut self.1), reason.clone()));
        }
    }
    let upstream = serve(Upstream(sender, Vec::new()));
    let proxy = serve(Proxy::to(upstream.addr));
    // The client closes.
    let mut wire = Wire::open(proxy.addr);
    wire.send(&[binary(b"ab"), binary(b"c"), close(4000, "bye")].concat());
    wire.expect_close(4000);
    let (heard, reason) = ends.recv_timeout(WAIT).expect("the upstream connection ends");
    assert_eq!(heard, b"abc");
    let CloseReason::Peer(Some(frame)) = reason else { panic!("{reason:?}") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "bye"));
    // The upstream closes.
    let mut wire = Wire::open(proxy.addr);
    wire.send(&binary(b"go"));
    wire.expect_text("last words");
    wire.expect_close(4001);
    // The client vanishes.
    let wire = Wire::open(proxy.addr);
    ends.recv_timeout(WAIT).expect("the second connection");
    wire.reset();
    let (_, reason) = ends.recv_timeout(WAIT).expect("the third connection ends");
    assert_eq!(reason.code(), CloseCode::Away);
}

#[test]
fn a_client_waits_for_its_partner_and_is_closed_if_that_never_opens() {
    let proxy = Proxy { upstream: "ws://nowhere.test/".to_owned(), pipe: Pipe::new() };
    let mut sim = Simulation::new(1, Config::default(), proxy);
    let client = sim.connect("/");
    client.send("is anybody there?");
    sim.run_until_idle();
    assert_eq!(client.close_reason().expect("it has ended").code(), CloseCode::Away);
    assert_eq!(sim.clients().len_all(), 0);
}

#[test]
fn a_second_join_ends_the_first_pair_and_reads_the_former_partner() {
    let mut sim = Simulation::new(1, Config::default(), Proxy { upstream: String::new(), pipe: Pipe::new() });
    sim.listen("upstream.test", 80);
    sim.handler_mut().upstream = "ws://upstream.test/".to_owned();
    let (one, two) = (sim.connect("/"), sim.connect("/"));
    sim.run_until_idle();
    let (first, second) = (sim.accept().expect("one"), sim.accept().expect("two"));
    sim.run_until_idle();
    let ids: Vec<ClientId> = sim.clients().iter().collect();
    let client = ids.iter().copied().find(|id| !sim.clients().is_outgoing(*id)).expect("a client");
    let former = sim.handler().pipe.partner(client).expect("it has a partner");
    let other = ids.iter().copied().find(|id| sim.clients().is_outgoing(*id) && *id != former).expect("another");
    let mut pipe = std::mem::take(&mut sim.handler_mut().pipe);
    pipe.join(sim.clients(), client, other);
    assert_eq!((pipe.partner(former), pipe.partner(client), pipe.partner(other)), (None, Some(other), Some(client)));
    sim.handler_mut().pipe = pipe;
    for peer in [&one, &two] {
        peer.send("to the second");
    }
    sim.run_until_idle();
    let received: Vec<OwnedMessage> = [&first, &second].into_iter().flat_map(|peer| peer.received()).collect();
    assert_eq!(received.len(), 1, "only one client still has a partner: {received:?}");
    assert_eq!(sim.clients().ready_state(former), ReadyState::Open);
}

#[test]
fn without_a_pipe_a_client_can_be_read_above_high_water() {
    struct Reads(bool, usize);
    impl Handler for Reads {
        type Data = ();
        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            if self.0 {
                clients.read_above_high_water(id);
            }
        }
        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, _: Message<'_>) {
            self.1 += 1;
            if self.1 == 1 {
                let _ = clients.send(id, &[7; 200_000][..]);
            }
        }
    }
    for (reads, expected) in [(false, 1), (true, 2)] {
        let mut config = Config::default();
        (config.deflate, config.limits.high_water) = (None, 1_000);
        let mut sim = Simulation::new(1, config, Reads(reads, 0));
        let mut faults = lariat::sim::Faults::none();
        faults.window = 10_000;
        sim.set_faults(faults);
        let peer = sim.connect("/");
        sim.run_until_idle();
        peer.stop_reading();
        for _ in 0..2 {
            peer.send("?");
            sim.run_for(Duration::from_secs(1));
        }
        assert_eq!(sim.handler().1, expected);
    }
}
