//! The story of a connection, as it happens.

use crate::common::{Wire, close, ping, serve_with, text};
use lariat::{ClientId, Clients, Config, Handler, Message, Side, Trace};
use std::sync::mpsc::{Sender, channel};

struct Traced(Sender<(ClientId, Trace)>, bool);

impl Handler for Traced {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        if self.1 {
            assert!(clients.trace(id));
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_trace(&mut self, _: &mut Clients<()>, id: ClientId, trace: &Trace) {
        let _ = self.0.send((id, trace.clone()));
    }
}

#[test]
fn the_story_has_every_frame_and_every_state() {
    let (sender, story) = channel();
    let server = serve_with(Config::default(), Traced(sender, false));
    server.ask(|clients| clients.trace_all());
    let mut wire = Wire::open(server.addr);
    wire.send(&[text("hi"), ping(b"?"), close(1000, "bye")].concat());
    wire.expect_text("hi");
    wire.expect(0x8a, b"?");
    assert_eq!(wire.expect_close(1000), "bye");
    drop(wire);
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| !last.ends_with("-> CLOSED")) {
        let (_, trace) = story.recv_timeout(crate::common::WAIT).expect("the story goes on");
        told.push(trace.to_string());
    }
    assert_eq!(
        told,
        [
            "< GET / HTTP/1.1",
            "= HANDSHAKING -> DECIDING",
            "> HTTP/1.1 101 Switching Protocols",
            "= DECIDING -> OPEN",
            "< TEXT \"hi\" [2 bytes, masked]",
            "> TEXT \"hi\" [2 bytes]",
            "< PING [1 bytes, masked]",
            "> PONG [1 bytes]",
            "< CLOSE [5 bytes, masked]",
            "> CLOSE [5 bytes]",
            "= OPEN -> DRAINING",
            "= DRAINING -> CLOSED",
        ]
    );
}

#[test]
fn the_bytes_are_those_of_the_wire() {
    let (sender, story) = channel();
    let server = serve_with(Config::default(), Traced(sender, true));
    let mut wire = Wire::open(server.addr);
    wire.expect_open_echo();
    let bytes = text("mask me");
    let (_, state) = story.recv_timeout(crate::common::WAIT).expect("the story goes on");
    let Trace::Frame { side: Side::Peer, header, payload } = &state else { panic!("{state:?}") };
    assert_eq!([&header.to_bytes()[..], payload].concat(), bytes);
    assert_eq!(state.unmasked().as_deref(), Some(&b"mask me"[..]));
    // A violation is part of the story, too.
    wire.send(&[0x83, 0x80]);
    wire.expect_close(1002);
    let told: Vec<String> = story.iter().take(3).map(|(_, trace)| trace.to_string()).collect();
    assert_eq!(told[1], "! reserved opcode 0x3 (RFC 6455 section 5.2)", "{told:?}");
}

impl Wire {
    fn expect_open_echo(&mut self) {
        self.send(&text("mask me"));
        self.expect_text("mask me");
    }
}
