//! Several short messages in one read are handled as a run, with the same result as one by one.

use crate::common::{Wire, binary, echo_script, frame, ping, script, serve, text};
use lariat::{ClientId, Clients, CloseCode, Handler, Message, Position};

/// More messages than one run may have.
const MANY: usize = 70;

#[test]
fn invalid_text_fails_the_connection_after_the_messages_before_it() {
    let server = serve(echo_script().0);
    let bad: [&[u8]; 5] = [b"\xff", b"good until \xc3", b"\xa4 is no beginning", b"\xed\xa0\x80", b"a\xe2\x82"];
    for (place, bad) in (0..MANY).flat_map(|place| bad.map(|bad| (place, bad))) {
        let mut wire = Wire::open(server.addr);
        // The text that follows would complete the cut character.
        let mut bytes: Vec<u8> = (0..place).flat_map(|number| text(&format!("€ {number}"))).collect();
        bytes.extend([frame(0x81, bad), frame(0x81, b"\xac"), text("never")].concat());
        wire.send(&bytes);
        (0..place).for_each(|number| wire.expect_text(&format!("€ {number}")));
        wire.expect_close(1007);
    }
}

#[test]
fn a_character_cut_by_the_end_of_a_message_is_invalid() {
    let server = serve(echo_script().0);
    for cut in 1.."€".len() {
        let mut wire = Wire::open(server.addr);
        let (head, tail) = "€".as_bytes().split_at(cut);
        wire.send(&[text("before"), frame(0x81, head), frame(0x81, tail), text("behind")].concat());
        wire.expect_text("before");
        wire.expect_close(1007);
    }
}

#[test]
fn messages_of_different_types_and_lengths_are_echoed() {
    let server = serve(echo_script().0);
    let mut wire = Wire::open(server.addr);
    let lengths = [0, 1, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 63, 64, 65, 124, 125, 126, 300];
    let payload = |number: usize| "x€y".repeat(99)[..lengths[number % lengths.len()] / 5 * 5].to_owned();
    let bytes = (0..2_000).flat_map(|number| match number % 11 {
        3 => binary(payload(number).as_bytes()),
        6 => ping(b"between"),
        8 => [frame(0x01, b"fr"), frame(0x80, b"agment")].concat(),
        _ => text(&payload(number)),
    });
    wire.send(&bytes.collect::<Vec<u8>>());
    for number in 0..2_000 {
        match number % 11 {
            3 => wire.expect(0x82, payload(number).as_bytes()),
            6 => wire.expect(0x8a, b"between"),
            8 => wire.expect_text("fragment"),
            _ => wire.expect_text(&payload(number)),
        }
    }
}

#[test]
fn a_client_closed_within_a_run_gets_no_more_messages() {
    let (script, _calls) = script();
    let server = serve(script.on_message(|clients, id, message| match message.as_text() {
        Some("stop") => clients.close(id, CloseCode::Normal, "as you like").expect("it is open"),
        Some("panic") => panic!("on purpose"),
        _ => clients.send(id, message).expect("it is open"),
    }));
    for (word, code) in [("stop", 1000), ("panic", 1011)] {
        let mut wire = Wire::open(server.addr);
        wire.send(&[text("one"), text("two"), text(word), text("three"), frame(0x81, b"\xff")].concat());
        wire.expect_text("one");
        wire.expect_text("two");
        wire.expect_close(code);
    }
    let counts = server.ask(|clients| clients.stats().received);
    assert_eq!(counts.text.messages, 6, "messages after the Close do not count");
}

/// Wants the next message in pieces.
struct Switches;

impl Handler for Switches {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        clients.receive_in_pieces(id);
        clients.send(id, message).expect("it is open");
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        let said = format!("{position:?} {}", piece.as_text().expect("text"));
        clients.send(id, &said).expect("it is open");
    }
}

#[test]
fn receive_in_pieces_applies_to_the_next_message_of_the_same_run() {
    let server = serve(Switches);
    let mut wire = Wire::open(server.addr);
    wire.send(&[text("one"), text("two"), text("three")].concat());
    wire.expect_text("one");
    wire.expect_text("Whole two");
    wire.expect_text("Whole three");
}
