//! `Clients::connect`: the client role in the same loop.

use crate::common::{Running, WAIT, Wire, echo_script, request, script, serve, serve_with, text};
use lariat::sim::Simulation;
use lariat::{
    ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Drain, Handler, OpeningError, ReadyState,
    SendError, Timeout, Unaccepted, Upgrade,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn url(addr: SocketAddr) -> String {
    format!("ws://{addr}/echo?x=1")
}

fn connect(running: &Running, url: &str, options: ConnectOptions) -> Result<lariat::ClientId, OpeningError> {
    let url = url.to_owned();
    running.ask(move |clients| clients.connect(&url, &options))
}

/// A server that sends literal bytes: accepts one connection, reads the request head, and calls
/// `serve`.
fn literal_server(serve: impl FnOnce(String, TcpStream) + Send + 'static) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a request") > 0, "{head:?}");
        }
        serve(head, reader.into_inner());
    });
    (addr, thread)
}

fn accept_of(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

#[test]
fn two_loops_exchange_messages_and_close() {
    let (script_there, ears_there) = echo_script();
    let there = serve(script_there);
    let (script_here, calls) = script();
    let here = serve(script_here.on_open(|clients, id| {
        assert!(clients.is_outgoing(id));
        clients.send(id, "hello").expect("it is open");
    }));
    let id = connect(&here, &url(there.addr), ConnectOptions::new()).expect("the URL is valid");
    assert_eq!(calls.open(), id);
    calls.until(&crate::common::Call::Message(id, b"hello".to_vec()));
    assert_eq!(here.ask(move |clients| clients.ready_state(id)), ReadyState::Open);
    here.ask(move |clients| clients.close(id, CloseCode::Library(4_000), "enough")).expect("it is open");
    let (closed, reason) = calls.close();
    assert_eq!(closed, id);
    assert!(matches!(&reason, CloseReason::Local(frame) if frame.reason.as_str() == "enough"), "{reason:?}");
    assert!(matches!(ears_there.close().1, CloseReason::Peer(Some(frame)) if frame.code == CloseCode::Library(4_000)));
    assert_eq!(here.ask(move |clients| clients.send(id, "late")), Err(SendError::Gone));
}

#[test]
fn large_messages_are_sent_masked_and_received() {
    let there = serve(echo_script().0);
    let payload: Vec<u8> = (0..900_000_u32).map(|i| (i * 7) as u8).collect();
    let (script, calls) = script();
    let sent = payload.clone();
    let here = serve(script.on_open(move |clients, id| clients.send(id, &sent).expect("it is open")));
    let id = connect(&here, &url(there.addr), ConnectOptions::new()).expect("the URL is valid");
    calls.until(&crate::common::Call::Message(id, payload));
}

#[test]
fn the_request_follows_rfc_6455_4_1_and_no_key_repeats() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (addr, server) = literal_server(move |head, mut stream| {
            let accept = accept_of(&head);
            write!(
                stream,
                "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
                 Sec-WebSocket-Protocol: talk\r\n\r\n"
            )
            .expect("the client reads");
            let mut frame = [0; 8];
            stream.read_exact(&mut frame).expect("a frame");
            sender.send((head, frame)).expect("the test waits");
        });
        let (script, calls) = script();
        let here = serve(script.on_open(|clients, id| {
            assert_eq!(clients.subprotocol(id), Some("talk"));
            clients.send(id, "hi").expect("it is open");
        }));
        let options = ConnectOptions::new()
            .subprotocol("chat")
            .subprotocol("talk")
            .header(lariat::http::header::AUTHORIZATION, lariat::http::HeaderValue::from_static("Bearer x"));
        connect(&here, &url(addr), options).expect("the URL is valid");
        calls.open();
        let (head, frame) = receiver.recv_timeout(WAIT).expect("the server got the request");
        server.join().expect("the server has ended without a panic");
        assert!(head.starts_with("GET /echo?x=1 HTTP/1.1\r\n"), "{head}");
        for line in [
            format!("Host: {addr}").as_str(),
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: chat, talk",
            "Authorization: Bearer x",
        ] {
            assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{line} in {head}");
        }
        assert_eq!(frame[..2], [0x81, 0x82], "the frame is masked");
        assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], *b"hi");
        keys.push((accept_of(&head), frame[2..6].to_vec()));
    }
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn every_refusal_is_reported_once() {
    type IsExpected = fn(&CloseReason) -> bool;
    let answers: [(&str, IsExpected); 4] = [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            |reason| matches!(reason, CloseReason::Unaccepted(Unaccepted::Status(status)) if status.as_u16() == 403),
        ),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n", |reason| {
            matches!(reason, CloseReason::Unaccepted(Unaccepted::BadResponse(_)))
        }),
        (
            "SSH-2.0-OpenSSH\n",
            |reason| matches!(reason, CloseReason::Unaccepted(Unaccepted::NotHttp(bytes)) if **bytes == *b"SSH-2.0-OpenSSH\n"),
        ),
        ("", |reason| *reason == CloseReason::Eof),
    ];
    for (answer, is_expected) in answers {
        let (addr, server) = literal_server(move |_, mut stream| {
            stream.write_all(answer.as_bytes()).expect("the client reads");
        });
        let (script, calls) = script();
        let here = serve(script);
        let id = connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
        let (closed, reason) = calls.close();
        assert_eq!(closed, id);
        assert!(is_expected(&reason), "{answer:?}: {reason:?}");
        server.join().expect("the server has ended without a panic");
        drop(here);
        assert!(calls.rest().is_empty(), "{answer:?}: neither on_open nor a second on_close");
    }
}

#[test]
fn refused_silent_and_unknown_hosts_are_reported() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(300);
    let (script, calls) = script();
    let here = serve_with(config, script);

    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    connect(&here, &url(free), ConnectOptions::new()).expect("the URL is valid");
    let refused = CloseReason::Unreachable { address: free, kind: std::io::ErrorKind::ConnectionRefused };
    assert_eq!(calls.close().1, refused);

    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    connect(&here, &url(silent.local_addr().expect("an address")), ConnectOptions::new()).expect("the URL is valid");
    assert_eq!(calls.close().1, CloseReason::Timeout(Timeout::Handshake));

    // RFC 6761: this name never resolves. If the resolver takes too long, the deadline ends the
    // connection.
    connect(&here, "ws://name.invalid/", ConnectOptions::new()).expect("the URL is valid");
    let reason = calls.close().1;
    assert!(matches!(reason, CloseReason::NameNotFound | CloseReason::Timeout(Timeout::Handshake)), "{reason:?}");
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    // `localhost` is ::1 and 127.0.0.1 on most hosts. This server listens only on one of them.
    let there = serve(echo_script().0);
    let (script, calls) = script();
    let here = serve(script);
    let id = connect(&here, &format!("ws://localhost:{}/", there.addr.port()), ConnectOptions::new());
    assert_eq!(calls.open(), id.expect("the URL is valid"));
}

#[test]
fn invalid_arguments_are_refused_at_once() {
    let here = serve(script().0);
    let bad_header =
        ConnectOptions::new().header(lariat::http::header::HOST, lariat::http::HeaderValue::from_static("elsewhere"));
    for (url, options, error) in [
        ("https://localhost/", ConnectOptions::new(), OpeningError::BadScheme),
        ("/echo", ConnectOptions::new(), OpeningError::BadUrl),
        ("ws://localhost/", ConnectOptions::new().subprotocol("a b"), OpeningError::BadSubprotocol),
        ("ws://localhost/", ConnectOptions::new().subprotocol("a").subprotocol("a"), OpeningError::BadSubprotocol),
        ("ws://localhost/", bad_header, OpeningError::BadHeader),
    ] {
        assert_eq!(connect(&here, url, options), Err(error), "{url}");
    }
    assert_eq!(here.ask(|clients| clients.len()), 0);
}

#[test]
fn masked_frames_from_a_server_fail_the_connection() {
    let (addr, server) = literal_server(|head, mut stream| {
        let accept = accept_of(&head);
        write!(
            stream,
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .expect("the client reads");
        stream.write_all(&text("masked")).expect("the client reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the client closes");
        assert_eq!((answer[0], answer[1] & 0x80), (0x88, 0x80), "a masked Close frame");
    });
    let (script, calls) = script();
    let here = serve(script);
    connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
    assert_eq!(calls.close().1, CloseReason::Protocol(lariat::ProtocolError::MaskedFrame));
    server.join().expect("the server has ended without a panic");
}

#[test]
fn a_connection_ends_at_its_maximum_lifetime() {
    let mut config = Config::default();
    config.limits.max_lifetime = Some(Duration::from_millis(100));
    let (script, calls) = script();
    let server = serve_with(config, script);
    let mut wire = Wire::open(server.addr);
    wire.expect_close(1001);
    drop(wire);
    assert_eq!(calls.close().1, CloseReason::Lifetime);
}

#[test]
fn an_answer_with_an_unknown_subprotocol_is_not_sent() {
    let (script, _calls) = script();
    let server = serve(script.on_request(|_, _, _| Upgrade::new().subprotocol("chat").into()));
    let mut wire = Wire::connect(server.addr);
    wire.send(request("/").as_bytes());
    assert_eq!(wire.response().status(), 500);
}

#[test]
fn the_address_and_the_source_address_can_be_chosen() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (addr, server) = literal_server(move |head, stream| {
        sender.send((head, stream.peer_addr().expect("a peer").ip())).expect("the test waits");
    });
    let here = serve(script().0);
    let source = std::net::Ipv4Addr::new(127, 0, 0, if cfg!(target_os = "linux") { 2 } else { 1 }).into();
    let options = ConnectOptions::new().address(addr).source(source);
    connect(&here, "ws://name.invalid:80/", options).expect("the URL is valid");
    let (head, peer) = receiver.recv_timeout(WAIT).expect("a request");
    assert!(head.contains("\r\nHost: name.invalid:80\r\n"), "{head}");
    assert_eq!(peer, source);
    server.join().expect("the server has ended");
}

#[test]
fn the_request_is_written_before_the_server_accepts() {
    #[derive(Default)]
    struct Order(Vec<&'static str>);
    impl Handler for Order {
        type Data = ();
        fn on_connect(&mut self, clients: &mut Clients<()>, id: ClientId) {
            assert_eq!((clients.ready_state(id), clients.buffered_amount(id)), (ReadyState::Connecting, 0));
            self.0.push("connect");
        }
        fn on_open(&mut self, _: &mut Clients<()>, _: ClientId) {
            self.0.push("open");
        }
        fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, _: &CloseReason) {
            self.0.push("close");
        }
    }
    let mut sim = Simulation::new(1, Config::default(), Order::default());
    sim.listen("10.0.0.1", 80);
    for url in ["ws://10.0.0.1/", "ws://10.0.0.2/"] {
        sim.clients().connect(url, &ConnectOptions::new()).expect("the URL is valid");
        sim.run_until_idle();
    }
    // A server in the same loop gets callbacks only for incoming connections.
    let _peer = sim.connect("/");
    sim.run_until_idle();
    assert_eq!(sim.handler().0, ["connect", "open", "close", "open"]);
}

#[test]
fn an_outgoing_connection_needs_no_more_memory_than_an_incoming_one() {
    let mut sim = Simulation::new(1, Config::default(), script().0);
    sim.listen("10.0.0.1", 80);
    let before = sim.footprint();
    let id = sim.clients().connect("ws://10.0.0.1/", &ConnectOptions::new()).expect("the URL is valid");
    assert!(sim.footprint().rare > 0, "the expected answer of the server is stored");
    sim.run_until_idle();
    assert_eq!(sim.clients().ready_state(id), ReadyState::Open);
    assert_eq!((sim.footprint().rare, sim.footprint().buffers), (before.rare, before.buffers));
}

/// No server listens there. The error contains the address.
#[test]
fn a_refused_connection_is_reported_with_its_address() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (script, calls) = script();
    let here = serve(script);
    connect(&here, &url(nobody), ConnectOptions::new()).expect("the URL is valid");
    let (_, reason) = calls.close();
    assert_eq!(reason, CloseReason::Unreachable { address: nobody, kind: std::io::ErrorKind::ConnectionRefused });
    assert_eq!(reason.to_string(), format!("cannot connect to {nobody}: connection refused"));
    assert_eq!(reason.code(), CloseCode::Abnormal);
    // By name: the error contains the last address.
    connect(&here, &format!("ws://localhost:{}/", nobody.port()), ConnectOptions::new()).expect("the URL is valid");
    let (_, reason) = calls.close();
    assert!(
        matches!(reason, CloseReason::Unreachable { address, kind: std::io::ErrorKind::ConnectionRefused }
            if address.port() == nobody.port() && address.ip().is_loopback()),
        "{reason}"
    );
    // A source that is not an address of this host, or of the other family.
    for source in ["192.0.2.7", "2001:db8::7"] {
        let options = ConnectOptions::new().source(source.parse().expect("an address"));
        connect(&here, &url(nobody), options).expect("the URL is valid");
        let (_, reason) = calls.close();
        assert!(matches!(reason, CloseReason::Unreachable { address, .. } if address == nobody), "{reason:?}");
    }
}

/// A server that cannot be reached in time is not reported as slow in its handshake.
#[test]
fn a_connection_that_times_out_is_reported_with_its_address() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(300);
    // A full backlog: no further connection is established (on Linux).
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    full.listen(0).expect("it listens");
    let addr = full.local_addr().ok().and_then(|addr| addr.as_socket()).expect("an address");
    let fill: Vec<TcpStream> =
        (0..4).map_while(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok()).collect();
    let (script, calls) = script();
    let here = serve_with(config, script);
    connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
    let (_, reason) = calls.close();
    if cfg!(target_os = "linux") && fill.len() < 4 {
        assert_eq!(reason, CloseReason::Unreachable { address: addr, kind: std::io::ErrorKind::TimedOut });
        assert_eq!(reason.to_string(), format!("cannot connect to {addr}: timed out"));
    }
    // A server that accepts the connection and sends nothing is reported as slow.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    connect(&here, &url(silent.local_addr().expect("an address")), ConnectOptions::new()).expect("the URL is valid");
    assert_eq!(calls.close().1, CloseReason::Timeout(Timeout::Handshake));
}

/// A connection that was established and then broke has another reason.
#[test]
fn a_connection_that_breaks_in_the_handshake_has_its_own_reason() {
    let (addr, server) = literal_server(|_, stream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    });
    let (script, calls) = script();
    let here = serve(script);
    connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
    let reason = calls.close().1;
    assert_eq!(reason, CloseReason::Io(std::io::ErrorKind::ConnectionReset));
    server.join().expect("the server has ended");
}

/// A Unix socket, and both ends in one process.
#[cfg(unix)]
#[test]
fn a_connection_over_a_stream_of_the_applications_own_is_like_any_other() {
    let (here_end, there_end) = std::os::unix::net::UnixStream::pair().expect("two ends");
    let (script_there, ears_there) = echo_script();
    let there = serve(script_there);
    there.ask(|clients| clients.adopt(there_end)).expect("there is room");
    let (script_here, calls) = script();
    let here = serve(script_here.on_open(|clients, id| clients.send(id, "hello").expect("it is open")));
    let options = ConnectOptions::new().subprotocol("chat.v1");
    let id = here.ask(move |clients| clients.connect_over(here_end, "ws://anything/echo", &options)).expect("a URL");
    assert_eq!(calls.open(), id);
    ears_there.open();
    calls.until(&crate::common::Call::Message(id, b"hello".to_vec()));
    assert!(here.ask(move |clients| clients.is_outgoing(id)));
    here.ask(move |clients| clients.close(id, CloseCode::Normal, "")).expect("it is open");
    assert_eq!(calls.close().0, id);

    let (wrong, _other) = std::os::unix::net::UnixStream::pair().expect("two ends");
    let error = here.ask(move |clients| clients.connect_over(wrong, "http://host/", &ConnectOptions::new()));
    assert_eq!(error.map_err(|error| error.kind()), Err(std::io::ErrorKind::InvalidInput));
    let (gone, other) = std::os::unix::net::UnixStream::pair().expect("two ends");
    drop(other);
    let options = ConnectOptions::new();
    let id = here.ask(move |clients| clients.connect_over(gone, "ws://host/", &options)).expect("a URL");
    assert_eq!(calls.close().0, id, "its server has gone");
}

#[test]
fn a_connection_that_opens_while_its_loop_shuts_down_is_closed_too() {
    let (shut_down, is_shut_down) = std::sync::mpsc::channel::<()>();
    let (addr, server) = literal_server(move |head, mut stream| {
        is_shut_down.recv().expect("the test goes on");
        write!(
            stream,
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept_of(&head)
        )
        .expect("the client reads");
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).expect("a Close frame");
        assert_eq!(frame[..2], [0x88, 0x82]);
        assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], 1001_u16.to_be_bytes());
        stream.write_all(b"\x88\x02\x03\xe9").expect("the client reads");
    });
    let (script, calls) = script();
    let here = serve(script);
    // A client that has not answered its Close yet keeps the loop from stopping.
    let mut wire = Wire::open(here.addr);
    calls.open();
    let id = connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
    here.remote.shutdown(Drain::default()).expect("it runs");
    wire.expect_close(1001);
    shut_down.send(()).expect("the server waits");
    assert_eq!(calls.open(), id);
    let (closed, reason) = calls.close();
    assert_eq!(closed, id);
    assert!(matches!(reason, CloseReason::Local(_)), "{reason:?}");
    server.join().expect("the server has ended without a panic");
    wire.send(&crate::common::close(1001, ""));
    wire.expect_end();
    drop(wire);
    assert_eq!(here.outcome().dropped, 0);
}

#[test]
fn a_client_that_is_reset_sees_a_reset_and_one_that_is_terminated_an_end() {
    let (handler, calls) = echo_script();
    let server = serve(handler);
    for is_reset in [false, true] {
        let mut client = Wire::open(server.addr);
        let id = calls.open();
        assert!(server.ask(move |clients| if is_reset { clients.reset(id) } else { clients.terminate(id) }));
        assert_eq!(calls.close(), (id, CloseReason::Terminated));
        let end = client.stream.read(&mut [0; 16]).map_err(|error| error.kind());
        assert_eq!(end, if is_reset { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(0) });
        assert!(!server.ask(move |clients| clients.reset(id)), "it has gone");
    }
}

/// The bug: the loop connected first, and removed it then.
#[test]
fn a_connection_that_is_ended_before_the_turn_never_reaches_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let (script, calls) = script();
    let here = serve(script);
    let ended = here.ask(move |clients| {
        let id = clients.connect(&url(addr), &ConnectOptions::new()).expect("the URL is valid");
        assert!(clients.terminate(id));
        id
    });
    assert_eq!(calls.close(), (ended, CloseReason::Terminated));
    connect(&here, &url(addr), ConnectOptions::new()).expect("the URL is valid");
    listener.accept().expect("the second one");
    listener.set_nonblocking(true).expect("a socket");
    assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_client_whose_close_has_come_can_still_be_reset() {
    let (handler, calls) = echo_script();
    let server = serve(handler);
    let mut client = Wire::open(server.addr);
    let id = calls.open();
    client.send(&crate::common::close(1000, ""));
    client.expect_close(1000);
    assert!(server.ask(move |clients| clients.reset(id)), "it waits for the end of the stream");
    calls.close();
    // The end of our half came before the reset, so only the socket's error tells.
    crate::common::until(|| client.stream.get_ref().take_error().expect("a socket").is_some());
}
