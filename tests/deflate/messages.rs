//! §6 and §7.2: compressed messages, sent and received.

use super::kit::*;
use super::{compress, compressed_text, decompress, deflate, each_cut, eager, offered, open, shared};
use lariat::protocol::{Connection, Event, Input, Limits, Message, Position};
use lariat::{Deflate, Takeover};

/// The examples of RFC 7692 §7.2.3, masked as a client sends them.
#[test]
fn the_examples_of_rfc_7692_7_2_3_are_decompressed() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let (text, rest) = (FIN | RSV1 | TEXT, FIN | CONTINUATION);
    let table: [(&str, Vec<u8>); 7] = [
        ("one block", frame(text, hello)),
        ("in two frames", [frame(RSV1 | TEXT, &hello[..3]), frame(rest, &hello[3..])].concat()),
        ("in three, with nothing in the last", {
            [frame(RSV1 | TEXT, &hello[..3]), frame(CONTINUATION, &hello[3..]), frame(rest, "")].concat()
        }),
        ("a stored block", frame(text, [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00])),
        ("BFINAL", frame(text, [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])),
        ("two blocks", frame(text, [0xf2, 0x48, 5, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00])),
        ("not compressed", frame(FIN | TEXT, "Hello")),
    ];
    for (name, bytes) in &table {
        for size in 1..=bytes.len() {
            let mut talk = open(Limits::default());
            bytes.chunks(size).for_each(|piece| talk.receive(piece));
            assert_eq!(talk.seen, [Seen::text("Hello")], "{name} in pieces of {size}");
            assert_eq!(talk.connection.memory(), 0, "an idle connection owns no buffer");
        }
    }
    // One after another on the same connection, with empty messages between them.
    let mut talk = open(Limits::default());
    for (_, bytes) in &table {
        talk.receive(&[bytes, &frame(text, [0x00])[..], &frame(text, "")].concat());
    }
    for seen in talk.seen.chunks(3) {
        assert_eq!(seen, [Seen::text("Hello"), Seen::text(""), Seen::text("")]);
    }
    assert_eq!(talk.seen.len(), 3 * table.len());
}

#[test]
fn with_takeover_a_message_may_refer_to_the_previous_one() {
    let (mut talk, _) = offered(shared(eager(Takeover::Received)), &["permessage-deflate"]);
    talk.receive(&frame(FIN | RSV1 | TEXT, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
    talk.receive(&frame(FIN | RSV1 | TEXT, [0xf2, 0x00, 0x11, 0x00, 0x00]));
    assert_eq!(talk.seen, [Seen::text("Hello"), Seen::text("Hello")]);
}

#[test]
fn fragments_of_a_compressed_message_may_be_cut_anywhere() {
    each_cut(|| open(Limits::default()), 1, |_| {});
}

/// Returns the frame that a server sends for a message.
fn sent(deflate: Deflate, message: Message<'_>) -> (u8, Vec<u8>) {
    let (mut talk, _) = offered(shared(deflate), &["permessage-deflate"]);
    talk.connection.send(&mut talk.shared, message).expect("open");
    match &talk.flushed()[..] {
        [Sent::Frame(first, payload)] => (*first, payload.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn short_or_incompressible_messages_are_sent_uncompressed() {
    let long = "abc".repeat(1_000);
    for (length, is_compressed) in [(0, false), (100, false), (1_023, false), (1_024, true), (3_000, true)] {
        let (first, payload) = sent(Deflate::default(), Message::Text(&long[..length]));
        if is_compressed {
            assert_eq!(first, FIN | RSV1 | TEXT);
            assert!(payload.len() < 100);
            assert_eq!(decompress(&payload), long.as_bytes()[..length]);
        } else {
            assert_eq!((first, payload), (FIN | TEXT, long.as_bytes()[..length].to_vec()));
        }
    }
    let noise: Vec<u8> = (0..5_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (first, payload) = sent(deflate(|deflate| deflate.threshold = 0), Message::Binary(&noise));
    assert_eq!(first & RSV1 != 0, payload.len() < noise.len());
    assert_eq!(sent(eager(Takeover::Never), Message::Binary(b"xyz")), (FIN | BINARY, b"xyz".to_vec()));
    assert_eq!(sent(eager(Takeover::Both), Message::Binary(b"")), (FIN | BINARY, Vec::new()));
    let level_0 = deflate(|deflate| deflate.level = 0);
    assert_eq!(sent(level_0, Message::Text(&long)), (FIN | TEXT, long.clone().into_bytes()));
}

#[test]
fn compressed_messages_are_delivered_in_pieces_like_all_others() {
    let mut talk = open(Limits::default());
    talk.connection.receive_in_pieces(true);
    let compressed = compress("abc".repeat(100));
    let mut bytes = [
        frame(RSV1 | TEXT, &compressed[..3]),
        frame(FIN | CONTINUATION, &compressed[3..]),
        compressed_text("whole"),
        frame(TEXT, "not "),
        frame(FIN | CONTINUATION, "compressed"),
    ]
    .concat();
    let mut input = Input::new(&mut bytes);
    let mut pieces = Vec::new();
    while let Some(event) = Connection::receive(&mut talk.connection, &mut talk.shared, talk.now, &mut input) {
        match event {
            Event::Piece(piece, position) => {
                pieces.push((piece.as_message().as_text().map(str::to_owned), position));
            }
            other => panic!("{other:?}"),
        }
    }
    // Messages that were compressed are delivered as they arrive, like all others.
    let of = |position: Position| pieces.iter().filter(move |(_, found)| *found == position);
    let text = |pieces: &[(Option<String>, Position)]| -> String {
        pieces.iter().map(|(text, _)| text.as_deref().expect("text")).collect()
    };
    let whole = pieces.iter().position(|(_, position)| *position == Position::Whole).expect("one is whole");
    assert_eq!(text(&pieces[..whole]), "abc".repeat(100));
    assert_eq!(text(&pieces[whole..=whole]), "whole");
    assert_eq!(text(&pieces[whole + 1..]), "not compressed");
    assert_eq!((of(Position::First).count(), of(Position::Whole).count(), of(Position::Last).count()), (2, 1, 2));
}
