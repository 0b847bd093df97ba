//! Traces of secured connections begin with what was agreed.

use crate::common::{WAIT, Wire, echo_script, request, run, serve};
use crate::kit::{Secured, VERSIONS, client_config, client_tls, connect_to, open, open_with, server, server_tls};
use lariat::tls::rustls::ClientConfig;
use lariat::{Answer, ClientId, Clients, Config, ConnectOptions, Handler, Request, Trace, Upgrade};
use std::sync::mpsc::{Receiver, Sender, channel};

/// When the handler begins to trace.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// When it is told to.
    Told,
    Request,
}

struct Tracer(Sender<Trace>, Sender<ClientId>, When);

impl Handler for Tracer {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        if self.2 == When::Request {
            // The second call changes nothing.
            assert!(clients.trace(id) && clients.trace(id));
        }
        Answer::Upgrade(Upgrade::new())
    }

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        let _ = self.1.send(id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: lariat::Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        if let Trace::Secured(info) = trace {
            assert_eq!(clients.tls(id), Some(&**info));
            assert_eq!(trace.unmasked(), None);
        }
        let _ = self.0.send(trace.clone());
    }
}

fn tracer(when: When) -> (Tracer, Receiver<Trace>, Receiver<ClientId>) {
    let ((traces, story), (ids, opened)) = (channel(), channel());
    (Tracer(traces, ids, when), story, opened)
}

/// The next steps of a trace. What was agreed is given without its cipher.
fn next(story: &Receiver<Trace>, count: usize) -> Vec<String> {
    let step = |_| match story.recv_timeout(WAIT).expect("the trace continues") {
        Trace::Secured(info) => {
            let is_strong = ["AES_128", "AES_256", "CHACHA20"].iter().any(|name| info.cipher.contains(name));
            assert!(is_strong, "{}", info.cipher);
            Trace::Secured(info.clone()).to_string().replace(info.cipher, "CIPHER")
        }
        step => step.to_string(),
    };
    (0..count).map(step).collect()
}

/// Skips the rest of a connection. It has no second handshake.
fn skip_to_the_end(story: &Receiver<Trace>) {
    loop {
        let step = next(story, 1).remove(0);
        assert!(!step.starts_with("= TLS"), "{step}");
        if step.ends_with("-> CLOSED") {
            return;
        }
    }
}

/// Talks and leaves. The client has read a ticket for the next time.
fn visit(mut wire: Wire<Secured>) {
    wire.echo("hi");
}

/// Both versions, each with a full handshake and then with a resumed one.
fn configs() -> impl Iterator<Item = (&'static str, &'static str, ClientConfig)> {
    VERSIONS.into_iter().zip(["TLS 1.2", "TLS 1.3"]).flat_map(|(version, name)| {
        let config = client_config(&[version]);
        [(name, "full", config.clone()), (name, "resumed", config)]
    })
}

#[test]
fn a_trace_from_the_beginning_has_the_handshake_before_the_request() {
    let (handler, story, _) = tracer(When::Told);
    let server = run(server(Config::default(), server_tls()), handler);
    server.ask(|clients| clients.trace_all());
    for (version, how, config) in configs() {
        visit(open_with(server.addr, config));
        let secured = format!("= {version} CIPHER, {how}, for localhost");
        assert_eq!(next(&story, 3), [secured.as_str(), "< GET / HTTP/1.1", "= HANDSHAKING -> DECIDING"]);
        skip_to_the_end(&story);
    }
    let stats = server.ask(|clients| clients.stats());
    let counted: Vec<_> =
        stats.tls_handshakes.iter().map(|((version, _, resumed), n)| (*version, *resumed, *n)).collect();
    let expected = ["TLS 1.2", "TLS 1.3"].map(|version| [(version, false, 1), (version, true, 1)]);
    assert_eq!(counted, expected.concat());
    let metrics = crate::common::prometheus::parse(&stats.to_prometheus());
    for (_, labels, _) in &metrics["lariat_tls_handshakes_total"].samples {
        // The name that a client has asked for is no label.
        let names: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["cipher", "resumed", "version"]);
    }
}

/// Also if the log follows the connection already.
#[test]
fn a_trace_that_begins_with_the_request_begins_with_the_handshake() {
    for has_log in [false, true] {
        if has_log {
            log_everything();
        }
        let (handler, story, _) = tracer(When::Request);
        let server = run(server(Config::default(), server_tls()), handler);
        for (version, how, config) in configs() {
            visit(open_with(server.addr, config));
            let first = next(&story, 2);
            assert_eq!(first, [format!("= {version} CIPHER, {how}, for localhost"), "< GET / HTTP/1.1".to_owned()]);
            skip_to_the_end(&story);
        }
        // The handshake and the request come together, or byte by byte.
        let mut slow = connect_to(server.addr, "127.0.0.1", client_config(&VERSIONS));
        while slow.conn.is_handshaking() {
            slow.conn.complete_io(&mut slow.sock).expect("a handshake");
        }
        let mut wire = Wire::new(slow);
        for byte in request("/").as_bytes() {
            wire.send(&[*byte]);
        }
        assert_eq!(wire.response().status(), 101);
        assert_eq!(next(&story, 2), ["= TLS 1.3 CIPHER, full, for no name", "< GET / HTTP/1.1"]);
    }
}

#[test]
fn a_trace_that_begins_later_begins_with_the_handshake() {
    let (handler, story, opened) = tracer(When::Told);
    let server = run(server(Config::default(), server_tls()), handler);
    let mut wire = open(server.addr);
    let id = opened.recv_timeout(WAIT).expect("it opens");
    wire.echo("not traced");
    for _ in 0..2 {
        // It is delivered although nothing else happens.
        assert!(server.ask(move |clients| clients.trace(id)));
        assert_eq!(next(&story, 1), ["= TLS 1.3 CIPHER, full, for localhost"]);
        assert!(server.ask(move |clients| clients.trace(id)), "once more, without an effect");
        wire.echo("hi");
        assert_eq!(next(&story, 2), ["< TEXT \"hi\" [2 bytes, masked]", "> TEXT \"hi\" [2 bytes]"]);
        server.ask(move |clients| clients.untrace(id));
    }
    wire.echo("not traced");
    assert!(story.try_recv().is_err());
}

#[test]
fn a_connection_without_tls_has_no_such_step() {
    let (handler, story, _) = tracer(When::Request);
    let server = serve(handler);
    let mut wire = Wire::open(server.addr);
    wire.echo("hi");
    assert_eq!(next(&story, 1), ["< GET / HTTP/1.1"]);
}

#[test]
fn a_connection_to_a_server_has_the_handshake_before_the_answer() {
    let (handler, _calls) = echo_script();
    let there = run(server(Config::default(), server_tls()), handler);
    let (handler, story, _) = tracer(When::Told);
    let here = serve(handler);
    here.ask(|clients| clients.trace_all());
    let url = format!("wss://localhost:{}/", there.addr.port());
    let options = ConnectOptions::new().address(there.addr).tls(client_tls(&VERSIONS));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let first = next(&story, 2);
    assert_eq!(first, ["= TLS 1.3 CIPHER, full, for localhost", "< HTTP/1.1 101 Switching Protocols"]);
}

/// Turns the log on, for all tests of this program, and drops its lines.
fn log_everything() {
    struct Nowhere;
    impl log::Log for Nowhere {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {}
        fn flush(&self) {}
    }
    log::set_logger(&Nowhere).expect("no other test sets one");
    log::set_max_level(log::LevelFilter::Debug);
}
