//! Fairness: no client is served at the cost of others. The test itself turns the loop, so that it
//! can check every turn.

use crate::common::{Call, Calls, Script, WAIT, Wire, binary, echo_script, request, script, text, turn_until};
use lariat::{ClientId, CloseReason, Config, EventLoop, LocalAddr, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

fn start(config: Config, script: Script) -> (EventLoop<Script>, SocketAddr) {
    let server = Server::new(config).expect("a poller").listen("127.0.0.1:0").expect("a free port");
    let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
    (server.start(script).expect("a loop"), addr)
}

/// Opens a connection that never blocks. Its receive buffer in the kernel is small.
fn open(event_loop: &mut EventLoop<Script>, addr: SocketAddr) -> TcpStream {
    let mut wire = Wire::connect(addr);
    socket2::SockRef::from(wire.stream.get_ref()).set_recv_buffer_size(64 << 10).expect("SO_RCVBUF");
    wire.send(request("/").as_bytes());
    let clients = event_loop.clients_mut().len();
    turn_until(event_loop, |event_loop| event_loop.clients_mut().len() > clients);
    assert_eq!(wire.response().status(), 101);
    let stream = wire.stream.into_inner();
    stream.set_nonblocking(true).expect("non-blocking");
    stream
}

/// Sends `bytes` repeatedly and turns the loop, until `id` accepts nothing more and the loop reads
/// nothing more. Checks that at most `bound` bytes wait.
fn flood(
    event_loop: &mut EventLoop<Script>,
    mut stream: &TcpStream,
    id: ClientId,
    bytes: &[u8],
    bound: usize,
) -> usize {
    let (mut sent, mut refused, deadline) = (0, 0, Instant::now() + WAIT);
    while refused < 50 {
        let buffered = event_loop.clients_mut().buffered_amount(id);
        assert!(buffered <= bound, "{buffered} bytes wait");
        assert!(Instant::now() < deadline, "the loop does not stop reading");
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += usize::from(buffered > 0);
            }
        }
        event_loop.turn(Some(Duration::from_millis(1))).expect("the poller works");
    }
    sent
}

#[test]
fn a_client_that_never_reads_needs_bounded_memory_and_does_not_delay_others() {
    // The messages are large: the kernel's accounting of many small ones stalls TCP before its
    // buffers are full.
    const LENGTH: u16 = 50_000;
    let config = Config::default();
    let bound = config.limits.high_water + config.read_buffer + usize::from(LENGTH);
    let (script, calls) = echo_script();
    let (mut event_loop, addr) = start(config, script);
    let deaf = open(&mut event_loop, addr);
    let id = calls.open();
    let message = binary(&[b'x'; LENGTH as usize]);
    let sent = flood(&mut event_loop, &deaf, id, &message, bound);
    // The server has stopped reading, and the loop is idle meanwhile.
    assert!(event_loop.next_deadline().is_some_and(|deadline| deadline > Instant::now()));

    let mut other = open(&mut event_loop, addr);
    other.write_all(&text("hello")).expect("there is room");
    let mut echo = Vec::new();
    turn_until(&mut event_loop, |_| read_some(&mut other, &mut echo) == Some(7));
    assert_eq!(echo, b"\x81\x05hello");

    // When the client reads, it gets everything.
    let (mut deaf, mut received, mut left) = (deaf, Vec::new(), message[sent % message.len()..].to_vec());
    let whole = sent.div_ceil(message.len());
    let frame = [&[0x82, 126], &LENGTH.to_be_bytes()[..], &[b'x'; LENGTH as usize]].concat();
    turn_until(&mut event_loop, |_| {
        while !left.is_empty() {
            let Ok(count) = deaf.write(&left) else { break };
            left.drain(..count);
        }
        read_some(&mut deaf, &mut received) == Some(whole * frame.len())
    });
    assert!(received.chunks(frame.len()).all(|chunk| chunk == frame));
    calls.until(&Call::Drain(id));
    assert_eq!(event_loop.clients_mut().buffered_amount(id), 0);
}

/// Reads the available bytes. Returns the total number of bytes read, or `None` at the end of the
/// stream.
fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<usize> {
    match stream.read_to_end(into) {
        Ok(_) => panic!("the stream has ended"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    Some(into.len())
}

#[test]
fn a_client_that_accepts_nothing_is_closed_at_its_limit() {
    let mut config = Config::default();
    config.limits.max_unsent = 1 << 20;
    config.limits.high_water = 1 << 20;
    let (script, calls) = script();
    let (mut event_loop, addr) = start(config, script);
    let _deaf = open(&mut event_loop, addr);
    let id = calls.open();
    let mut accepted = 0;
    turn_until(&mut event_loop, |event_loop| {
        let clients = event_loop.clients_mut();
        while clients.send(id, &[0; 60_000]).is_ok() {
            assert!(clients.buffered_amount(id) <= 1 << 20 | 64);
            accepted += 1;
        }
        clients.data(id).is_none()
    });
    assert!(accepted >= 17, "{accepted} messages fit into 1 MiB");
    assert_eq!(calls.close(), (id, CloseReason::SlowConsumer));
}

/// One client always has more data, and another one sends one message. It is answered within two
/// turns, in which the first one gets no more than its share.
#[test]
fn a_busy_client_does_not_starve_a_quiet_one() {
    let config = Config::default();
    let share = config.read_buffer;
    let (script, calls) = script();
    let (mut event_loop, addr) = start(
        config,
        script.on_message(|clients, id, message| {
            if message.as_text().is_some() {
                clients.send(id, message).expect("it is open");
            }
        }),
    );
    let mut noisy = open(&mut event_loop, addr);
    let mut quiet = open(&mut event_loop, addr);
    let noise = binary(&[0; 100]).repeat(100);
    let (mut at, mut handled) = (0, 0);
    for _ in 0..100 {
        while let Ok(count) = noisy.write(&noise[at % noise.len()..]) {
            at += count;
        }
        handled += noise_handled(&calls);
        quiet.write_all(&text("hello")).expect("there is room");
        let mut echo = Vec::new();
        for turn in 1.. {
            assert!(turn <= 3, "the quiet client waits for more than two turns");
            event_loop.turn(Some(Duration::ZERO)).expect("the poller works");
            if read_some(&mut quiet, &mut echo) == Some(7) {
                break;
            }
        }
        let before_echo = noise_handled(&calls);
        assert!(before_echo <= 3 * share, "{before_echo} bytes of noise were handled before the echo");
        handled += before_echo;
    }
    assert!(handled > 10 * share, "only {handled} bytes of noise");
}

/// Returns the number of bytes of noise that were handled since the last call.
fn noise_handled(calls: &Calls) -> usize {
    let length = |call: Call| match call {
        Call::Message(_, payload) if payload != b"hello" => payload.len() + 6,
        _ => 0,
    };
    calls.so_far().into_iter().map(length).sum()
}
