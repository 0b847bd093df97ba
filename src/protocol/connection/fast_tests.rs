//! Fast and plain paths do the same: two connections get the same input, one through the fast paths
//! and one without, and nothing that can be seen of them differs.

use super::*;
use crate::protocol::deflate::Deflate;
use crate::protocol::limits::Limits;
use crate::protocol::opening::{Answer, Opening, Request, Ticket, Upgrade};
use crate::protocol::time::Tick;
use crate::protocol::wire::{CloseCode, Input, MAX_HEADER, Opcode, Role, mask};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::time::Duration;

const KEY: mask::Key = [0x37, 0xfa, 0x21, 0x3d];

/// Rounds of a property test.
const ROUNDS: u64 = 300;

/// What an application does when it has handled so many events.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    Close,
    Pieces(bool),
    Echo,
    Trace,
}

/// A connection with its loop, and what has been seen of it.
struct End {
    is_fast: bool,
    connection: Connection,
    shared: Shared,
    now: Tick,
    events: Vec<String>,
    output: Vec<u8>,
    reactions: Vec<(usize, Reaction)>,
}

impl End {
    /// An open connection.
    fn open(role: Role, limits: Limits, deflate: bool) -> End {
        let shared = Shared::with_seed(limits, 1).with_deflate(deflate.then(Deflate::default));
        let now = Tick::default();
        let mut end = End {
            is_fast: false,
            connection: Connection::new(role, now),
            shared,
            now,
            events: Vec::new(),
            output: Vec::new(),
            reactions: Vec::new(),
        };
        let extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
            client_no_context_takeover\r\n";
        let extension = if deflate { extension } else { "" };
        match role {
            Role::Server => {
                let mut request = format!(
                    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extension}\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                )
                .into_bytes();
                let event = end.connection.receive(&mut end.shared, now, &mut Input::new(&mut request));
                let Some(Event::Request { head, .. }) = event else { panic!("{event:?}") };
                let ticket = Ticket::new(&Request::parse(&head).expect("a good request"));
                let answer = Answer::Upgrade(Upgrade::default());
                end.connection.answer(&mut end.shared, now, ticket, answer).expect("a good answer");
            }
            Role::Client => {
                let (opening, _, _) = Opening::parse("ws://server.example.com/").expect("a URL");
                end.connection = Connection::connect(&mut end.shared, now, &opening);
                let request = String::from_utf8(end.connection.output(&mut end.shared).to_vec()).expect("ASCII");
                let (_, rest) = request.split_once("Sec-WebSocket-Key: ").expect("a key");
                let accept = tungstenite::handshake::derive_accept_key(&rest.as_bytes()[..24]);
                let mut response = format!(
                    "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extension}\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .into_bytes();
                let event = end.connection.receive(&mut end.shared, now, &mut Input::new(&mut response));
                assert!(matches!(event, Some(Event::Opened(None))), "{event:?}");
            }
        }
        end.flush();
        end.output.clear();
        assert_eq!(end.connection.state(), State::Open);
        end
    }

    /// Handles an event as an application would.
    fn handle(&mut self, event: Event<'_>) {
        let shown = match &event {
            // How a message was stored makes no difference to an application.
            Event::Gathered(message) => format!("Message({:?})", message.as_message()),
            Event::Piece(piece, position) => format!("Piece({:?}, {position:?})", piece.as_message()),
            event => format!("{event:?}"),
        };
        self.events.push(shown);
        if let Event::Gathered(message) | Event::Piece(message, _) = event {
            self.shared.recycle(message);
        }
        while let Some((count, reaction)) = self.reactions.last().copied() {
            if count > self.events.len() {
                break;
            }
            self.reactions.pop();
            match reaction {
                Reaction::Close => {
                    let _ = self.connection.close(&mut self.shared, self.now, CloseCode::Normal, "enough");
                }
                Reaction::Pieces(on) => self.connection.receive_in_pieces(on),
                Reaction::Echo => {
                    let _ = if self.is_fast { self.send_fast("echo".into()) } else { self.send_plain("echo".into()) };
                }
                Reaction::Trace => self.connection.trace(Some(7)),
            }
        }
    }

    fn receive_plain(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = self.connection.receive(&mut self.shared, self.now, &mut input) {
            self.handle(event);
        }
    }

    /// As the engine does. `room`: bytes of the read buffer behind those that were read.
    fn receive_fast(&mut self, bytes: &[u8], room: usize, longest_run: usize) {
        let mut buffer = [bytes, &vec![0xa5; room]].concat();
        let was_open = self.connection.state() == State::Open;
        let single = self.connection.receive_single(&mut self.shared, self.now, &mut buffer, bytes.len());
        if let Some(message) = single {
            return self.handle(Event::Message(message));
        }
        if !was_open || self.connection.state() == State::Open {
            assert_eq!(buffer[..bytes.len()], *bytes, "nothing has changed");
        }
        let mut input = Input::new(&mut buffer[..bytes.len()]);
        loop {
            if let Some(mut run) = self.connection.receive_run(&self.shared, self.now, &mut input, longest_run) {
                for message in &mut run {
                    if self.connection.takes_messages() {
                        self.handle(Event::Message(message));
                    } else if self.connection.state() == State::Open {
                        let piece = match message {
                            Message::Text(text) => OwnedMessage::Text(text.to_owned()),
                            Message::Binary(bytes) => OwnedMessage::Binary(bytes.to_owned()),
                        };
                        self.handle(Event::Piece(piece, Position::Whole));
                    }
                }
                self.connection.finish_run(&mut self.shared, self.now, &run);
                continue;
            }
            let Some(event) = self.connection.receive(&mut self.shared, self.now, &mut input) else { break };
            self.handle(event);
        }
    }

    fn send_plain(&mut self, message: Message<'_>) -> Result<(), SendError> {
        self.connection.send_whole(&mut self.shared, message)
    }

    /// Sends a message through the fast path alone, or else through the plain one.
    fn send_fast(&mut self, message: Message<'_>) -> Result<(), SendError> {
        if self.connection.can_send_short(&self.shared, message)
            && self.connection.send_short(&mut self.shared, message)
        {
            return Ok(());
        }
        self.send_plain(message)
    }

    /// Appends a prepared message that may be sent.
    fn append_plain(&mut self, prepared: &Prepared<'_>) {
        let frame = prepared.frame(&mut self.shared, self.connection.agreed());
        self.shared.counters.sent.add(prepared.message.opcode(), prepared.message.as_bytes().len());
        frame.copy_or_share(&mut self.shared, &mut self.connection.outbox);
    }

    /// The peer takes at most `most` bytes.
    fn take_plain(&mut self, most: usize) {
        let output = self.connection.output(&mut self.shared);
        let count = output.len().min(most);
        self.output.extend_from_slice(&output[..count]);
        self.connection.sent(&mut self.shared, self.now, count);
    }

    fn take_fast(&mut self, most: usize, limit: usize) {
        let Some(output) = self.connection.simple_output(limit) else { return self.take_plain(most) };
        let (count, length) = (output.len().min(most), output.len());
        self.output.extend_from_slice(&output[..count]);
        match count == length {
            true => self.connection.simple_output_sent(&mut self.shared),
            false => self.connection.sent(&mut self.shared, self.now, count),
        }
    }

    fn flush(&mut self) {
        while self.connection.buffered_amount() > 0 {
            self.take_plain(usize::MAX);
        }
    }

    /// All that can be seen of it, except how large the buffers are that it took from a pool.
    fn seen(&self) -> String {
        let End { connection, shared, now, .. } = self;
        format!(
            "{:?}; since {:?}, pinged {}; unsent {}, idle {}; deadline {:?}; reason {:?}; received {:?}, sent {:?}",
            connection.state(),
            connection.since,
            connection.pinged,
            connection.buffered_amount(),
            connection.memory() == 0,
            connection.deadline(&shared.limits, *now),
            connection.rare.as_ref().map(|rare| &rare.reason),
            shared.counters.received(),
            shared.counters.sent(),
        )
    }
}

/// A frame of the peer's. A client's is masked.
fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_HEADER + payload.len());
    let masked = if role == Role::Server { 0x80 } else { 0 };
    bytes.push(first);
    match payload.len() {
        length @ 0..126 => bytes.push(masked | length as u8),
        length => bytes.extend([&[masked | 126][..], &(length as u16).to_be_bytes()].concat()),
    }
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if role == Role::Server {
        mask::apply_bytewise(KEY, &mut bytes[start..]);
        bytes.splice(start..start, KEY);
    }
    bytes
}

/// Frames of all kinds, most of them short and good. `bad`: how many of 100 break a rule.
fn stream(role: Role, random: &mut StdRng, bad: u32) -> Vec<u8> {
    const TEXTS: [&str; 8] = ["", "a", "hello", "äöü", "日本語", "ends in €", "😀", "exactly sixteen."];
    let mut bytes = Vec::new();
    for _ in 0..random.random_range(1..60) {
        let text = TEXTS[random.random_range(0..TEXTS.len())].repeat(random.random_range(0..8));
        let kind =
            if random.random_range(0..100) < bad { random.random_range(20..30) } else { random.random_range(0..20) };
        match kind {
            0..8 => bytes.extend(frame(role, 0x81, text.as_bytes())),
            8..13 => bytes.extend(frame(role, 0x82, text.as_bytes())),
            13 => bytes.extend(frame(role, 0x81, &[b'x'; 127][..random.random_range(120..128)])),
            14 => bytes.extend(frame(role, 0x82, &vec![7; random.random_range(0..2_000)])),
            15 => bytes.extend(frame(role, 0x89, b"ping")),
            16 => bytes.extend(frame(role, 0x8a, b"pong")),
            17 | 18 => {
                // A message in fragments, cut anywhere.
                let cut = random.random_range(0..=text.len());
                bytes.extend(frame(role, 0x01, &text.as_bytes()[..cut]));
                if random.random() {
                    bytes.extend(frame(role, 0x89, b"between"));
                }
                bytes.extend(frame(role, 0x80, &text.as_bytes()[cut..]));
            }
            19 => bytes.extend(frame(role, 0x82, &[1; 30]).repeat(random.random_range(1..40))),
            // A character that two messages share: each is invalid, both together are not.
            20 => {
                bytes.extend(frame(role, 0x81, b"half a \xe2\x82"));
                bytes.extend(frame(role, 0x81, b"\xac euro"));
            }
            21 => bytes.extend(frame(role, 0x81, b"not \xff text")),
            22 => bytes.extend(frame(role, 0x81, b"\xed\xa0\x80")),
            23 => bytes.extend(frame(role, 0x88, b"\x03\xe8bye")),
            24 => bytes.extend(frame(role, 0xc1, b"compressed?")),
            25 => bytes.extend(frame(role, 0x83, b"reserved")),
            // The other role's frame.
            26 => bytes.extend(frame(if role == Role::Server { Role::Client } else { Role::Server }, 0x81, b"mask")),
            27 => bytes.extend(frame(role, 0x80, b"continues nothing")),
            28 => bytes.extend([0x82, 0xfe, 0, 5]),
            _ => bytes.extend((0..random.random_range(1..20)).map(|_| random.next_u32() as u8)),
        }
    }
    bytes
}

/// Both ends of the same kind, with the same application.
fn pair(role: Role, random: &mut StdRng) -> [End; 2] {
    let mut limits = Limits::default();
    if random.random_range(0..4) == 0 {
        limits.max_message = random.random_range(1..200);
    }
    limits.max_unsent = [4 << 20, 300][usize::from(random.random_range(0..4) == 0)];
    let deflate = cfg!(feature = "deflate") && random.random_range(0..4) == 0;
    let mut reactions: Vec<(usize, Reaction)> = (0..random.random_range(0..4))
        .map(|_| {
            let reaction = match random.random_range(0..8) {
                0 => Reaction::Close,
                1 | 2 => Reaction::Pieces(true),
                3 => Reaction::Pieces(false),
                _ => Reaction::Echo,
            };
            (random.random_range(1..60), reaction)
        })
        .collect();
    reactions.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    [false, true].map(|is_fast| {
        let end = End::open(role, limits.clone(), deflate);
        End { is_fast, reactions: reactions.clone(), ..end }
    })
}

/// Receives the same bytes in the same reads through both paths, and compares after each.
fn compare(mut plain: End, mut fast: End, reads: &[&[u8]], random: &mut StdRng, context: &str) {
    for read in reads {
        let later = Duration::from_millis(random.random_range(0..50));
        (plain.now, fast.now) = (plain.now.after(later), fast.now.after(later));
        plain.receive_plain(read);
        let (room, longest_run) =
            ([0, 16, 150][random.random_range(0..3)], [1, 3, LONGEST_RUN][random.random_range(0..3)]);
        fast.receive_fast(read, room, longest_run);
        assert_eq!(plain.events, fast.events, "{context}");
        assert_eq!(plain.seen(), fast.seen(), "{context}");
        plain.flush();
        fast.flush();
        assert_eq!(plain.output, fast.output, "{context}");
    }
}

/// Cuts bytes into reads of random lengths.
fn cut<'b>(mut bytes: &'b [u8], most: usize, random: &mut StdRng) -> Vec<&'b [u8]> {
    let mut reads = Vec::new();
    while !bytes.is_empty() {
        let (read, rest) = bytes.split_at(random.random_range(1..=most).min(bytes.len()));
        reads.push(read);
        bytes = rest;
    }
    reads
}

#[test]
fn receiving_is_the_same_in_reads_of_all_lengths() {
    for round in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(round);
        let role = if round % 3 == 0 { Role::Client } else { Role::Server };
        let bytes = stream(role, &mut random, [0, 3, 30][round as usize % 3]);
        for most in [1, 30, 300, 1 << 20] {
            let [plain, fast] = pair(role, &mut random);
            let reads = cut(&bytes, most, &mut random);
            compare(plain, fast, &reads, &mut random, &format!("round {round}, reads of up to {most}"));
        }
    }
}

#[test]
fn receiving_is_the_same_for_each_single_frame() {
    for round in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(round);
        let role = if round % 3 == 0 { Role::Client } else { Role::Server };
        // One read is one frame, as mostly.
        let frames: Vec<Vec<u8>> = (0..20)
            .map(|_| match random.random_range(0..6) {
                0 => frame(role, 0x82, &vec![9; random.random_range(0..130)]),
                1 => frame(role, 0x81, &[b'x'; 130][..random.random_range(0..130)]),
                2 => frame(role, 0x81, "é".repeat(random.random_range(0..65)).as_bytes()),
                3 => frame(role, 0x89, b"ping"),
                4 if random.random_range(0..8) == 0 => frame(role, 0x81, b"long enough to be no word \xc3"),
                _ => frame(role, 0x81, b"usual"),
            })
            .collect();
        let reads: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let [plain, fast] = pair(role, &mut random);
        compare(plain, fast, &reads, &mut random, &format!("round {round}"));
    }
}

#[test]
fn receiving_is_the_same_wherever_a_stream_is_cut_in_two() {
    let mut random = StdRng::seed_from_u64(1);
    for role in [Role::Server, Role::Client] {
        let good =
            [frame(role, 0x81, "hé".as_bytes()), frame(role, 0x81, b"you"), frame(role, 0x82, &[3; 20])].concat();
        let bad = [&good[..], &frame(role, 0x81, b"a\xe2\x82"), &frame(role, 0x81, b"\xacb"), &good].concat();
        for bytes in [&good, &bad] {
            for at in 0..=bytes.len() {
                let (first, second) = bytes.split_at(at);
                let [plain, fast] = [(); 2].map(|()| End::open(role, Limits::default(), false));
                compare(plain, fast, &[first, second], &mut random, &format!("{role:?}, cut at {at}"));
            }
        }
    }
}

/// Fast paths are not for connections whose messages are traced.
#[test]
fn traces_are_the_same() {
    for role in [Role::Server, Role::Client] {
        let bytes = [frame(role, 0x81, b"one"), frame(role, 0x82, b"two"), frame(role, 0x81, b"\xff")].concat();
        let [mut plain, mut fast] = [(); 2].map(|()| End::open(role, Limits::default(), false));
        for end in [&mut plain, &mut fast] {
            end.reactions = vec![(0, Reaction::Trace)];
            end.connection.trace(Some(7));
        }
        plain.receive_plain(&bytes);
        fast.receive_fast(&bytes, 150, LONGEST_RUN);
        let _ = (plain.send_plain(Message::Text("late")), fast.send_fast(Message::Text("late")));
        assert_eq!(plain.shared.take_traces(), fast.shared.take_traces());
        assert_eq!(plain.seen(), fast.seen());
    }
}

#[test]
fn sending_is_the_same_however_writes_are_cut() {
    for round in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(round);
        let role = if round % 5 == 0 { Role::Client } else { Role::Server };
        let [mut plain, mut fast] = pair(role, &mut random);
        for step in 0..random.random_range(1..80) {
            let context = format!("round {round}, step {step}");
            if random.random_range(0..5) == 0 {
                // The buffers of the pool may be larger than what may wait.
                let most = [4 << 20, 300, 60][random.random_range(0..3)];
                (plain.shared.limits.max_unsent, fast.shared.limits.max_unsent) = (most, most);
            }
            let bytes = vec![step as u8; [0, 5, 20, 125, 126, 600, 3_000][random.random_range(0..7)]];
            let text = "ü".repeat(bytes.len() / 2);
            let message = if random.random() { Message::Text(&text) } else { Message::Binary(&bytes) };
            match random.random_range(0..10) {
                0..5 => assert_eq!(plain.send_plain(message), fast.send_fast(message), "{context}"),
                5 => {
                    let [one, other] = [Prepared::new(message), Prepared::new(message)];
                    match fast.connection.send_prepared(&mut fast.shared, &one) {
                        Ok(()) if role == Role::Server => plain.append_plain(&other),
                        outcome => assert_eq!(plain.send_plain(message), outcome, "{context}"),
                    }
                }
                6 => {
                    let position = [Position::First, Position::Middle, Position::Last][random.random_range(0..3)];
                    let outcome = plain.connection.send_piece(&mut plain.shared, message, position);
                    assert_eq!(outcome, fast.connection.send_piece(&mut fast.shared, message, position), "{context}");
                }
                7 => {
                    plain.receive_plain(&frame(role, 0x89, b"ping"));
                    fast.receive_fast(&frame(role, 0x89, b"ping"), 150, LONGEST_RUN);
                }
                8 if random.random_range(0..20) == 0 => {
                    let end = |end: &mut End| end.connection.close(&mut end.shared, end.now, CloseCode::Away, "bye");
                    assert_eq!(end(&mut plain), end(&mut fast), "{context}");
                }
                _ => {
                    let most = if random.random() { usize::MAX } else { random.random_range(0..700) };
                    plain.take_plain(most);
                    fast.take_fast(most, [64 << 10, 100][random.random_range(0..2)]);
                }
            }
            assert_eq!(plain.seen(), fast.seen(), "{context}");
            assert_eq!(plain.connection.memory(), fast.connection.memory(), "{context}");
        }
        plain.flush();
        fast.flush();
        assert_eq!(plain.output, fast.output, "round {round}");
        assert_eq!(plain.shared.held(), fast.shared.held(), "round {round}");
    }
}

/// Frames that are appended over old contents of the buffer, and otherwise, leave in order, and
/// nothing of earlier frames is sent again.
#[test]
fn sending_never_repeats_old_contents() {
    let rounds = 3_000_u32;
    let (mut outbox, mut joined) = (outbox::Outbox::default(), Vec::new());
    let shared_frame = SharedBytes::new(OwnedMessage::Binary(vec![0xbb; 50]), &shared_bytes::Meter::default());
    let (mut expected, mut received) = (Vec::new(), Vec::new());
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..rounds {
        let frame = vec![round as u8; random.random_range(0..40)];
        let kind = random.random_range(0..8);
        match kind {
            0 => outbox.own().extend_from_slice(&frame),
            1 => outbox.append_shared(&shared_frame),
            _ => match outbox.own.overwrite(frame.len()) {
                Some(place) => place.copy_from_slice(&frame),
                None => outbox.own().extend_from_slice(&frame),
            },
        }
        expected.extend_from_slice(if kind == 1 { &shared_frame } else { &frame });
        let next = outbox.next(&mut joined);
        let count =
            if random.random_range(0..4) == 0 { next.len() } else { next.len().min(random.random_range(0..60)) };
        received.extend_from_slice(&next[..count]);
        outbox.advance(count);
        assert_eq!((outbox.len(), &expected[..received.len()]), (expected.len() - received.len(), &received[..]));
    }
    assert!(outbox.memory() < 20_000, "{}", outbox.memory());
}

#[test]
fn most_messages_take_the_fast_paths() {
    let mut end = End::open(Role::Server, Limits::default(), false);
    let text = frame(Role::Server, 0x81, b"usual");
    let mut buffer = [&text[..], &[0; 150]].concat();
    let single = end.connection.receive_single(&mut end.shared, end.now, &mut buffer, text.len());
    assert_eq!(single, Some(Message::Text("usual")));
    let mut bytes = text.repeat(40);
    let run = end.connection.receive_run(&end.shared, end.now, &mut Input::new(&mut bytes), LONGEST_RUN);
    let run = run.expect("a run");
    assert_eq!((run.opcode(), run.count()), (Opcode::Text, LONGEST_RUN));
    // The first message has to allocate.
    assert_eq!(end.send_plain(Message::Text("usual")), Ok(()));
    end.flush();
    assert!(end.connection.can_send_short(&end.shared, Message::Text("usual")));
    assert!(end.connection.send_short(&mut end.shared, Message::Text("usual")));
    assert_eq!(end.connection.simple_output(64 << 10), Some(&b"\x81\x05usual"[..]));
}
