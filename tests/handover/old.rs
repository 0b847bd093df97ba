//! Old processes that misbehave at every step. The new one reports an error, and serves nobody.

use crate::common::{Folder, Wire, frame, request_with, text, until};
use crate::kit::{nothing_saved, serve_with};
use crate::raw::{CLIENTS, END, HELLO, LOOP, OFFER, PARTS, Packet, READY, Raw, framed, hello, refused, unit};
use lariat::{ClientId, Closures, Config, EventLoop, HandoverError, Rates, Server, SlowConsumer};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A message of a recorded transfer.
struct Recorded {
    body: Vec<u8>,
    descriptors: usize,
}

fn config() -> Config {
    let mut config = Config::default();
    config.rates.messages_per_second = Some(1_000);
    config.max_connections_per_address = Some(1_000);
    config
}

/// A handler that uses what its clients have.
fn handler() -> Closures<()> {
    let closures = Closures::new().on_open(|clients, id| {
        clients.subscribe(id, "all");
        clients.set_client_interval(id, Duration::from_secs(1), 1);
    });
    nothing_saved(closures.on_message(|clients, id, message| {
        let _ = clients.send(id, message);
        clients.publish("all", "x");
    }))
}

/// Records what a server tells of clients of many kinds.
fn record() -> Vec<Recorded> {
    let folder = Folder::new();
    let path = folder.path("handover");
    let server = serve_with(config(), &path, handler);
    let mut wires: Vec<Wire> = Vec::new();
    let beginnings: Vec<Vec<u8>> = vec![
        Vec::new(),
        text("half")[..3].to_vec(),
        text("half")[..8].to_vec(),
        frame(0x01, b"a fragment"),
        [frame(0x02, b"a fragment"), frame(0x89, b"ping")[..7].to_vec()].concat(),
        [frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), frame(0x41, &[0xf2, 0x48])].concat(),
    ];
    let (count, opening) = (beginnings.len(), request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    let half_a_head = b"GET / HTTP/1.1\r\nHos";
    let sent = count * opening.len() + beginnings.concat().len() + half_a_head.len();
    for beginning in beginnings {
        let mut wire = Wire::connect(server.addr);
        wire.send(opening.as_bytes());
        assert_eq!(wire.response().status(), 101);
        wire.send(&beginning);
        wires.push(wire);
    }
    let mut head = Wire::connect(server.addr);
    head.send(half_a_head);
    until(|| server.ask(|clients| clients.len()) == count && server.stats().bytes_read == sent as u64);
    let large = vec![b'x'; 20_000];
    until(|| {
        let large = large.clone();
        server.ask(move |clients| {
            let ids: Vec<ClientId> = clients.iter().collect();
            let _ = clients.send(ids[1], &large[..]);
            clients.buffered_amount(ids[1]) > 0
        })
    });
    server.ask(|clients| {
        let ids: Vec<ClientId> = clients.iter().collect();
        clients.set_slow_consumer(ids[1], SlowConsumer::DropNewest);
        let _ = clients.send(ids[1], "dropped");
        for key in 0..3 {
            clients.send_latest(ids[1], key, "latest").expect("it waits");
        }
        clients.publish("all", "to all");
        clients.pause(ids[2]);
        let mut rates = Rates::default();
        rates.bytes_per_second = Some(4_096);
        clients.set_rates(ids[3], rates);
        clients.set_timer(Duration::from_secs(5), 7);
        clients.set_interval(Duration::from_secs(7), 8);
        clients.close(ids[4], lariat::CloseCode::Normal, "bye").expect("it is open");
    });
    let mut raw = Raw::connect(&path);
    raw.send(&hello(1, 1, &PARTS));
    let mut packets = vec![raw.expect(OFFER)];
    raw.send(&unit(READY));
    packets.extend(raw.all());
    assert_eq!(packets[1].kind(), LOOP);
    let recorded = |packet: Packet| Recorded { body: packet.body, descriptors: packet.descriptors.len() };
    packets.into_iter().map(recorded).collect()
}

/// What the other ends of a replayed transfer are.
struct Replay {
    stream: UnixStream,
    clients: Vec<UnixStream>,
    _old: Raw,
    _listeners: Vec<TcpListener>,
}

/// Sends a recorded transfer at once, up to a number of bytes, and then FIN. `change` may change a
/// message.
fn replay(recorded: &[Recorded], most: usize, change: impl Fn(usize, &mut Vec<u8>)) -> Replay {
    let (here, there) = UnixStream::pair().expect("a pair");
    let (mut raw, mut clients, mut listeners, mut left) = (Raw::new(here), Vec::new(), Vec::new(), most);
    // All of it fits.
    raw.0.set_nonblocking(true).expect("non-blocking");
    for (number, Recorded { body, descriptors }) in recorded.iter().enumerate() {
        let mut bytes = framed(body, *descriptors);
        change(number, &mut bytes);
        bytes.truncate(left);
        left -= bytes.len();
        if bytes.is_empty() {
            break;
        }
        let of_message: Vec<OwnedFd> = match body[1] {
            OFFER => {
                listeners = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
                listeners.iter().map(|listener| listener.try_clone().expect("a descriptor").into()).collect()
            }
            CLIENTS => (0..*descriptors)
                .map(|_| {
                    let (here, there) = UnixStream::pair().expect("a pair");
                    clients.push(here);
                    there.into()
                })
                .collect(),
            END => {
                let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
                rustix::io::write(&writer, &[1]).expect("a pipe takes a byte");
                vec![reader]
            }
            _ => Vec::new(),
        };
        let borrowed: Vec<_> = of_message.iter().map(std::os::fd::AsFd::as_fd).collect();
        raw.bytes_with(&bytes, &borrowed);
    }
    raw.0.shutdown(std::net::Shutdown::Write).expect("a stream");
    Replay { stream: there, clients, _old: raw, _listeners: listeners }
}

/// Takes over from a replayed transfer, within a time.
#[track_caller]
fn take_over(stream: UnixStream) -> io::Result<EventLoop<Closures<()>>> {
    let begin = Instant::now();
    let server = Server::new(config()).and_then(|server| server.take_over_from(stream));
    let started = server.and_then(Server::listen_as_before).and_then(|server| server.start(handler()));
    assert!(begin.elapsed() < Duration::from_secs(4), "it takes too long");
    started
}

fn length(recorded: &[Recorded]) -> usize {
    recorded.iter().map(|message| message.body.len() + 6).sum()
}

#[test]
fn a_transfer_that_is_cut_at_any_byte_is_not_taken() {
    let recorded = record();
    let length = length(&recorded);
    for cut in (0..length).filter(|cut| *cut < 3_000 || *cut + 3_000 > length || cut % 101 == 0) {
        let Replay { stream, clients, .. } = &mut replay(&recorded, cut, |_, _| {});
        let error = match take_over(stream.try_clone().expect("a descriptor")) {
            Ok(_) => panic!("it has taken over what was cut before byte {cut} of {length}"),
            Err(error) => error,
        };
        let source = error.get_ref().and_then(|error| error.downcast_ref::<HandoverError>());
        assert!(matches!(source, Some(HandoverError::Gone(_))), "{error:?} at byte {cut}");
        for client in clients {
            client.set_nonblocking(true).expect("non-blocking");
            // Only the end: nobody has answered.
            assert!(!matches!(client.read(&mut [0; 100]), Ok(1..)), "it was served");
        }
    }
    let Replay { stream, mut clients, _old, _listeners } = replay(&recorded, length, |_, _| {});
    let mut event_loop = take_over(stream).expect("all of it is there");
    assert_eq!(event_loop.clients_mut().len(), 5);
    clients[0].write_all(&text("x")).expect("it is open");
    crate::common::turn_until(&mut event_loop, |event_loop| event_loop.stats().received.text.messages == 1);
}

/// Numbers that are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

/// Changes bytes of a transfer, of which the end is more likely to be changed than large payloads.
/// Returns how many of the changed transfers were taken.
fn attempts(recorded: &[Recorded], count: usize, seed: u64) -> usize {
    let (mut numbers, mut taken) = (Numbers(seed), 0);
    for attempt in 0..count {
        let number = numbers.below(recorded.len());
        let length = recorded[number].body.len() + 6;
        let changes: Vec<(usize, u8)> = (0..1 + attempt % 2)
            .map(|_| {
                let most = if numbers.below(2) == 0 { length } else { length.min(600) };
                (numbers.below(most), 1 + numbers.below(255) as u8)
            })
            .collect();
        let change = |of: usize, bytes: &mut Vec<u8>| {
            for (place, by) in changes.iter().filter(|_| of == number) {
                bytes[*place] ^= by;
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let Replay { stream, mut clients, _old, _listeners } = replay(recorded, usize::MAX, change);
            let Ok(mut event_loop) = take_over(stream) else { return 0 };
            for client in &mut clients {
                client.set_nonblocking(true).expect("non-blocking");
                let _ = client.write(&[text("x"), frame(0x80, b"the end"), frame(0x88, b"")].concat());
            }
            for _ in 0..4 {
                event_loop.turn(Some(Duration::ZERO)).expect("a poller that works");
            }
            1
        }));
        match outcome {
            Ok(one) => taken += one,
            Err(_) => panic!("attempt {attempt} of {seed:#x} panics: {changes:?} in message {number}"),
        }
    }
    taken
}

#[test]
fn a_transfer_in_which_bytes_were_changed_makes_nobody_panic() {
    let recorded = record();
    let taken: usize = std::thread::scope(|scope| {
        let threads = [0x9e37_79b9_7f4a_7c15, 0xdead_beef_cafe_f00d].map(|seed| {
            let recorded = &recorded;
            scope.spawn(move || attempts(recorded, 2_000, seed))
        });
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert!(taken > 0, "some changes do no harm");
}

#[test]
fn an_old_process_that_refuses_or_is_another_one_is_named() {
    let connect = |messages: &[Vec<u8>]| {
        let (here, there) = UnixStream::pair().expect("a pair");
        let mut raw = Raw::new(here);
        messages.iter().for_each(|message| raw.send(message));
        let _ = raw.0.shutdown(std::net::Shutdown::Write);
        let error = match take_over(there) {
            Ok(_) => panic!("it has taken over"),
            Err(error) => error,
        };
        assert_eq!(raw.expect(HELLO).kind(), HELLO);
        let refusal = raw.receive().map(|packet| String::from_utf8_lossy(&packet.body).into_owned());
        (error.to_string(), refusal)
    };
    let (error, _) = connect(&[refused("not now\n\u{1b}[2J")]);
    assert!(error.contains("the other process has refused: not now\\n\\u{1b}"), "{error}");
    let offer = |version: u16, part: &str| {
        let mut bytes = Vec::new();
        let mut encoder = minicbor::Encoder::new(&mut bytes);
        let it = encoder.array(2).and_then(|it| it.u8(OFFER)?.array(1)?.map(9)?.u8(0)?.u16(version)).expect("a vector");
        let it = it.u8(1).and_then(|it| it.array(1)?.str(part)?.u8(2)?.u16(1)?.u8(3)?.array(0)).expect("a vector");
        let it = it.u8(4).and_then(|it| it.u64(0)?.u8(5)?.str("a fake")?.u8(6)?.u32(1)).expect("a vector");
        it.u8(7).and_then(|it| it.u64(0)?.u8(8)?.bool(false)).expect("a vector");
        bytes
    };
    let (error, refusal) = connect(&[offer(2, "topics")]);
    assert!(error.contains("it speaks version 2"), "{error}");
    assert!(refusal.is_some_and(|why| why.contains("it speaks version 2")));
    let (error, _) = connect(&[offer(1, "telepathy")]);
    assert!(error.contains("telepathy"), "{error}");
    let (error, _) = connect(&[offer(1, "topics"), refused("it has changed its mind")]);
    assert!(error.contains("it has changed its mind"), "{error}");
    for message in [unit(READY), hello(1, 1, &PARTS), unit(END)] {
        let (error, _) = connect(std::slice::from_ref(&message));
        assert!(error.contains("instead of Offer"), "{error}");
        let (error, _) = connect(&[offer(1, "topics"), message]);
        assert!(error.contains("came") || error.contains("instead of"), "{error}");
    }
}

/// It waits for five seconds: in the preparation, and in the transfer.
#[test]
fn an_old_process_that_does_nothing_is_not_waited_for_any_longer() {
    let recorded = record();
    std::thread::scope(|scope| {
        for messages in [0, 1, 3] {
            let recorded = &recorded[..messages];
            scope.spawn(move || {
                let (here, there) = UnixStream::pair().expect("a pair");
                let mut raw = Raw::new(here);
                let listeners: Vec<OwnedFd> =
                    (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port").into()).collect();
                let clients: Vec<OwnedFd> =
                    (0..253).map(|_| rustix::io::fcntl_dupfd_cloexec(&raw.0, 0).expect("a descriptor")).collect();
                for Recorded { body, descriptors } in recorded {
                    let from = if body[1] == OFFER { &listeners } else { &clients };
                    let borrowed: Vec<_> = from.iter().take(*descriptors).map(std::os::fd::AsFd::as_fd).collect();
                    raw.bytes_with(&framed(body, *descriptors), &borrowed);
                }
                let begin = Instant::now();
                let server = Server::new(config()).and_then(|server| server.take_over_from(there));
                let started = server.and_then(|server| server.start(handler()));
                let error = started.expect_err("nothing comes");
                assert!(error.to_string().contains("did nothing for 5 seconds"), "{error}");
                let took = begin.elapsed();
                assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
            });
        }
    });
}
