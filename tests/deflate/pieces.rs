//! Compressed messages that are delivered in pieces as they arrive: of any size, in bounded memory.

use super::kit::*;
use super::{compress, each_cut, eager, offered, shared};
use lariat::protocol::time::Tick;
use lariat::protocol::{
    CloseReason, Connection, Deflater, Event, Inflater, Input, Limits, Position, ProtocolError, Shared, State,
};
use lariat::{CloseCode, Takeover};

/// The largest piece of a compressed message.
const PIECE: usize = 64 << 10;

/// Creates a connection with compression that delivers messages in pieces.
fn open(limits: Limits, takeover: Takeover) -> Talk {
    let shared = Shared::with_seed(limits, 0).with_deflate(Some(eager(takeover)));
    let (mut talk, response) = offered(shared, &["permessage-deflate"]);
    assert!(response.is_some());
    talk.connection.receive_in_pieces(true);
    talk
}

fn small() -> Limits {
    let mut limits = Limits::default();
    (limits.max_message, limits.max_fragments) = (1_000, 2);
    limits
}

/// Compresses messages that refer to the previous ones.
fn compress_all(messages: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut deflater = Deflater::new(6, 15);
    let compress = |message: &&[u8]| {
        let mut out = Vec::new();
        deflater.compress(message, &mut out);
        out
    };
    messages.iter().map(compress).collect()
}

/// A driver, and what it receives of a message: its bytes and the sizes of its pieces.
struct Driver {
    connection: Connection,
    shared: Shared,
    message: Vec<u8>,
    pieces: Vec<(usize, Position)>,
    most_memory: usize,
}

impl Driver {
    fn new(talk: Talk) -> Driver {
        let Talk { connection, shared, .. } = talk;
        Driver { connection, shared, message: Vec::new(), pieces: Vec::new(), most_memory: 0 }
    }

    /// Passes the bytes of one read to the connection.
    fn receive(&mut self, bytes: &[u8], keep: bool) {
        let mut buffer = bytes.to_vec();
        let mut input = Input::new(&mut buffer);
        while let Some(event) = self.connection.receive(&mut self.shared, Tick::default(), &mut input) {
            match event {
                Event::Piece(piece, position) => {
                    let bytes = piece.as_message().as_bytes();
                    assert!(bytes.len() <= PIECE, "a piece of {} bytes", bytes.len());
                    self.pieces.push((bytes.len(), position));
                    if keep {
                        self.message.extend_from_slice(bytes);
                    }
                    self.shared.recycle(piece);
                }
                other => panic!("{other:?}"),
            }
            self.most_memory = self.most_memory.max(self.connection.memory());
        }
        assert!(input.is_empty());
        self.most_memory = self.most_memory.max(self.connection.memory());
    }

    fn length(&self) -> usize {
        self.pieces.iter().map(|(length, _)| length).sum()
    }

    fn is_one_message(&self) -> bool {
        let positions: Vec<Position> = self.pieces.iter().map(|(_, position)| *position).collect();
        match &positions[..] {
            [Position::Whole] => true,
            [Position::First, middle @ .., Position::Last] => middle.iter().all(|middle| *middle == Position::Middle),
            _ => false,
        }
    }
}

/// Returns bytes that compression makes half as long.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b"0123456789abcdef"[(state >> 28) as usize]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn a_message_far_beyond_the_limit_is_delivered_in_pieces() {
    for takeover in [Takeover::Never, Takeover::Both] {
        for message in [noise(3 << 20), vec![0; 3 << 20], "κόσμε ".repeat(1 << 18).into_bytes()] {
            let compressed = compress(&message);
            for read in [1_000, 64 << 10, 16 << 20] {
                let mut driver = Driver::new(open(small(), takeover));
                let bytes = frame(FIN | RSV1 | BINARY, &compressed);
                bytes.chunks(read).for_each(|bytes| driver.receive(bytes, true));
                assert!(driver.is_one_message());
                assert!(driver.message == message, "the message differs, in reads of {read}");
                assert_eq!(driver.connection.memory(), 0, "an idle connection owns no buffer");
            }
        }
    }
}

/// A quarter of a gibibyte of zeros, in a quarter of a mebibyte.
#[test]
fn a_decompression_bomb_holds_no_more_than_a_piece() {
    const SIZE: usize = 1 << 28;
    let block = vec![0; 16 << 20];
    let mut deflater = Deflater::new(9, 15);
    let mut driver = Driver::new(open(small(), Takeover::Never));
    let mut opcode = RSV1 | BINARY;
    for number in 0..SIZE >> 24 {
        let mut compressed = Vec::new();
        deflater.compress(&block, &mut compressed);
        // All blocks but the last keep the end of their flush, so that they form one message.
        let is_last = number + 1 == SIZE >> 24;
        if !is_last {
            compressed.extend_from_slice(&[0, 0, 0xff, 0xff]);
        }
        let bytes = frame(if is_last { FIN | opcode } else { opcode }, &compressed);
        bytes.chunks(64 << 10).for_each(|bytes| driver.receive(bytes, false));
        opcode = CONTINUATION;
    }
    assert!(driver.is_one_message());
    assert_eq!(driver.length(), SIZE);
    assert!(driver.most_memory < Inflater::MEMORY + 2 * PIECE + 4_096, "{} bytes were held", driver.most_memory);
}

#[test]
fn a_message_is_the_same_for_any_cut() {
    each_cut(
        || open(small(), Takeover::Never),
        2,
        |talk| {
            talk.flush();
            assert_eq!(talk.connection.memory(), 0, "an idle connection owns no buffer");
        },
    );
}

#[test]
fn messages_of_every_kind_may_follow_one_another() {
    let messages: Vec<Vec<u8>> = [0, 1, 5, 200, 20_000, 70_000, 0, 3].map(noise).into();
    for takeover in [Takeover::Never, Takeover::Both] {
        let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let compressed = match takeover {
            Takeover::Never => slices.iter().map(compress).collect(),
            _ => compress_all(&slices),
        };
        let mut bytes = Vec::new();
        for (message, compressed) in messages.iter().zip(&compressed) {
            bytes.extend(frame(FIN | RSV1 | BINARY, compressed));
            // Uncompressed messages, and an empty one without its byte, do not change the context.
            bytes.extend(frame(FIN | BINARY, message));
            bytes.extend(frame(FIN | RSV1 | TEXT, ""));
        }
        let expected: Vec<Seen> = messages
            .iter()
            .flat_map(|message| [Seen::binary(message), Seen::binary(message), Seen::text("")])
            .collect();
        for read in [7, 1_000, 64 << 10, bytes.len()] {
            let mut talk = open(small(), takeover);
            bytes.chunks(read).for_each(|bytes| talk.receive(bytes));
            assert!(talk.seen == expected, "{takeover:?}, in reads of {read}");
        }
    }
}

/// All connections of a loop decompress complete messages with one decompressor. A message in
/// pieces has its own.
#[test]
fn other_connections_are_not_disturbed() {
    let mut shared = shared(eager(Takeover::Never));
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..4 {
        let (talk, _) = offered(shared, &["permessage-deflate"]);
        connections.push(talk.connection);
        shared = talk.shared;
    }
    connections[..2].iter_mut().for_each(|connection| connection.receive_in_pieces(true));
    let messages: Vec<Vec<u8>> = (0..4).map(|number| noise(30_000 + number)).collect();
    let frames: Vec<Vec<u8>> = messages.iter().map(|message| frame(FIN | RSV1 | BINARY, compress(message))).collect();
    let mut seen = vec![Vec::new(); 4];
    for start in (0..frames[0].len() + 2_000).step_by(500) {
        for (index, connection) in connections.iter_mut().enumerate() {
            let end = (start + 500).min(frames[index].len());
            let mut bytes = frames[index].get(start..end).unwrap_or_default().to_vec();
            let mut input = Input::new(&mut bytes);
            while let Some(event) = connection.receive(&mut shared, Tick::default(), &mut input) {
                match event {
                    Event::Piece(message, _) | Event::Gathered(message) => {
                        seen[index].extend_from_slice(message.as_message().as_bytes());
                        shared.recycle(message);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(seen == messages);
}

#[test]
fn invalid_data_is_detected_as_it_arrives() {
    let text = compress("Hello, this is text");
    let bad_text = compress(b"this is \xff no text");
    let cut_text = compress(&"κόσμε".as_bytes()[..5]);
    let half = &text[..text.len() / 2];
    for takeover in [Takeover::Never, Takeover::Both] {
        for (name, bytes, error) in [
            ("not deflate", frame(FIN | RSV1 | TEXT, [0x07, 0xff, 0xff]), ProtocolError::InvalidDeflate),
            ("its end is missing", frame(FIN | RSV1 | BINARY, half), ProtocolError::InvalidDeflate),
            ("no text", frame(FIN | RSV1 | TEXT, &bad_text), ProtocolError::InvalidUtf8),
            ("half a character", frame(FIN | RSV1 | TEXT, &cut_text), ProtocolError::InvalidUtf8),
            (
                "no continuation",
                [frame(RSV1 | TEXT, half), frame(FIN | TEXT, "x")].concat(),
                ProtocolError::UnfinishedMessage,
            ),
            (
                "RSV1 in a continuation",
                [frame(RSV1 | TEXT, half), frame(FIN | RSV1 | CONTINUATION, "x")].concat(),
                ProtocolError::ReservedBits,
            ),
        ] {
            for read in [1, bytes.len()] {
                let mut driver = Driver::new(open(Limits::default(), takeover));
                bytes.chunks(read).for_each(|bytes| driver.receive(bytes, true));
                assert_eq!(driver.connection.state(), State::Draining, "{name}");
                driver.connection.end(&mut driver.shared, CloseReason::Eof);
                assert_eq!(driver.connection.take_close_reason(), Some(CloseReason::Protocol(error)), "{name}");
                assert!(driver.pieces.iter().all(|(_, position)| !position.ends()), "{name}");
                assert_eq!(driver.connection.memory(), 0, "{name}");
            }
        }
    }
}

/// The held bytes are freed from the budget wherever the message breaks off.
#[test]
fn a_message_that_breaks_off_leaves_nothing_behind() {
    let bytes = frame(FIN | RSV1 | BINARY, compress(noise(100_000)));
    for cut in (1..bytes.len()).step_by(997) {
        let mut driver = Driver::new(open(Limits::default(), Takeover::Never));
        driver.receive(&bytes[..cut], false);
        assert!(driver.shared.held() >= driver.connection.memory());
        driver.connection.end(&mut driver.shared, CloseReason::Eof);
        driver.shared.review_budget();
        assert_eq!(driver.shared.held(), driver.shared.memory(), "cut at {cut}");
    }
}

/// "From its next message on."
#[test]
fn receive_in_pieces_does_not_affect_the_current_message() {
    let (first, second) = (noise(900), noise(30_000));
    let bytes = frame(FIN | RSV1 | BINARY, compress(&first));
    for cut in [1, 3, 7, 100] {
        let (mut talk, _) = offered(shared(eager(Takeover::Never)), &["permessage-deflate"]);
        talk.receive(&bytes[..cut]);
        talk.connection.receive_in_pieces(true);
        talk.receive(&bytes[cut..]);
        talk.receive(&frame(FIN | RSV1 | BINARY, compress(&second)));
        assert_eq!(talk.seen, [Seen::binary(&first), Seen::binary(&second)], "cut at {cut}");
    }
}

/// After our Close nothing is delivered, but the peer's messages must still be valid.
#[test]
fn nothing_is_delivered_after_our_close() {
    let bytes = frame(FIN | RSV1 | TEXT, compress("x".repeat(100_000)));
    let mut driver = Driver::new(open(Limits::default(), Takeover::Never));
    driver.receive(&bytes[..20], true);
    let before = driver.pieces.len();
    driver.connection.close(&mut driver.shared, Tick::default(), CloseCode::Normal, "").expect("it is open");
    driver.receive(&bytes[20..], true);
    driver.receive(&bytes, true);
    assert_eq!((driver.pieces.len(), driver.connection.state()), (before, State::Closing));
    driver.receive(&frame(FIN | RSV1 | TEXT, compress(b"\xff")), true);
    assert_eq!(driver.connection.state(), State::Draining);
}

/// A trace contains the bytes of a frame once, as they arrived.
#[test]
fn a_trace_contains_each_byte_once() {
    let bytes = frame(FIN | RSV1 | BINARY, compress(vec![0; 1 << 20]));
    for read in [10, 300, bytes.len()] {
        let mut driver = Driver::new(open(Limits::default(), Takeover::Never));
        driver.connection.trace(Some(1));
        bytes.chunks(read).for_each(|bytes| driver.receive(bytes, false));
        let payloads = driver.shared.take_traces().into_iter().filter_map(|(_, trace)| match trace {
            lariat::Trace::Frame { payload, .. } | lariat::Trace::Payload { payload } => Some(payload),
            _ => None,
        });
        let header = bytes.len() - payload_length(&bytes);
        assert!(payloads.flatten().eq(bytes[header..].iter().copied()), "in reads of {read}");
    }
}

fn payload_length(frame: &[u8]) -> usize {
    match frame[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes([frame[2], frame[3]])),
        127 => u64::from_be_bytes(frame[2..10].try_into().expect("eight bytes")) as usize,
        length => usize::from(length),
    }
}

/// The peer is a server that compresses: we receive as a client.
#[test]
fn a_client_also_receives_in_pieces() {
    let message = noise(50_000);
    let opening = lariat::protocol::Opening::parse("ws://server.example.com/chat").expect("a URL").0;
    let mut talk = Talk::connect(shared(eager(Takeover::Never)), Tick::default(), &opening);
    let response = response(
        &accept(&talk.output),
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
    );
    talk.receive(&response);
    assert_eq!(talk.state(), State::Open);
    talk.seen.clear();
    talk.connection.receive_in_pieces(true);
    for bytes in unmasked_frame(FIN | RSV1 | BINARY, compress(&message)).chunks(777) {
        talk.receive(bytes);
    }
    assert_eq!(talk.seen, [Seen::binary(&message)]);
}
