//! A server with TLS.

use crate::common::{WAIT, Wire, close, echo_script, request, run, script, text};
use crate::kit::{VERSIONS, client_config, connect, open, open_with, options, server, server_tls};
use lariat::tls::TlsFailure;
use lariat::tls::rustls::ClientConfig;
use lariat::{Answer, CloseReason, Config, Drain, Handler, HttpResponse, Server, TrustedProxies};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Runs a server that echoes.
macro_rules! echo {
    ($config:expr) => {{
        let (handler, calls) = echo_script();
        (run(server($config, server_tls()), handler), calls)
    }};
}

#[test]
fn messages_of_all_sizes_come_back() {
    let mut config = Config::default();
    config.deflate = None;
    (config.limits.max_message, config.limits.max_unsent) = (8 << 20, 16 << 20);
    let (server, _calls) = echo!(config);
    for version in VERSIONS {
        let mut client = open_with(server.addr, client_config(&[version]));
        for size in [0, 1, 20, 125, 126, 16_370, 16_384, 65_535, 65_536, 1 << 20, 5 << 20] {
            client.echo(&"x".repeat(size));
        }
        // Many in a row, each in a record of its own.
        for n in 0..500 {
            client.send(&text(&n.to_string()));
        }
        for n in 0..500 {
            client.expect_text(&n.to_string());
        }
    }
    let stats = server.ask(|clients| clients.stats());
    assert_eq!(stats.tls_handshakes.values().sum::<u64>(), 2);
}

/// Close frames, then `close_notify`, then FIN.
#[test]
fn the_end_is_announced() {
    let (server, calls) = echo!(Config::default());
    let mut client = open(server.addr);
    client.send(&close(1000, "bye"));
    client.expect_close(1000);
    // rustls reports an end without close_notify as an error.
    assert_eq!(client.stream.read(&mut [0; 10]).expect("a clean end"), 0);
    assert!(matches!(calls.close().1, CloseReason::Peer(Some(_))));
    // The server begins.
    let mut client = open(server.addr);
    let id = calls.open();
    server.ask(move |clients| clients.close(id, lariat::CloseCode::Away, "")).expect("it is open");
    client.expect_close(1001);
    client.send(&close(1001, ""));
    assert_eq!(client.stream.read(&mut [0; 10]).expect("a clean end"), 0);
}

/// A peer that closes its half first gets all output, and `close_notify` behind it.
#[test]
fn the_end_of_a_peer_is_answered() {
    let (server, _calls) = echo!(Config::default());
    for version in VERSIONS {
        for (messages, frame) in [(0, &[][..]), (0, &close(1000, "")), (40, &[]), (40, &close(1000, ""))] {
            let mut client = open_with(server.addr, client_config(&[version]));
            client.send(&text(&"x".repeat(60_000)).repeat(messages));
            client.send(frame);
            let stream = client.stream.get_mut();
            stream.conn.send_close_notify();
            stream.flush().expect("it is written");
            for _ in 0..messages {
                client.expect_text(&"x".repeat(60_000));
            }
            if !frame.is_empty() {
                client.expect_close(1000);
            }
            assert_eq!(client.stream.read(&mut [0; 10]).expect("a clean end"), 0, "{messages} messages");
        }
    }
}

/// Whatever number of writes the last output takes.
#[test]
fn the_end_is_announced_behind_output_of_every_size() {
    let (handler, _calls) = script();
    let handler = handler.on_request(|_, _, request| {
        let length = request.path()[1..].parse().expect("a length");
        lariat::http::Response::new("x".repeat(length)).into()
    });
    let server = run(server(Config::default(), server_tls()), handler);
    for length in (0..10).map(|n| n * 40_000) {
        let mut client = Wire::new(connect(server.addr, client_config(&VERSIONS)));
        client.send(format!("GET /{length} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert_eq!(client.response().body.len(), length);
        assert_eq!(client.stream.read(&mut [0; 10]).expect("a clean end"), 0, "{length} bytes");
    }
}

#[test]
fn an_end_inside_a_message_is_a_truncation() {
    let (server, calls) = echo!(Config::default());
    let half = &text("a message of some length")[..10];
    for (sent, says_so) in [(half, false), (&[][..], false), (half, true)] {
        let mut client = open(server.addr);
        client.send(sent);
        let stream = client.stream.get_mut();
        if says_so {
            stream.conn.send_close_notify();
        }
        stream.flush().expect("it is written");
        stream.sock.shutdown(Shutdown::Write).expect("it is connected");
        let reason = calls.close().1;
        let is_truncated = matches!(&reason, CloseReason::Tls(error) if error.kind() == TlsFailure::Truncated);
        // Between messages, or with close_notify, it is an end like any other without a Close
        // frame.
        assert_eq!(is_truncated, !sent.is_empty() && !says_so, "{reason}");
        assert!(is_truncated || reason == CloseReason::Eof, "{reason}");
        drop(client);
    }
}

#[test]
fn a_record_that_is_cut_off_is_a_truncation() {
    let (server, calls) = echo!(Config::default());
    let mut client = open(server.addr);
    client.stream.get_mut().sock.write_all(&[23, 3, 3, 0, 100, 1, 2, 3]).expect("it is connected");
    client.stream.get_mut().sock.shutdown(Shutdown::Write).expect("it is connected");
    let reason = calls.close().1;
    assert!(matches!(&reason, CloseReason::Tls(error) if error.kind() == TlsFailure::Truncated), "{reason}");
}

#[test]
fn plain_http_gets_a_readable_answer() {
    let (server, _calls) = echo!(Config::default());
    let mut plain = Wire::connect(server.addr);
    plain.send(request("/").as_bytes());
    let response = plain.response();
    assert_eq!(response.status(), 400);
    assert!(String::from_utf8_lossy(&response.body).contains("https://"), "{response:?}");
    plain.expect_end();
    // Other protocols get nothing, quickly.
    for garbage in [&b"\x80\x2e\x01\x00\x02"[..], b"SSH-2.0-x\r\n", &[0; 100]] {
        let mut other = TcpStream::connect(server.addr).expect("the server listens");
        other.set_read_timeout(Some(WAIT)).expect("a timeout");
        other.write_all(garbage).expect("it is connected");
        let mut answer = Vec::new();
        // The end or a reset.
        let _ = other.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    let count = || {
        server
            .ask(|clients| clients.stats())
            .closed
            .iter()
            .any(|(cause, _)| (cause.reason, cause.detail) == ("tls", "not_tls"))
    };
    let start = Instant::now();
    while !count() {
        assert!(start.elapsed() < WAIT, "not counted");
    }
}

#[test]
fn a_silent_peer_is_dropped_at_the_deadline() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(100);
    let (server, _calls) = echo!(config);
    let mut silent = Wire::connect(server.addr);
    let mut begun = Wire::connect(server.addr);
    begun.send(&[22, 3, 1, 2, 0, 1, 0, 1]);
    silent.expect_gone();
    begun.expect_gone();
    let stats = server.ask(|clients| clients.stats());
    let timeouts: u64 =
        stats.closed.iter().filter(|(cause, _)| cause.reason == "timeout").map(|(_, count)| count).sum();
    assert_eq!((timeouts, stats.tls_sessions), (2, 0), "{:?}", stats.closed);
}

#[test]
fn a_client_that_does_not_trust_the_server_sends_an_alert() {
    let (server, calls) = echo!(Config::default());
    let config = ClientConfig::builder_with_provider(client_config(&VERSIONS).crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(crate::kit::Authority::new().roots())
        .with_no_client_auth();
    let mut client = connect(server.addr, config);
    client.write_all(request("/").as_bytes()).expect_err("it does not trust the server");
    drop(client);
    let start = Instant::now();
    let count = || {
        let stats = server.ask(|clients| clients.stats());
        stats.closed.iter().any(|(cause, _)| (cause.reason, cause.detail) == ("tls", "alert"))
    };
    while !count() {
        assert!(start.elapsed() < WAIT);
    }
    assert!(calls.so_far().is_empty(), "the application knows nothing of it");
}

/// Some clients that do not trust a certificate close without an alert. A connection without a byte
/// may be a check of the port.
#[test]
fn an_end_in_the_handshake_is_a_failure_of_tls() {
    let (server, calls) = echo!(Config::default());
    let hello = || {
        let mut client = connect(server.addr, client_config(&VERSIONS));
        client.conn.write_tls(&mut client.sock).expect("it is connected");
        client
    };
    type End<'a> = (&'a dyn Fn(), (&'static str, &'static str));
    let ends: [End<'_>; 4] = [
        (&|| drop(TcpStream::connect(server.addr).expect("the server listens")), ("eof", "")),
        (
            &|| {
                let mut stream = TcpStream::connect(server.addr).expect("the server listens");
                stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).expect("it is connected");
            },
            ("tls", "disconnected"),
        ),
        (
            &|| {
                let mut client = hello();
                // Nothing stays unread, so its kernel sends no reset.
                while client.conn.is_handshaking() {
                    client.conn.read_tls(&mut client.sock).expect("the server's flight");
                    client.conn.process_new_packets().expect("a certificate");
                }
            },
            ("tls", "disconnected"),
        ),
        // `close_notify`, in clear text.
        (&|| hello().sock.write_all(&[21, 3, 3, 0, 2, 1, 0]).expect("it is connected"), ("tls", "alert")),
    ];
    let mut expected = std::collections::BTreeMap::new();
    for (end, cause) in ends {
        end();
        *expected.entry(cause).or_insert(0) += 1;
        let start = Instant::now();
        loop {
            let closed = server.ask(|clients| clients.stats()).closed;
            let found = closed.iter().map(|(cause, count)| ((cause.reason, cause.detail), *count)).collect();
            if expected == found {
                break;
            }
            assert!(start.elapsed() < WAIT, "{closed:?}, not {expected:?}");
        }
    }
    assert!(calls.so_far().is_empty(), "the application knows nothing of it");
}

/// A page that asks a WebSocket's path learns the scheme of the port.
#[test]
fn a_plain_request_is_told_to_use_wss() {
    let (server, _calls) = echo!(Config::default());
    let mut client = Wire::new(connect(server.addr, client_config(&VERSIONS)));
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status(), 426);
    let body = String::from_utf8_lossy(&response.body);
    assert!(body.contains("new WebSocket(\"wss://...\")"), "{body}");
}

/// A large answer, to a client that reads late: all of it arrives, and then the end.
#[test]
fn the_tail_of_a_large_output_is_not_lost() {
    let body = vec![b'z'; 4_500_000];
    let length = body.len();
    let (handler, _calls) = script();
    let handler = handler.on_request(move |_, _, _| {
        let response: HttpResponse = lariat::http::Response::new(body.clone()).into();
        Answer::from(response)
    });
    let server = run(server(Config::default(), server_tls()), handler);
    for reads_late in [false, true] {
        let before = server.ask(|clients| clients.stats()).bytes_written;
        let mut client = connect(server.addr, client_config(&VERSIONS));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("the server reads");
        client.flush().expect("it is written");
        // Until the kernel takes no more.
        let start = Instant::now();
        while reads_late && server.ask(|clients| clients.stats()).bytes_written < before + 500_000 {
            assert!(start.elapsed() < WAIT);
        }
        let mut received = Vec::new();
        client.read_to_end(&mut received).expect("a clean end");
        assert!(received.len() > length && received.ends_with(b"zzzz"), "{} bytes", received.len());
    }
}

/// A client that reads nothing stops the server's output, and gets all of it later.
#[test]
fn backpressure_reaches_through_tls() {
    let mut config = Config::default();
    config.limits.max_unsent = 16 << 20;
    let (server, calls) = echo!(config);
    let mut client = open(server.addr);
    let id = calls.open();
    let message = "m".repeat(100_000);
    let mut queued = 0;
    let start = Instant::now();
    loop {
        let text = message.clone();
        let (sent, buffered) = server.ask(move |clients| (clients.send(id, &text), clients.buffered_amount(id)));
        sent.expect("there is room");
        queued += 1;
        if buffered > 6_000_000 {
            break;
        }
        assert!(start.elapsed() < WAIT);
    }
    for _ in 0..queued {
        client.expect_text(&message);
    }
    client.echo("and it goes on");
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let mut config = Config::default();
    config.trusted_proxies =
        ["127.0.0.1".parse::<lariat::Block>().expect("an address")].into_iter().collect::<TrustedProxies>();
    let mut options = options(server_tls());
    options.proxy_protocol = true;
    let server = Server::new(config).expect("a server").options(options).listen("127.0.0.1:0").expect("a free port");
    let (handler, _calls) = echo_script();
    let handler = handler.on_open(|clients, id| {
        let address = clients.peer_addr(id).expect("TCP").to_string();
        clients.send(id, &address).expect("it is open");
    });
    let server = run(server, handler);
    for pieces in [1, 1_000] {
        let mut client = connect(server.addr, client_config(&VERSIONS));
        for piece in b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n".chunks(pieces) {
            client.sock.write_all(piece).expect("the server reads");
        }
        let mut wire = Wire::new(client);
        wire.send(request("/").as_bytes());
        assert_eq!(wire.response().status(), 101);
        wire.expect_text("192.0.2.7:1234");
        wire.echo("hello");
    }
}

/// A refusal would need a handshake. The limit also holds behind a proxy that sends a header.
#[test]
fn an_address_with_too_many_connections_is_dropped_before_the_handshake() {
    for is_proxied in [false, true] {
        let mut config = Config::default();
        config.max_connections_per_address = Some(2);
        config.trusted_proxies =
            ["127.0.0.1".parse::<lariat::Block>().expect("an address")].into_iter().collect::<TrustedProxies>();
        if !is_proxied {
            config.trusted_proxies = TrustedProxies::default();
        }
        let mut options = options(server_tls());
        options.proxy_protocol = is_proxied;
        let server =
            Server::new(config).expect("a server").options(options).listen("127.0.0.1:0").expect("a free port");
        let (handler, _calls) = echo_script();
        let server = run(server, handler);
        let header: &[u8] = if is_proxied { b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n" } else { b"" };
        let open = || {
            let mut client = connect(server.addr, client_config(&VERSIONS));
            client.sock.write_all(header).expect("the server reads");
            let mut wire = Wire::new(client);
            wire.send(request("/").as_bytes());
            assert_eq!(wire.response().status(), 101);
            wire
        };
        let (_first, _second) = (open(), open());
        let mut third = TcpStream::connect(server.addr).expect("the server listens");
        third.set_read_timeout(Some(WAIT)).expect("a timeout");
        third.write_all(header).expect("it is connected");
        let outcome = third.read(&mut [0; 10]);
        let is_dropped = matches!(outcome, Ok(0))
            || outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert!(is_dropped, "{outcome:?}");
        assert_eq!(server.ask(|clients| clients.stats()).turned_away, 1);
    }
}

/// Handshakes of many clients at once do not keep others waiting for all of them.
#[test]
fn handshakes_are_spread_over_turns() {
    let (server, _calls) = echo!(Config::default());
    let mut talker = open(server.addr);
    let addr = server.addr;
    let others: Vec<_> = (0..40).map(|_| std::thread::spawn(move || open(addr).echo("hello"))).collect();
    while !others.iter().all(std::thread::JoinHandle::is_finished) {
        talker.echo("meanwhile");
    }
    others.into_iter().for_each(|other| other.join().expect("an echo"));
    let stats = server.ask(|clients| clients.stats());
    assert_eq!(stats.tls_handshakes.values().sum::<u64>(), 41);
}

#[test]
fn a_shutdown_closes_secured_clients() {
    let (server, calls) = echo!(Config::default());
    let mut client = open(server.addr);
    calls.open();
    // One whose handshake is not over does not hold it up.
    let _silent = TcpStream::connect(server.addr).expect("the server listens");
    let closing = std::thread::spawn(move || {
        client.expect_close(1001);
        client.send(&close(1001, ""));
        client.expect_end();
    });
    assert_eq!(server.stop(Drain::default()).dropped, 0);
    closing.join().expect("a clean end");
}

/// A handler of a page and of a socket does not notice TLS.
#[test]
fn a_plain_and_a_secured_listener_stand_side_by_side() {
    struct Greets;
    impl Handler for Greets {
        type Data = ();
        fn on_open(&mut self, clients: &mut lariat::Clients<()>, id: lariat::ClientId) {
            let how = if clients.tls(id).is_some() { "secured" } else { "plain" };
            clients.send(id, how).expect("it is open");
        }
    }
    let both = Server::new(Config::default())
        .and_then(|server| server.listen("127.0.0.1:0"))
        .and_then(|server| server.options(options(server_tls())).listen("127.0.0.1:0"))
        .expect("free ports");
    let lariat::LocalAddr::Tcp(secured) = both.local_addrs()[1].clone() else { panic!("not TCP") };
    let server = run(both, Greets);
    Wire::open(server.addr).expect_text("plain");
    open(secured).expect_text("secured");
}

/// Sessions that end in every state leave nothing behind, and the memory budget counts none.
#[test]
fn ended_sessions_leave_nothing_behind() {
    let mut config = Config::default();
    config.limits.close_timeout = Duration::from_millis(300);
    let (server, _calls) = echo!(config);
    let held = || {
        let stats = server.ask(|clients| clients.stats());
        (stats.tls_sessions, stats.connections.open + stats.connections.handshaking + stats.connections.draining)
    };
    let visit = |kind: usize| match kind {
        // Nothing, half of a hello, garbage.
        0 => drop(TcpStream::connect(server.addr).expect("the server listens")),
        1 => drop(TcpStream::connect(server.addr).and_then(|mut stream| stream.write_all(&[22, 3, 1, 2, 0, 1]))),
        2 => drop(TcpStream::connect(server.addr).and_then(|mut stream| stream.write_all(&[0x80, 0, 1]))),
        // A closing handshake, an end, a reset, an end in a record and in a message.
        3 => {
            let mut client = open(server.addr);
            client.send(&close(1000, ""));
            client.expect_close(1000);
        }
        4 => drop(open(server.addr)),
        5 => {
            let client = open(server.addr);
            let stream = client.stream.into_inner().sock;
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
        }
        6 => {
            let mut client = open(server.addr);
            client.stream.get_mut().sock.write_all(&[23, 3, 3, 0, 100, 1]).expect("it is connected");
        }
        _ => {
            let mut client = open(server.addr);
            client.send(&text(&"x".repeat(1_000))[..500]);
        }
    };
    // Spare buffers are kept for later, so the first rounds warm up.
    let mut buffered = Vec::new();
    for _ in 0..4 {
        (0..80).for_each(|n| visit(n % 8));
        let start = Instant::now();
        while held() != (0, 0) {
            assert!(start.elapsed() < WAIT, "{:?}", held());
        }
        buffered.push(server.ask(|clients| clients.stats()).buffered);
    }
    assert!(buffered[3] <= buffered[1] + (64 << 10), "{buffered:?}");
}
