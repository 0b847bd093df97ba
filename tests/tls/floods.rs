//! Floods of encrypted records from a peer that has finished its handshake.
//!
//! What holds: each record costs its sender at least 22 bytes and costs the loop one decryption, a
//! read takes at most 64 KiB, and each client is read once in a turn. So a flood takes turns that
//! are longer, but not the loop. A session that is told nothing for long, only empty records,
//! warnings or KeyUpdates, may be ended: rustls takes 32 of the first and the last in a row, and
//! four of the second. Between data, any number of them may come.

use crate::forger::{ALERT, DATA, Forger, HANDSHAKE, MOST, TLS12, TLS13, client_hello, handshake, message};
use crate::stage::{Attacked, Closes, Either, Ends, GoesOn, Stage, Then, VIOLATION};
use lariat::tls::TlsFailure;
use lariat::tls::rustls::SupportedCipherSuite;
use lariat::{CloseReason, Stats};
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an echo may take while a flood runs: 19 of 20, and each. A debug build needs 80 ms for
/// 64 KiB of KeyUpdates on a machine that does nothing else, and a release build 16 ms.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 100 });
const EVER: Duration = Duration::from_secs(10);

/// How long to wait until a flood is read: a server that has failed may not read the rest.
const ENOUGH: Duration = Duration::from_secs(10);

/// Floods are measured one after another.
static ALONE: Mutex<()> = Mutex::new(());

/// The most memory that a flood may fill: what is kept of a record or a message of the handshake,
/// with room for the other buffers of two clients.
const MEMORY: usize = 256 << 10;

/// What came of a flood.
struct Flooded {
    echoes: Vec<Duration>,
    /// The most bytes that counted against the budget.
    held: usize,
    /// The peer has sent everything. Otherwise the server has left.
    all: bool,
}

/// Sends bytes as fast as they are read, while the other client is served. Its echoes are timed.
fn flood(stage: &mut Stage, peer: &Forger, bytes: &[u8]) -> Flooded {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stream = peer.stream.get_ref();
    let before = stage.server.ask(|clients| clients.stats()).bytes_read;
    std::thread::scope(|scope| {
        let flooding = scope.spawn(move || match stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{error}");
                false
            }
        });
        let (mut echoes, mut held) = (Vec::new(), 0);
        let is_read = |stats: &Stats| stats.bytes_read - before >= bytes.len() as u64 || stats.tls_sessions < 2;
        // Kernels take much of it at once, so its end is not that of writing.
        let (start, mut is_over) = (Instant::now(), false);
        while !is_over {
            let asked = Instant::now();
            stage.other.echo("the other");
            echoes.push(asked.elapsed());
            let stats = stage.server.ask(|clients| clients.stats());
            held = held.max(stats.buffered);
            is_over = flooding.is_finished() && (is_read(&stats) || start.elapsed() > ENOUGH);
        }
        Flooded { echoes, held, all: flooding.join().expect("a flood") }
    })
}

impl Flooded {
    #[track_caller]
    fn check(&self, what: &str) {
        let mut echoes = self.echoes.clone();
        echoes.sort();
        let (most, worst) = (echoes[(echoes.len() - 1) * 19 / 20], echoes[echoes.len() - 1]);
        println!("{what}: {} echoes within {most:?}, {worst:?} at most; {} bytes held", echoes.len(), self.held);
        assert!(most < SOON && worst < EVER, "{what}: echoes took {most:?}, {worst:?} at most");
        assert!(self.held < MEMORY, "{what}: {} bytes held", self.held);
    }
}

/// Sends a flood and checks what follows.
fn check(
    stage: &mut Stage,
    suite: SupportedCipherSuite,
    what: &str,
    then: Then,
    make: impl Fn(&mut Forger) -> Vec<u8>,
) {
    let mut peer = stage.peer(suite);
    let bytes = make(&mut peer);
    let flooded = flood(stage, &peer, &bytes);
    flooded.check(what);
    let behind = peer.text("behind");
    let closing = peer.seal(ALERT, &[1, 0]);
    // The server may have left.
    let _ = peer.stream.get_mut().write_all(&[behind, closing].concat());
    peer.rest();
    let (reason, messages) = stage.end();
    let went_on = flooded.all && reason == CloseReason::Eof && messages == ["behind"];
    let ended = |kind| matches!(&reason, CloseReason::Tls(error) if error.kind() == kind) && messages.is_empty();
    let is_right = match then {
        GoesOn => went_on,
        Ends(kind, _) => ended(kind),
        Either(kind, _) => went_on || ended(kind),
        Closes => reason == CloseReason::Eof && messages.is_empty(),
    };
    assert!(is_right, "{what} with {:?}: {reason}, {messages:?}; but expected {then:?}", suite.suite());
    stage.other.echo("the other");
}

/// A session may end so, or go on.
const MAY_END: Then = Either(VIOLATION, &[]);
const MUST_END: Then = Ends(VIOLATION, &[]);

/// A pong that nobody has asked for, which is ignored.
fn pong(peer: &mut Forger) -> Vec<u8> {
    let pong = peer.pongs(6);
    peer.seal(DATA, &pong)
}

fn times(count: usize, peer: &mut Forger, make: impl Fn(&mut Forger) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|_| make(peer)).collect()
}

#[test]
fn empty_records() {
    let mut stage = Stage::new(Attacked::Server);
    for suite in [TLS13[0], TLS12[0]] {
        check(&mut stage, suite, "empty records", MAY_END, |peer| times(100_000, peer, |peer| peer.seal(DATA, &[])));
        check(&mut stage, suite, "empty records between pongs", GoesOn, |peer| {
            times(3_000, peer, |peer| [times(16, peer, |peer| peer.seal(DATA, &[])), pong(peer)].concat())
        });
    }
    check(&mut stage, TLS13[0], "padding between pongs", GoesOn, |peer| {
        times(1_000, peer, |peer| [peer.seal_padded(DATA, &[], MOST), pong(peer)].concat())
    });
    check(&mut stage, TLS13[0], "empty records of the handshake", MAY_END, |peer| {
        times(10_000, peer, |peer| peer.seal(HANDSHAKE, &[]))
    });
}

#[test]
fn warnings() {
    let mut stage = Stage::new(Attacked::Server);
    for suite in [TLS13[0], TLS12[0]] {
        check(&mut stage, suite, "user_canceled", MAY_END, |peer| {
            times(100_000, peer, |peer| peer.seal(ALERT, &[1, 90]))
        });
    }
    check(&mut stage, TLS12[0], "no_renegotiation between pongs", MAY_END, |peer| {
        times(20_000, peer, |peer| [peer.seal(ALERT, &[1, 100]), pong(peer)].concat())
    });
}

/// The peer reads no answer.
#[test]
fn key_updates() {
    let mut stage = Stage::new(Attacked::Server);
    for asks in [0, 1] {
        check(&mut stage, TLS13[0], "KeyUpdate", MAY_END, |peer| times(10_000, peer, |peer| peer.update(asks)));
        // More than 64 in a read of 64 KiB are too many, whatever is between them.
        check(&mut stage, TLS13[1], "KeyUpdate between pongs", MAY_END, |peer| {
            times(10_000, peer, |peer| [peer.update(asks), pong(peer)].concat())
        });
        check(&mut stage, TLS13[1], "KeyUpdate between many pongs", GoesOn, |peer| {
            times(1_000, peer, |peer| [peer.update(asks), times(40, peer, pong)].concat())
        });
    }
}

/// Each ping is answered, so each KeyUpdate is as well. The peer reads neither until the end.
#[test]
fn key_updates_with_answers() {
    let mut stage = Stage::new(Attacked::Server);
    let mut peer = stage.peer(TLS13[0]);
    let bytes = times(1_000, &mut peer, |peer| {
        let ping = peer.frame(0x89, b"?");
        [peer.update(1), peer.seal(DATA, &ping), times(40, peer, pong)].concat()
    });
    let flooded = flood(&mut stage, &peer, &bytes);
    flooded.check("KeyUpdate and ping");
    assert!(flooded.all);
    peer.echo_behind_pongs("and it goes on");
    assert!((1..=1_000).contains(&peer.updates), "{} answers", peer.updates);
}

#[test]
fn renegotiation() {
    let mut stage = Stage::new(Attacked::Server);
    check(&mut stage, TLS12[0], "ClientHello", MAY_END, |peer| {
        times(20_000, peer, |peer| [peer.seal(HANDSHAKE, &client_hello()), pong(peer)].concat())
    });
    let mut stage = Stage::new(Attacked::Client);
    check(&mut stage, TLS12[0], "HelloRequest", MAY_END, |peer| {
        times(20_000, peer, |peer| peer.seal(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[])))
    });
}

/// A message of the handshake that never ends, a byte at a time.
#[test]
fn messages_of_the_handshake() {
    let mut stage = Stage::new(Attacked::Server);
    for (suite, kind) in [(TLS13[0], message::KEY_UPDATE), (TLS12[0], message::CLIENT_HELLO)] {
        check(&mut stage, suite, "a message of the handshake, byte by byte", MUST_END, |peer| {
            let message = handshake(kind, &[0; 0xffff]);
            message.chunks(1).flat_map(|byte| peer.seal(HANDSHAKE, byte)).collect()
        });
    }
}

#[test]
fn tickets() {
    let mut stage = Stage::new(Attacked::Client);
    check(&mut stage, TLS13[0], "tickets", MAY_END, |peer| {
        let content = [&[0, 0, 0x1c, 0x20, 1, 2, 3, 4, 1, 5, 0, 100][..], &[7; 100], &[0, 0]].concat();
        times(20_000, peer, |peer| peer.seal(HANDSHAKE, &handshake(message::NEW_SESSION_TICKET, &content)))
    });
}

/// What follows the end is not looked at, however much it is.
#[test]
fn records_behind_the_end() {
    let mut stage = Stage::new(Attacked::Server);
    for suite in [TLS13[0], TLS12[0]] {
        let behind = |peer: &mut Forger| times(50_000, peer, |peer| peer.text("too late"));
        check(&mut stage, suite, "data behind close_notify", Closes, |peer| {
            [peer.seal(ALERT, &[1, 0]), behind(peer)].concat()
        });
        check(&mut stage, suite, "data behind an alert", Ends(TlsFailure::Alert, &[]), |peer| {
            [peer.seal(ALERT, &[2, 80]), behind(peer)].concat()
        });
        check(&mut stage, suite, "data behind a record that cannot be read", MUST_END, |peer| {
            peer.seal(DATA, &[]);
            behind(peer)
        });
    }
}

/// A large message in records of one byte: what is held is the message, not its records.
#[test]
fn records_of_one_byte() {
    let mut stage = Stage::new(Attacked::Server);
    for suite in [TLS13[0], TLS12[0]] {
        let mut held = Vec::new();
        for size in [MOST, 1] {
            let mut peer = stage.peer(suite);
            let message = peer.frame(0x82, &vec![7; 60_000]);
            let (last, most) = message.split_last().expect("a frame");
            let bytes: Vec<u8> = most.chunks(size).flat_map(|part| peer.seal(DATA, part)).collect();
            let flooded = flood(&mut stage, &peer, &bytes);
            flooded.check(&format!("records of {size} bytes"));
            assert!(flooded.all);
            held.push(flooded.held);
            peer.give(DATA, &[*last]);
            assert_eq!(peer.receive_frame(), (0x82, vec![7; 60_000]));
        }
        assert!(held[1] <= 2 * held[0] + MOST, "{held:?} bytes are held");
    }
}
