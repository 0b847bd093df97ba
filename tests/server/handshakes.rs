//! The opening handshake: which answers an application may give, and when.

use crate::common::{Call, Wire, echo_script, request, request_with, script, serve, serve_with, text};
use lariat::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use lariat::{Answer, CloseReason, Config, Handler, SendError, Server, Upgrade};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn by_default_upgrades_are_accepted_and_plain_http_gets_426() {
    struct Nothing;
    impl Handler for Nothing {
        type Data = ();
    }
    let server = serve(Nothing);
    let mut wire = Wire::open_at(server.addr, "/anything?at=all");
    wire.send(&text("there was no answer"));
    let mut http = Wire::connect(server.addr);
    http.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = http.response();
    assert_eq!((response.status(), response.header("Upgrade")), (426, Some("websocket")));
    http.expect_end();
}

#[test]
fn a_chosen_subprotocol_is_sent_and_one_that_was_not_offered_becomes_500() {
    let (script, calls) = script();
    let server = serve(script.on_request(|_, _, request| {
        let chosen = match request.query() {
            Some(forced) => forced,
            None => request.choose_subprotocol(&["v2.chat", "v1.chat"]).unwrap_or("none"),
        };
        Upgrade::new().subprotocol(chosen).into()
    }));
    let offer = "Sec-WebSocket-Protocol: v1.chat, v3.chat\r\nSec-WebSocket-Protocol: v2.chat\r\n";
    let mut wire = Wire::connect(server.addr);
    wire.send(request_with("/", offer).as_bytes());
    let response = wire.response();
    assert_eq!((response.status(), response.header("Sec-WebSocket-Protocol")), (101, Some("v2.chat")));
    let accepted = calls.open();

    for (path, headers) in [("/?v4.chat", offer), ("/", "")] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with(path, headers).as_bytes());
        let response = wire.response();
        assert_eq!((response.status(), response.header("Sec-WebSocket-Protocol")), (500, None));
        wire.expect_end();
    }
    drop(wire);
    assert_eq!(calls.next(), Call::Close(accepted, CloseReason::Eof), "no other client was open");
}

#[test]
fn headers_may_be_added_but_not_those_of_the_handshake() {
    let (script, _calls) = script();
    let server = serve(script.on_request(|_, _, request| {
        let name = HeaderName::from_bytes(request.query().unwrap_or("x").as_bytes()).expect("a name");
        let upgrade = Upgrade::new().header(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        upgrade.header(name, HeaderValue::from_static("extra")).into()
    }));
    let mut wire = Wire::connect(server.addr);
    wire.send(request("/?x-server").as_bytes());
    let response = wire.response();
    assert_eq!(response.status(), 101);
    assert_eq!((response.header("X-Server"), response.header("Set-Cookie")), (Some("extra"), Some("a=b")));
    for name in ["upgrade", "connection", "content-length", "sec-websocket-accept", "sec-websocket-extensions"] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request(&format!("/?{name}")).as_bytes());
        assert_eq!(wire.response().status(), 500, "{name}");
    }
}

#[test]
fn an_http_response_closes_the_connection() {
    let (script, _calls) = script();
    let server = serve(script.on_request(|_, _, request| {
        let mut response = Response::new(format!("you asked for {}", request.path()).into_bytes());
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
        response.into()
    }));
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /page?1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = wire.response();
    assert_eq!((response.status(), response.body.as_slice()), (200, &b"you asked for /page"[..]));
    assert_eq!(response.header("Connection"), Some("close"));
    wire.expect_end();
    let mut wire = Wire::connect(server.addr);
    wire.send(b"HEAD /page HTTP/1.0\r\n\r\n");
    let mut head = String::new();
    std::io::Read::read_to_string(&mut wire.stream, &mut head).expect("a head");
    assert!(head.contains("Content-Length: 19\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn bad_requests_are_refused_with_a_status_without_a_callback() {
    let mut config = Config::default();
    config.limits.max_head = 2_000;
    let (script, calls) = script();
    let server = serve_with(config, script);
    let cases = [
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n".to_vec(), 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), 405),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (request("/").replace("Version: 13", "Version: 8").into_bytes(), 426),
        (request("/").replace("dGhl", "dGh").into_bytes(), 400),
        ([b"GET / HTTP/1.1\r\n".to_vec(), b"X: 0123456789\r\n".repeat(200)].concat(), 431),
    ];
    for (bytes, status) in cases {
        let mut wire = Wire::connect(server.addr);
        wire.send(&bytes);
        assert_eq!(wire.response().status(), status, "{}", String::from_utf8_lossy(&bytes));
        wire.expect_end();
    }
    drop(server);
    assert_eq!(calls.rest(), []);
}

#[test]
fn beyond_max_connections_new_clients_get_503_until_one_leaves() {
    let mut config = Config::default();
    config.max_connections = Some(2);
    let (script, calls) = echo_script();
    let server = serve_with(config, script);
    let mut first = Wire::open(server.addr);
    let second = Wire::open(server.addr);
    let mut third = Wire::connect(server.addr);
    third.send(request("/").as_bytes());
    let response = third.response();
    assert_eq!(response.status(), 503);
    assert!(response.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{response:?}");
    third.expect_end();
    first.echo("still here");
    drop((second, third));
    calls.close();
    // The refused connection may take a moment longer to disappear.
    let deadline = std::time::Instant::now() + crate::common::WAIT;
    loop {
        let mut wire = Wire::connect(server.addr);
        wire.send(request("/").as_bytes());
        match wire.response().status() {
            101 => return wire.echo("welcome"),
            status => assert_eq!(status, 503),
        }
        assert!(std::time::Instant::now() < deadline, "no connection is accepted");
    }
}

#[test]
fn a_request_can_be_answered_later_by_another_thread() {
    let (ids, asked) = mpsc::channel();
    let (script, calls) = echo_script();
    let server = serve(script.on_request(move |_, id, _| {
        ids.send(id).expect("the test waits");
        Answer::Later
    }));
    let mut wire = Wire::connect(server.addr);
    wire.send(&[request_with("/", "Sec-WebSocket-Protocol: late\r\n").into_bytes(), text("early")].concat());
    let id = asked.recv().expect("a request");
    let answer = || {
        server.ask(move |clients| {
            let early = clients.send(id, "not yet");
            let upgrades = [Upgrade::new().subprotocol("late"), Upgrade::new()];
            (early, upgrades.map(|upgrade| clients.answer(id, upgrade)))
        })
    };
    let outcomes = std::thread::scope(|scope| scope.spawn(answer).join()).expect("an answer");
    assert_eq!(outcomes, (Err(SendError::NotOpen), [Ok(()), Err(SendError::NotOpen)]));
    let response = wire.response();
    assert_eq!((response.status(), response.header("Sec-WebSocket-Protocol")), (101, Some("late")));
    wire.expect_text("early");
    wire.echo("and on");
    assert_eq!(calls.next(), Call::Open(id));
    assert_eq!(calls.next(), Call::Message(id, b"early".to_vec()));

    let mut wire = Wire::connect(server.addr);
    wire.send(request("/").as_bytes());
    let id = asked.recv().expect("a request");
    server.ask(move |clients| clients.answer(id, StatusCode::FORBIDDEN)).expect("it waits");
    assert_eq!(wire.response().status(), 403);
    wire.expect_end();
}

#[test]
fn a_client_accepted_and_closed_in_one_call_still_gets_on_open() {
    let (ids, asked) = mpsc::channel();
    let (script, calls) = script();
    let server = serve(script.on_request(move |_, id, _| {
        ids.send(id).expect("the test waits");
        Answer::Later
    }));
    let mut wire = Wire::connect(server.addr);
    wire.send(request("/").as_bytes());
    let id = asked.recv().expect("a request");
    server.ask(move |clients| {
        clients.answer(id, Upgrade::new()).expect("it waits");
        clients.close(id, lariat::CloseCode::Policy, "not today").expect("it is open");
    });
    assert_eq!(wire.response().status(), 101);
    assert_eq!(wire.expect_close(1008), "not today");
    wire.send(&crate::common::close(1008, "not today"));
    wire.expect_end();
    drop(wire);
    assert_eq!(calls.next(), Call::Open(id));
    assert!(matches!(calls.next(), Call::Close(closed, lariat::CloseReason::Local(_)) if closed == id));
}

#[test]
fn a_client_that_leaves_before_the_answer_gets_no_callback_or_on_open_and_on_close() {
    let (ids, asked) = mpsc::channel();
    let (script, calls) = script();
    let server = serve(script.on_request(move |_, id, _| {
        ids.send(id).expect("the test waits");
        Answer::Later
    }));
    for leave in [Wire::reset, |wire: Wire| drop(wire), |wire: Wire| wire.shutdown_write()] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request("/").as_bytes());
        let id = asked.recv().expect("a request");
        leave(wire);
        match server.ask(move |clients| clients.answer(id, Upgrade::new())) {
            Err(error) => assert_eq!(error, SendError::Gone),
            Ok(()) => {
                assert_eq!(calls.next(), Call::Open(id));
                assert_eq!(calls.close().0, id);
            }
        }
    }
    drop(server);
    assert_eq!(calls.rest(), []);
}

#[test]
fn a_request_that_is_not_answered_in_time_gets_503() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(50);
    let (script, calls) = script();
    let server = serve_with(config, script.on_request(|_, _, _| Answer::Later));
    let mut wire = Wire::connect(server.addr);
    wire.send(request("/").as_bytes());
    assert_eq!(wire.response().status(), 503);
    wire.expect_end();
    drop(server);
    assert_eq!(calls.rest(), []);
}

#[test]
fn an_incomplete_request_gets_408_in_time_and_an_empty_one_is_disconnected() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(50);
    let server = serve_with(config, script().0);
    let mut silent = Wire::connect(server.addr);
    let mut slow = Wire::connect(server.addr);
    slow.send(&request("/").as_bytes()[..40]);
    assert_eq!(slow.response().status(), 408);
    slow.expect_end();
    silent.expect_end();
}

#[test]
fn an_existing_listener_can_be_used() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = Server::new(Config::default()).and_then(|server| server.listen_on(listener)).expect("a server");
    let server = crate::common::run(server, echo_script().0);
    Wire::open(server.addr).echo("hello");
}

#[test]
fn the_application_sees_the_whole_request() {
    let (seen, heard) = mpsc::channel();
    let (script, _calls) = script();
    let server = serve(script.on_request(move |clients, id, request| {
        let cookies: Vec<String> = request.cookies().map(|(name, value)| format!("{name}={value}")).collect();
        let addr = clients.peer_addr(id);
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        seen.send((text(request.origin()), text(request.header("x-odd")), cookies, addr)).expect("the test waits");
        StatusCode::NO_CONTENT.into()
    }));
    let mut wire = Wire::connect(server.addr);
    let headers = "Origin: https://example.org\r\nX-ODD:  spaced \r\nCookie: a=1; b=2\r\nCookie: c=3\r\n";
    wire.send(request_with("/", headers).as_bytes());
    assert_eq!(wire.response().status(), 204);
    let (origin, odd, cookies, addr) = heard.recv().expect("a request");
    assert_eq!((origin.as_str(), odd.as_str()), ("https://example.org", "spaced"));
    assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
    assert_eq!(addr, wire.stream.get_ref().local_addr().ok());
}

/// An answer that cannot be sent returns an error to the caller, and the client gets 500.
#[test]
fn a_late_answer_that_cannot_be_sent_is_an_error() {
    let header = |name: &'static str, value: &'static str| {
        let name = lariat::http::HeaderName::from_static(name);
        Upgrade::new().header(name, lariat::http::HeaderValue::from_static(value))
    };
    type Make = Box<dyn Fn() -> Answer + Send>;
    let answers: [(Make, &str, u16, &str); 6] = [
        (Box::new(|| Upgrade::new().subprotocol("chat").into()), "", 500, "the chosen subprotocol was not offered"),
        (Box::new(move || header("upgrade", "x").into()), "", 500, "a header of the handshake itself cannot be set"),
        (Box::new(move || header("sec-websocket-accept", "x").into()), "", 500, "a header of the handshake itself"),
        (Box::new(|| StatusCode::SWITCHING_PROTOCOLS.into()), "", 500, "no final status"),
        (Box::new(|| StatusCode::CONTINUE.into()), "", 500, "no final status"),
        (Box::new(|| Upgrade::new().into()), "plain", 426, "new WebSocket(\"ws://...\")"),
    ];
    for (answer, kind, status, why) in answers {
        let (ids, asked) = mpsc::channel();
        let (script, calls) = script();
        let server = serve(script.on_request(move |_, id, _| {
            ids.send(id).expect("the test waits");
            Answer::Later
        }));
        let mut wire = Wire::connect(server.addr);
        let head = if kind == "plain" { "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned() } else { request("/") };
        wire.send(head.as_bytes());
        let id = asked.recv().expect("a request");
        let error = server.ask(move |clients| clients.answer(id, answer())).expect_err("it cannot be sent");
        assert!(matches!(error, SendError::BadAnswer(rejection) if rejection.status() == status), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(wire.response().status(), status);
        assert_eq!(server.ask(move |clients| clients.answer(id, Upgrade::new())), Err(SendError::NotOpen));
        drop((wire, server));
        assert_eq!(calls.rest(), []);
    }
}

/// The same answers, given at once.
#[test]
fn an_answer_without_a_final_status_is_not_sent() {
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::PROCESSING] {
        let server = serve(script().0.on_request(move |_, _, _| status.into()));
        let mut wire = Wire::connect(server.addr);
        wire.send(request("/").as_bytes());
        assert_eq!(wire.response().status(), 500, "{status}");
    }
}
