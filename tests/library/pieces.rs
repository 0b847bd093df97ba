//! Messages that are too large for memory.

use crate::common::{Wire, frame, serve_made, serve_with};
use lariat::{ClientId, Clients, CloseReason, Config, Handler, Message, Position, SendError};
use std::io::Write;
use std::sync::mpsc::{Sender, channel};

/// Echoes each message in the pieces in which it arrives, and reports them.
struct Through(Sender<(Vec<u8>, bool, Position)>);

impl Handler for Through {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.receive_in_pieces(id);
    }

    fn on_message(&mut self, _: &mut Clients<()>, _: ClientId, _: Message<'_>) {
        panic!("messages come in pieces");
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        let is_text = piece.as_text().is_some();
        let _ = self.0.send((piece.as_bytes().to_vec(), is_text, position));
        let _ = clients.send_piece(id, piece, position);
    }
}

#[test]
fn a_message_far_beyond_the_limit_is_echoed_in_bounded_memory() {
    const SIZE: u64 = 64 << 20;
    struct Count(u64, u64);
    impl Handler for Count {
        type Data = ();
        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            clients.receive_in_pieces(id);
        }
        fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
            let bytes = piece.as_bytes();
            assert!(bytes.len() <= 64 << 10, "a piece is at most one read");
            self.0 += bytes.len() as u64;
            self.1 = bytes.iter().fold(self.1, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            if position.ends() {
                let _ = clients.send(id, format!("{} {}", self.0, self.1).as_str());
            }
        }
    }
    let server = serve_made(|| Count(0, 0));
    let mut wire = Wire::open(server.addr);
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&SIZE.to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    wire.send(&header);
    let block: Vec<u8> = (0..1_u32 << 20).map(|i| (i ^ (i >> 8)) as u8).collect();
    let mut sum = 0_u64;
    for _ in 0..SIZE >> 20 {
        wire.stream.get_mut().write_all(&block).expect("the server reads");
        sum = block.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
    wire.expect_text(&format!("{SIZE} {sum}"));
}

#[test]
fn pieces_form_the_message_and_text_is_cut_between_characters() {
    let (sender, receiver) = channel();
    let server = serve_with(Config::default(), Through(sender));
    let text = "aé€😀".repeat(1_000);
    let bytes = frame(0x81, text.as_bytes());
    let mut wire = Wire::open(server.addr);
    for chunk in bytes.chunks(777) {
        wire.send(chunk);
    }
    let (mut received, mut sent_back) = (String::new(), Vec::new());
    loop {
        let (piece, is_text, position) = receiver.recv_timeout(crate::common::WAIT).expect("a piece");
        assert!(is_text);
        assert_eq!(position.begins(), received.is_empty());
        received += std::str::from_utf8(&piece).expect("whole characters");
        if position.ends() {
            break;
        }
    }
    assert_eq!(received, text);
    loop {
        let frame = wire.frame();
        assert_eq!(frame.first & 0x0f, if sent_back.is_empty() { 1 } else { 0 });
        sent_back.extend_from_slice(&frame.payload);
        if frame.first & 0x80 != 0 {
            break;
        }
    }
    assert_eq!(sent_back, text.as_bytes());
    // Fragments, the empty message, and a message in one piece.
    wire.send(&[frame(0x02, b"ab"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"c")].concat());
    let mut pieces = Vec::new();
    while pieces.last().is_none_or(|(_, _, position): &(Vec<u8>, bool, Position)| !position.ends()) {
        pieces.push(receiver.recv_timeout(crate::common::WAIT).expect("a piece"));
    }
    assert_eq!(pieces.iter().flat_map(|(piece, _, _)| piece.clone()).collect::<Vec<u8>>(), b"abc");
    wire.send(&frame(0x81, b""));
    let piece = receiver.recv_timeout(crate::common::WAIT).expect("a piece");
    assert_eq!(piece, (Vec::new(), true, Position::Whole));
}

#[test]
fn invalid_text_in_a_piece_is_detected() {
    let (sender, _receiver) = channel();
    let server = serve_with(Config::default(), Through(sender));
    for (first, second) in [(&b"ok\xff"[..], None), (&b"ok\xe2\x82"[..], Some(&b""[..]))] {
        let mut wire = Wire::open(server.addr);
        wire.send(&frame(0x01, first));
        if let Some(second) = second {
            wire.send(&frame(0x80, second));
        }
        loop {
            let frame = wire.frame();
            if frame.first == 0x88 {
                assert_eq!(frame.payload[..2], 1007_u16.to_be_bytes());
                break;
            }
        }
    }
}

#[test]
fn no_other_message_is_sent_between_the_pieces_of_a_message() {
    struct Sender2;
    impl Handler for Sender2 {
        type Data = ();
        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            assert_eq!(clients.send_piece(id, "x", Position::Middle), Err(SendError::Unfinished));
            clients.send_piece(id, "one ", Position::First).expect("it is open");
            assert_eq!(clients.send(id, "no"), Err(SendError::Unfinished));
            assert_eq!(clients.broadcast("no"), 0);
            assert_eq!(clients.send_piece(id, "no", Position::First), Err(SendError::Unfinished));
            clients.ping(id, b"yes").expect("control frames may");
            clients.send_piece(id, "two", Position::Last).expect("the message continues");
            clients.send_piece(id, "three", Position::Whole).expect("it is open");
            clients.send(id, "four").expect("it is open");
        }
        fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, _: &CloseReason) {}
    }
    let server = serve_made(|| Sender2);
    let mut wire = Wire::open(server.addr);
    wire.expect(0x01, b"one ");
    wire.expect(0x89, b"yes");
    wire.expect(0x80, b"two");
    wire.expect_text("three");
    wire.expect_text("four");
}
