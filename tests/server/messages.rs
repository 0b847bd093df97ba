//! Messages as literal bytes on real sockets.

use crate::common::{Wire, binary, close, echo_script, frame, ping, request, serve, text};
use std::net::SocketAddr;

#[test]
fn messages_with_every_header_length_are_echoed() {
    let server = serve(echo_script().0);
    let mut wire = Wire::open(server.addr);
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let payload: Vec<u8> = (0..length).map(|i: usize| (i % 251) as u8).collect();
        wire.send(&binary(&payload));
        wire.expect(0x82, &payload);
        let payload = "e\u{301}\u{1f980}".repeat(length / 7);
        wire.send(&text(&payload));
        wire.expect(0x81, payload.as_bytes());
    }
}

#[test]
fn a_ping_between_fragments_is_answered_at_once() {
    let server = serve(echo_script().0);
    let mut wire = Wire::open(server.addr);
    wire.send(&frame(0x01, b"Hel"));
    wire.send(&ping(b"between"));
    wire.expect(0x8a, b"between");
    wire.send(&frame(0x00, b""));
    wire.send(&frame(0x80, b"lo"));
    wire.expect(0x81, b"Hello");
}

#[test]
fn pipelined_messages_are_echoed_in_order() {
    let server = serve(echo_script().0);
    let mut wire = Wire::open(server.addr);
    let messages: Vec<String> = (0..1_000).map(|number| format!("message {number}")).collect();
    wire.send(&messages.iter().flat_map(|message| text(message)).collect::<Vec<u8>>());
    for message in &messages {
        wire.expect_text(message);
    }
}

/// Far more data than may wait for a client: it is paused and resumed repeatedly.
#[test]
fn a_stream_of_large_messages_is_echoed_in_order() {
    const COUNT: u32 = 150;
    let payload = |number: u32| number.to_be_bytes().repeat(16 << 10);
    let server = serve(echo_script().0);
    let mut wire = Wire::open(server.addr);
    let mut writer = Wire::new(wire.stream.get_ref().try_clone().expect("a second handle"));
    std::thread::scope(|scope| {
        scope.spawn(move || (0..COUNT).for_each(|number| writer.send(&binary(&payload(number)))));
        for number in 0..COUNT {
            wire.expect(0x82, &payload(number));
        }
    });
}

#[test]
fn frames_behind_the_request_are_not_lost() {
    let server = serve(echo_script().0);
    let mut wire = Wire::connect(server.addr);
    wire.send(&[request("/").into_bytes(), text("early"), ping(b"bird"), text("late")[..7].to_vec()].concat());
    assert_eq!(wire.response().status(), 101);
    wire.expect_text("early");
    wire.expect(0x8a, b"bird");
    wire.send(&text("late")[7..]);
    wire.expect_text("late");
}

#[test]
fn bytes_may_arrive_one_at_a_time() {
    let server = serve(echo_script().0);
    let mut wire = Wire::connect(server.addr);
    let bytes = [
        request("/").into_bytes(),
        text("h\u{e9}llo \u{1f980}"),
        frame(0x02, b"two "),
        ping(b"!"),
        frame(0x80, b"pieces"),
        binary(&[7; 300]),
        close(1000, "bye"),
    ]
    .concat();
    for byte in bytes {
        wire.send(&[byte]);
    }
    assert_eq!(wire.response().status(), 101);
    wire.expect_text("h\u{e9}llo \u{1f980}");
    wire.expect(0x8a, b"!");
    wire.expect(0x82, b"two pieces");
    wire.expect(0x82, &[7; 300]);
    assert_eq!(wire.expect_close(1000), "bye");
    wire.expect_end();
}

/// Sends bytes on an open connection and returns the code of the Close that follows.
fn violate(addr: SocketAddr, bytes: &[u8]) -> u16 {
    let mut wire = Wire::open(addr);
    wire.send(bytes);
    let frame = wire.frame();
    assert_eq!(frame.first, 0x88);
    wire.expect_end();
    u16::from_be_bytes([frame.payload[0], frame.payload[1]])
}

#[test]
fn the_peer_gets_a_close_frame_after_a_violation() {
    let server = serve(echo_script().0);
    let mut bystander = Wire::open(server.addr);
    assert_eq!(violate(server.addr, b"\x81\x02hi"), 1002, "not masked");
    assert_eq!(violate(server.addr, &frame(0xc1, b"hi")), 1002, "RSV1");
    assert_eq!(violate(server.addr, &frame(0x83, b"hi")), 1002, "opcode 3");
    assert_eq!(violate(server.addr, &frame(0x80, b"hi")), 1002, "a continuation without a message");
    assert_eq!(violate(server.addr, &frame(0x81, b"\xff")), 1007, "not UTF-8");
    assert_eq!(violate(server.addr, b"\x82\xff\x00\x00\x00\x00\x40\x00\x00\x00abcd"), 1009, "a gigabyte");
    // Bytes that the peer sent after the violation must not turn our Close into a reset.
    let trailing = [frame(0xc1, b"hi"), binary(&[0; 100_000])].concat();
    assert_eq!(violate(server.addr, &trailing), 1002);
    bystander.echo("still here");
}
