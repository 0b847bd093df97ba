//! New processes that misbehave at every step. The old one goes on as if nothing had happened.

use crate::common::{Wire, close, frame};
use crate::raw::{
    CLIENTS, END, LOOP, LOOP_END, OFFER, PARTS, RECEIVED, REFUSED, Raw, TAKEN, framed, hello, refused, take_token, unit,
};
use crate::steady::Steady;
use std::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The old process waits this long for one that does nothing.
const STALL: Duration = Duration::from_secs(5);

#[test]
fn nothing_freezes_before_the_new_process_is_ready() {
    let mut steady = Steady::new();
    let future = [&PARTS[..], &["future"]].concat();
    let openings: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte", vec![0]),
        ("a header", framed(&hello(1, 1, &PARTS), 0)[..6].to_vec()),
        ("half a message", framed(&hello(1, 1, &PARTS), 0)[..30].to_vec()),
        ("garbage", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a huge length", u32::MAX.to_be_bytes().repeat(2)),
        ("descriptors that do not come", framed(&hello(1, 1, &PARTS), 3)),
        ("an empty message", framed(&[], 0)),
        ("an unknown message", framed(&unit(99), 0)),
        ("something behind a message", framed(&[hello(1, 1, &PARTS), vec![0]].concat(), 0)),
        ("Ready too early", framed(&unit(3), 0)),
        ("Taken too early", framed(&unit(TAKEN), 0)),
        ("Hello twice", framed(&hello(1, 1, &PARTS), 0).repeat(2)),
        ("Hello and Taken", [framed(&hello(1, 1, &PARTS), 0), framed(&unit(TAKEN), 0)].concat()),
        ("Hello and a refusal", [framed(&hello(1, 1, &PARTS), 0), framed(&refused("no"), 0)].concat()),
        ("Hello of a newer version that speaks ours", framed(&hello(9, 1, &future), 0)),
        ("Hello", framed(&hello(1, 1, &PARTS), 0)),
    ];
    for (what, bytes) in openings {
        let mut raw = Raw::connect(&steady.path);
        raw.bytes(&bytes);
        let begin = Instant::now();
        steady.check();
        assert!(begin.elapsed() < STALL, "it freezes after {what}");
        drop(raw);
        steady.check();
    }
    steady.take_over();
}

#[test]
fn a_process_that_cannot_take_over_is_told_why() {
    let mut steady = Steady::new();
    let future = hello(9, 9, &PARTS);
    let cases = [
        (future, "versions 9 to 9"),
        (hello(0, 0, &PARTS), "versions 0 to 0"),
        (hello(1, 1, &PARTS[1..]), "the part \"connections\""),
        (hello(1, 1, &PARTS[..7]), "the part \"traces\""),
        (unit(TAKEN), "Taken came instead of Hello"),
    ];
    for (opening, why) in cases {
        let mut raw = Raw::connect(&steady.path);
        raw.send(&opening);
        let refusal = raw.expect(REFUSED);
        let said = String::from_utf8_lossy(&refusal.body).into_owned();
        assert!(said.contains(why), "{said:?} instead of {why:?}");
        assert!(raw.receive().is_none(), "it closes");
        steady.check();
    }
    steady.take_over();
}

#[test]
fn only_one_process_at_a_time_can_take_over() {
    let mut steady = Steady::new();
    let first = Raw::prepare(&steady.path);
    let mut second = Raw::connect(&steady.path);
    let said = String::from_utf8_lossy(&second.expect(REFUSED).body).into_owned();
    assert!(said.contains("another process is about to take over"), "{said}");
    assert!(second.receive().is_none());
    steady.check();
    drop(first);
    steady.take_over();
}

/// Also if it ends after the last message, without the token.
#[test]
fn the_new_process_may_end_after_any_message() {
    let mut steady = Steady::new();
    let mut raw = Raw::prepare(&steady.path);
    raw.send(&unit(3));
    let kinds: Vec<u8> = raw.all().iter().map(|packet| packet.kind()).collect();
    assert_eq!(kinds, [LOOP, CLIENTS, LOOP_END, END]);
    drop(raw);
    steady.check();
    for count in 0..=kinds.len() {
        for acknowledges in [true, false] {
            let mut raw = prepare(&steady);
            raw.send(&unit(3));
            for kind in &kinds[..count.min(if acknowledges { usize::MAX } else { 3 })] {
                let packet = if acknowledges { raw.next() } else { raw.receive().expect("a message") };
                assert_eq!(packet.kind(), *kind);
            }
            if count > 0 {
                // It is frozen.
                steady.talk();
            }
            drop(raw);
            steady.check();
        }
    }
    steady.take_over();
}

/// Prepares, as soon as the old process knows that the one before is gone.
fn prepare(steady: &Steady) -> Raw {
    let mut ready = None;
    crate::common::until(|| {
        let mut raw = Raw::connect(&steady.path);
        raw.send(&hello(1, 1, &PARTS));
        let is_offered = raw.receive().is_some_and(|packet| packet.kind() == OFFER);
        ready = Some(raw).filter(|_| is_offered);
        is_offered
    });
    ready.expect("an offer")
}

#[test]
fn what_the_new_process_says_in_the_transfer_must_make_sense() {
    let mut steady = Steady::new();
    let words: [Vec<u8>; 8] = [
        framed(&refused("it has changed its mind"), 0),
        framed(&unit(TAKEN), 0),
        framed(&unit(END), 0),
        framed(&unit(3), 0),
        framed(&unit(RECEIVED), 0).repeat(5),
        b"garbage".to_vec(),
        u32::MAX.to_be_bytes().repeat(2),
        framed(&unit(RECEIVED), 1),
    ];
    for place in 0..5 {
        for word in &words {
            let mut raw = prepare(&steady);
            raw.send(&unit(3));
            for count in 0..place {
                let packet = raw.receive().expect("a message");
                if packet.kind() == CLIENTS && count + 1 < place {
                    raw.send(&unit(RECEIVED));
                }
            }
            raw.bytes(word);
            steady.talk();
            if place > 0 {
                // It may have understood nothing yet.
                while raw.receive().is_some() {}
            }
            drop(raw);
            steady.check();
        }
    }
    steady.take_over();
}

/// Stalls after some messages. The old process goes on after five seconds, and keeps the token.
fn stalls_after(count: usize) {
    let mut steady = Steady::new();
    let (mut closing, mut refused) = (Wire::open(steady.server().addr), Wire::open(steady.server().addr));
    let mut raw = Raw::prepare(&steady.path);
    let begin = Instant::now();
    raw.send(&unit(3));
    let packets: Vec<_> = (0..count).map(|_| raw.next()).collect();
    steady.talk();
    // It still has all descriptors, but ends are ends.
    closing.send(&close(1000, ""));
    closing.expect_close(1000);
    closing.expect_end();
    refused.send(&frame(0x83, b"no such opcode"));
    refused.expect_close(1002);
    refused.expect_end();
    drop((closing, refused));
    steady.check();
    let took = begin.elapsed();
    assert!(took >= STALL - Duration::from_millis(100), "it waits, not {took:?}");
    assert!(took < STALL + Duration::from_secs(4), "it does not wait any longer than that: {took:?}");
    if let Some(end) = packets.last().filter(|packet| packet.kind() == END) {
        assert!(!take_token(end), "the old process has it");
        raw.send(&unit(TAKEN));
    }
    steady.check();
    while raw.receive().is_some() {}
    steady.take_over();
}

/// It can say no more, because the new process reads nothing.
fn stalls_while_much_is_sent() {
    let mut steady = Steady::new();
    let mut behind = Wire::open(steady.server().addr);
    let large = vec![b'x'; 1 << 20];
    let mut sent = 0;
    // The kernel takes a lot.
    crate::common::until(|| {
        let large = large.clone();
        sent += 1;
        let unsent = steady.server().ask(move |clients| {
            let newest = clients.iter().max_by_key(|id| id.to_u64()).expect("a client");
            clients.send(newest, &large[..]).expect("it is open");
            clients.buffered_amount(newest)
        });
        unsent > 2 << 20
    });
    let mut raw = Raw::prepare(&steady.path);
    let begin = Instant::now();
    raw.send(&unit(3));
    raw.expect(LOOP);
    steady.talk();
    steady.check();
    let took = begin.elapsed();
    assert!(took < STALL + Duration::from_secs(4), "it waits for {took:?}");
    for _ in 0..sent {
        behind.expect(0x82, &large);
    }
    drop(raw);
    steady.take_over();
}

#[test]
fn a_process_that_stalls_does_not_get_the_connections() {
    std::thread::scope(|scope| {
        for count in [0, 1, 2, 4] {
            scope.spawn(move || stalls_after(count));
        }
        scope.spawn(stalls_while_much_is_sent);
    });
}

#[test]
fn a_process_that_has_the_token_owns_the_connections_even_if_it_does_not_say_so() {
    for says_something_else in [false, true] {
        let mut steady = Steady::new();
        let mut raw = Raw::connect(&steady.path);
        raw.send(&hello(1, 1, &PARTS));
        let offer = raw.expect(OFFER);
        raw.send(&unit(3));
        let packets = raw.all();
        assert!(take_token(packets.last().expect("an end")));
        if says_something_else {
            raw.send(&refused("it has changed its mind, too late"));
        }
        drop(raw);
        let old = steady.take_server();
        let addr = old.addr;
        assert_eq!(old.handed_over(), packets[1].descriptors.len());
        // Nobody else reads what the clients say, and new connections wait for the new process.
        let word = steady.last_word();
        let mut heard = vec![0; word.len()];
        let is_heard = packets[1]
            .descriptors
            .iter()
            .any(|descriptor| rustix::io::read(descriptor, &mut heard).is_ok_and(|count| count == word.len()));
        assert!(is_heard && heard == word, "the descriptors are those of the clients");
        let listener = TcpListener::from(offer.descriptors.into_iter().next().expect("it has listened"));
        let new = TcpStream::connect(addr).expect("it waits");
        listener.set_nonblocking(false).expect("our socket");
        let (_, from) = listener.accept().expect("a connection");
        assert_eq!(from, new.local_addr().expect("an address"));
        #[cfg(target_os = "linux")]
        {
            let own = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("it is open");
            drop(listener);
            let all = std::fs::read_dir("/proc/self/fd").expect("Linux has it").flatten();
            let is_held = all.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|other| other == own);
            assert!(!is_held, "the old server has closed the listening socket");
        }
    }
}
