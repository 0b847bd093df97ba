//! Streams that the application has accepted itself.

use crate::common::{Running, Wire, echo_script, request, script, serve, serve_made, serve_with, text};
use lariat::{Adopted, ClientId, Clients, CloseReason, Config, Drain, Handler, Router, SendError};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

/// Returns two connected TCP streams: the client's and the server's.
pub fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = Wire::connect(listener.local_addr().expect("an address"));
    (client, listener.accept().expect("a client").0)
}

fn adopt(server: &Running, adopted: impl Into<Adopted> + Send + 'static) -> ClientId {
    server.ask(move |clients| clients.adopt(adopted)).expect("there is room")
}

#[test]
fn an_adopted_stream_is_served_as_if_a_listener_had_accepted_it() {
    let (handler, calls) = echo_script();
    let server = serve(handler);
    let (mut client, stream) = pair();
    let id = adopt(&server, stream);
    client.handshake("/");
    assert_eq!(calls.open(), id);
    client.echo("hello");
    drop(client);
    assert_eq!(calls.close(), (id, CloseReason::Eof));
    assert_eq!(server.ask(|clients| clients.stats().accepted), 1);
}

/// A host may have looked at the beginning of the request, cut anywhere.
#[test]
fn bytes_that_the_host_has_read_come_first() {
    let (handler, calls) = echo_script();
    let server = serve(handler);
    let all = [request("/").into_bytes(), text("early")].concat();
    for cut in 0..=all.len() {
        let (mut client, stream) = pair();
        let (read, unread) = all.split_at(cut);
        adopt(&server, Adopted::from(stream).received(read));
        client.send(unread);
        assert_eq!(client.response().status(), 101, "cut at {cut}");
        client.expect_text("early");
        calls.open();
    }
}

#[test]
fn an_upgraded_stream_is_open_at_once() {
    let (handler, calls) = echo_script();
    let server = serve(handler.on_request(|_, _, _| unreachable!("on_request is not called")));
    let all = [text("one"), text("two")].concat();
    for cut in 0..=all.len() {
        let (mut client, stream) = pair();
        let (read, unread) = all.split_at(cut);
        let adopted = Adopted::from(stream).upgraded().subprotocol("chat.v1").received(read);
        let (id, sent, chosen) = server.ask(move |clients| {
            let id = clients.adopt(adopted).expect("there is room");
            (id, clients.send(id, "welcome"), clients.subprotocol(id).map(str::to_owned))
        });
        assert_eq!((sent, chosen), (Ok(()), None), "the subprotocol is known from on_open on");
        client.send(unread);
        for word in ["welcome", "one", "two"] {
            client.expect_text(word);
        }
        assert_eq!(calls.open(), id);
        assert_eq!(server.ask(move |clients| clients.subprotocol(id).map(str::to_owned)).as_deref(), Some("chat.v1"));
        client.send(&crate::common::close(1000, ""));
        client.expect_close(1000);
        client.expect_end();
    }
}

#[test]
fn a_unix_stream_can_be_adopted() {
    let (handler, _calls) = echo_script();
    let server = serve(handler);
    let (client, stream) = UnixStream::pair().expect("a pair");
    adopt(&server, Adopted::from(stream).upgraded());
    Wire::new(client).echo("hello");
}

/// The end is reported like every other, however early it comes.
#[test]
fn a_peer_that_has_left_is_closed_like_any_other() {
    let (handler, calls) = script();
    let server = serve(handler);
    let (client, stream) = pair();
    client.reset();
    let id = adopt(&server, Adopted::from(stream).upgraded());
    assert_eq!(calls.open(), id);
    let (closed, reason) = calls.close();
    assert!(closed == id && matches!(reason, CloseReason::Io(_) | CloseReason::Eof), "{reason}");
}

#[test]
fn a_client_that_is_terminated_at_once_is_never_watched() {
    let (handler, _calls) = script();
    let server = serve(handler);
    for _ in 0..3 {
        let (mut client, stream) = pair();
        let id = server.ask(move |clients| {
            let id = clients.adopt(stream).expect("there is room");
            assert!(clients.terminate(id));
            id
        });
        client.expect_gone();
        assert_eq!(server.ask(move |clients| clients.send(id, "x")), Err(SendError::Gone));
    }
}

#[test]
fn a_server_that_is_full_or_stops_adopts_nothing() {
    let mut config = Config::default();
    config.max_connections = Some(2);
    let (handler, calls) = script();
    let server = serve_with(config, handler);
    let mut clients = Vec::new();
    let mut adopt = |server: &Running| {
        let (client, stream) = pair();
        clients.push(client);
        server.ask(move |clients| clients.adopt(stream).map_err(|error| error.kind()))
    };
    let outcomes: Vec<_> = (0..3).map(|_| adopt(&server)).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{outcomes:?}");
    assert_eq!(outcomes[2], Err(io::ErrorKind::ConnectionRefused));
    let stopping = server.ask(|clients| {
        let (_client, stream) = pair();
        clients.shutdown(Drain::default());
        clients.adopt(stream).map_err(|error| error.kind())
    });
    assert_eq!(stopping, Err(io::ErrorKind::ConnectionRefused));
    drop(clients);
    drop(calls);
}

/// An upgraded stream belongs to the route of the caller.
#[test]
fn an_upgraded_stream_belongs_to_a_route() {
    struct Says(&'static str);
    impl Handler for Says {
        type Data = ();
        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            clients.send(id, self.0).expect("it is open");
        }
    }
    let server = serve_made(|| Router::new().route("/a", Says("a")).route("/b", Says("b")));
    for route in ["/a", "/b"] {
        let (mut client, stream) = pair();
        server
            .ask(move |clients| {
                let adopted = clients.on_route(route, |clients| clients.adopt(Adopted::from(stream).upgraded()));
                adopted.expect("the route exists").map(drop).map_err(|error| error.kind())
            })
            .expect("there is room");
        client.expect_text(&route[1..]);
    }
}
