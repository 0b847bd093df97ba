//! Traces: the events of a connection, as they happen.

use crate::common::{Wire, close, ping, serve_made, serve_with, text};
use lariat::{Answer, ClientId, Clients, Config, Handler, Message, Request, Router, Side, Trace};
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
fn the_trace_has_every_frame_and_every_state() {
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
        let (_, trace) = story.recv_timeout(crate::common::WAIT).expect("the trace continues");
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
fn the_traced_bytes_are_those_on_the_wire() {
    let (sender, story) = channel();
    let server = serve_with(Config::default(), Traced(sender, true));
    let mut wire = Wire::open(server.addr);
    wire.expect_open_echo();
    let bytes = text("mask me");
    let (_, state) = story.recv_timeout(crate::common::WAIT).expect("the trace continues");
    let Trace::Frame { side: Side::Peer, header, payload } = &state else { panic!("{state:?}") };
    assert_eq!([&header.to_bytes()[..], payload].concat(), bytes);
    assert_eq!(state.unmasked().as_deref(), Some(&b"mask me"[..]));
    // A violation is also part of the trace.
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

/// Traces clients that request a path with `?watched`, on any route.
struct Watching(Router<()>);

impl Handler for Watching {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        self.0.on_start(clients);
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        for route in ["/one", "/other"] {
            if request.query().is_some_and(|query| query.contains(route)) {
                clients.on_route(route, |clients| clients.trace(id));
            }
        }
        self.0.on_request(clients, id, request)
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.0.on_message(clients, id, message);
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        self.0.on_trace(clients, id, trace);
    }
}

/// Stops tracing after a given event.
struct Until(Sender<(ClientId, Trace)>, &'static str);

impl Handler for Until {
    type Data = ();

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        let _ = self.0.send((id, trace.clone()));
        if trace.to_string().contains(self.1) {
            clients.untrace(id);
        }
    }
}

#[test]
fn a_trace_begins_with_the_request_and_goes_to_the_handler_that_requested_it() {
    let ((sender, one), (other_sender, other), (own_sender, own)) = (channel(), channel(), channel());
    let server = serve_made(move || {
        let router = Router::new()
            .route("/one", Until(sender, "\"enough\""))
            .route("/other", Until(other_sender, "\"never\""))
            .route("/echo", Traced(own_sender, false));
        Watching(router)
    });
    Wire::open_at(server.addr, "/echo").echo("nobody listens");
    let mut wire = Wire::open_at(server.addr, "/echo?/one&/other");
    wire.echo("enough");
    wire.echo("more");
    wire.send(&close(1000, ""));
    wire.expect_close(1000);
    drop(wire);
    let until = |story: &std::sync::mpsc::Receiver<(ClientId, Trace)>, last: &str| {
        let mut told = Vec::new();
        while told.last().is_none_or(|line: &String| !line.contains(last)) {
            told.push(story.recv_timeout(crate::common::WAIT).expect("the trace continues").1.to_string());
        }
        told
    };
    let all = until(&other, "-> CLOSED");
    assert_eq!(
        all[..4],
        [
            "< GET /echo?/one&/other HTTP/1.1",
            "> HTTP/1.1 101 Switching Protocols",
            "= DECIDING -> OPEN",
            "< TEXT \"enough\" [6 bytes, masked]",
        ]
    );
    assert_eq!(until(&one, "\"enough\""), all[..4]);
    assert_eq!(
        (one.try_iter().count(), own.try_iter().count()),
        (0, 0),
        "a tracer that has stopped, and a client that is not traced"
    );
}
