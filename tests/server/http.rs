//! HTTP beside WebSocket: bodies of requests, several requests on one connection, streamed
//! responses.

use crate::common::{Call, Running, WAIT, Wire, request, serve_with, text};
use lariat::http::{Response, StatusCode};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, Drain, Handler, Http, HttpResponse, Message, Request, Upgrade,
};
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A page of a mebibyte that all responses share.
static LARGE: [u8; 1 << 20] = [b'x'; 1 << 20];

/// Answers with the method and the body; `/static` and `/shared` with a large page, `/stream` with
/// a body that comes in pieces, and `/socket` with an upgrade.
struct Api {
    shared: Arc<[u8]>,
    streams: Vec<ClientId>,
    calls: Sender<Call>,
}

impl Handler for Api {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        match request.path() {
            "/static" => Response::new(&LARGE[..]).into(),
            "/shared" => Response::new(self.shared.clone()).into(),
            "/close" => Response::builder().header("connection", "close").body("bye").expect("valid").into(),
            "/socket" => Upgrade::new().into(),
            "/stream" => {
                self.streams.push(id);
                let token = id.to_u64();
                clients.set_timer(Duration::ZERO, token);
                HttpResponse::streamed(Response::new(())).into()
            }
            "/endless" => HttpResponse::streamed(Response::new(())).into(),
            "/later" => {
                clients.set_timer(Duration::from_millis(1), id.to_u64());
                Answer::Later
            }
            _ => {
                let body = String::from_utf8_lossy(request.body());
                Response::new(format!("{} {} {body}", request.method(), request.path())).into()
            }
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: lariat::TimerId, token: u64) {
        let id = ClientId::from_u64(token).expect("an id");
        if self.streams.contains(&id) {
            for piece in ["one ", "", "two ", "three"] {
                clients.send_body(id, piece).expect("it is streamed");
            }
            clients.end_body(id).expect("it is streamed");
            assert!(clients.send_body(id, "more").is_err() && clients.end_body(id).is_err());
        } else {
            let _ = clients.answer(id, Response::new("at last"));
        }
    }

    fn on_drain(&mut self, _: &mut Clients<()>, id: ClientId) {
        let _ = self.calls.send(Call::Drain(id));
    }

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        let _ = self.calls.send(Call::Close(id, reason.clone()));
    }
}

fn api(change: impl FnOnce(&mut Http)) -> (Running, Receiver<Call>) {
    let mut config = Config::default();
    let mut http = Http::default();
    change(&mut http);
    config.limits.http = Some(http);
    let (calls, received) = channel();
    (serve_with(config, Api { shared: LARGE.to_vec().into(), streams: Vec::new(), calls }), received)
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

fn with_length(path: &str, body: &str) -> String {
    post(path, &format!("Content-Length: {}\r\n", body.len()), body)
}

#[test]
fn every_method_and_its_body_reach_on_request_on_one_connection() {
    let (server, _calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE"] {
        let bodies: &[&str] = if method == "GET" { &[""] } else { &["", "hello", "{\"a\": 1}"] };
        for body in bodies {
            let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            wire.send(format!("{method} /p HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}").as_bytes());
            let response = wire.response();
            assert_eq!(response.status(), 200);
            assert_eq!(String::from_utf8_lossy(&response.body), format!("{method} /p {body}"));
            assert_eq!(response.header("connection"), None);
        }
    }
    let stats = server.ask(|clients| clients.stats());
    assert_eq!(stats.refused.get(&200), Some(&22));
    // The connection can still become a WebSocket.
    wire.send(request("/socket").as_bytes());
    assert_eq!(wire.response().status(), 101);
    wire.echo("still here");
}

#[test]
fn a_chunked_body_is_decoded_however_it_is_cut() {
    let (server, _calls) = api(|_| {});
    let body = "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    let bytes = post("/p", "Transfer-Encoding: chunked\r\n", body);
    for step in [1, 2, 7, bytes.len()] {
        let mut wire = Wire::connect(server.addr);
        for piece in bytes.as_bytes().chunks(step) {
            wire.send(piece);
        }
        assert_eq!(wire.response().body, b"POST /p abcde", "{step}");
    }
}

#[test]
fn pipelined_requests_are_answered_one_by_one_in_order() {
    let (server, _calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    let all: String = (0..90).map(|number| with_length(&format!("/{number}"), "x")).collect();
    wire.send(all.as_bytes());
    for number in 0..90 {
        assert_eq!(wire.response().body, format!("POST /{number} x").as_bytes());
    }
    // Large responses to a client that does not read are not all queued at once.
    let mut wire = Wire::connect(server.addr);
    wire.send("GET /static HTTP/1.1\r\nHost: a\r\n\r\nGET /shared HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20).as_bytes());
    for _ in 0..40 {
        assert_eq!(wire.response().body.len(), LARGE.len());
    }
    assert!(server.ask(|clients| clients.stats().buffered) < 1 << 20, "bodies of the application are not counted");
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends_the_body() {
    let (server, _calls) = api(|http| http.max_body = 10);
    let mut wire = Wire::connect(server.addr);
    wire.send(post("/p", "Content-Length: 5\r\nExpect: 100-continue\r\n", "").as_bytes());
    let mut interim = [0; 25];
    wire.stream.read_exact(&mut interim).expect("an interim response");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.send(b"hello");
    assert_eq!(wire.response().body, b"POST /p hello");
    for (headers, status) in
        [("Content-Length: 11\r\nExpect: 100-continue\r\n", 413), ("Content-Length: 5\r\nExpect: a-miracle\r\n", 400)]
    {
        let mut wire = Wire::connect(server.addr);
        wire.send(post("/p", headers, "").as_bytes());
        assert_eq!(wire.response().status(), status);
        wire.expect_end();
    }
}

#[test]
fn any_doubt_about_where_a_request_ends_closes_the_connection() {
    let (server, _calls) = api(|http| http.max_body = 1_000);
    for (headers, body, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", 400),
        ("Content-Length: 5, 5\r\n", "hello", 400),
        ("Content-Length: +5\r\n", "hello", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "3\r\nhello\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "3e9\r\n", 413),
        ("Content-Length: 1001\r\n", "", 413),
    ] {
        let mut wire = Wire::connect(server.addr);
        // What follows must never be taken for a request.
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        wire.send(format!("{}{smuggled}", post("/p", headers, body)).as_bytes());
        assert_eq!(wire.response().status(), status, "{headers} {body}");
        wire.expect_end();
    }
}

#[test]
fn a_connection_ends_after_its_last_request_or_when_either_side_says_so() {
    let (server, _calls) = api(|http| http.max_requests = 3);
    let mut wire = Wire::connect(server.addr);
    for number in 1..=3 {
        wire.send(with_length("/p", "x").as_bytes());
        let expected = if number == 3 { Some("close") } else { None };
        assert_eq!(wire.response().header("connection"), expected);
    }
    wire.expect_end();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request.as_bytes());
        assert_eq!(wire.response().header("connection"), Some("close"));
        wire.expect_end();
    }
}

#[test]
fn a_connection_without_another_request_ends_after_its_keep_alive() {
    let (server, _calls) = api(|http| http.keep_alive = Duration::from_millis(50));
    let mut wire = Wire::connect(server.addr);
    wire.send(with_length("/p", "x").as_bytes());
    assert_eq!(wire.response().status(), 200);
    wire.expect_end();
}

#[test]
fn without_the_option_a_body_is_refused_and_a_connection_has_one_request() {
    let (calls, _received) = channel();
    let server = serve_with(Config::default(), Api { shared: Arc::new([]), streams: Vec::new(), calls });
    let mut wire = Wire::connect(server.addr);
    wire.send(with_length("/p", "hello").as_bytes());
    assert_eq!(wire.response().status(), 413);
    let mut wire = Wire::connect(server.addr);
    wire.send(b"DELETE /p HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = wire.response();
    assert_eq!((response.body.as_slice(), response.header("connection")), (&b"DELETE /p "[..], Some("close")));
    wire.expect_end();
}

#[test]
fn the_data_of_one_request_is_not_that_of_the_next() {
    struct Remembers;
    impl Handler for Remembers {
        type Data = u32;
        fn on_request(&mut self, clients: &mut Clients<u32>, id: ClientId, _: &Request<'_>) -> Answer {
            let data = clients.data_mut(id).expect("connected");
            *data += 1;
            Response::new(data.to_string()).into()
        }
    }
    let mut config = Config::default();
    config.limits.http = Some(Http::default());
    let server = serve_with(config, Remembers);
    let mut wire = Wire::connect(server.addr);
    for _ in 0..3 {
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.response().body, b"1");
    }
}

#[test]
fn streams_count_as_connections() {
    let (calls, _received) = channel();
    let mut config = Config::default();
    config.max_connections = Some(2);
    let server = serve_with(config, Api { shared: Arc::new([]), streams: Vec::new(), calls });
    let request = b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut streams: Vec<Wire> = (0..2).map(|_| Wire::connect(server.addr)).collect();
    for wire in &mut streams {
        wire.send(request);
        read_head(wire);
    }
    let mut wire = Wire::connect(server.addr);
    wire.send(request);
    assert_eq!(wire.response().status(), 503);
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response().status(), 200);
}

#[test]
fn responses_leave_nothing_behind() {
    let (server, _calls) = api(|http| http.max_requests = 10_000);
    let mut wire = Wire::connect(server.addr);
    let body = "x".repeat(20_000);
    for _ in 0..200 {
        wire.send(with_length("/p", &body).as_bytes());
        assert_eq!(wire.response().status(), 200);
    }
    let held = server.ask(|clients| clients.stats().buffered);
    assert!(held < 1 << 20, "{held} bytes are held after 200 responses of 20,000 bytes");
}

#[test]
fn a_late_answer_keeps_the_connection_and_what_followed_the_request() {
    let (server, _calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    wire.send(format!("{}{}", with_length("/later", "x"), with_length("/next", "y")).as_bytes());
    assert_eq!(wire.response().body, b"at last");
    assert_eq!(wire.response().body, b"POST /next y");
}

/// Reads to the end of a head.
fn read_head(wire: &mut Wire) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        wire.stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
}

/// Returns the reason of the next `on_close`.
fn closed(calls: &Receiver<Call>) -> CloseReason {
    loop {
        if let Call::Close(_, reason) = calls.recv_timeout(WAIT).expect("on_close is called") {
            return reason;
        }
    }
}

/// Reads to the end.
fn rest(mut wire: Wire) -> String {
    let mut bytes = Vec::new();
    wire.stream.read_to_end(&mut bytes).expect("the connection ends");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_streamed_body_comes_in_chunks_and_ends_with_the_connection() {
    let (server, calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = rest(wire);
    let (head, body) = all.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("Transfer-Encoding: chunked") && head.contains("Connection: close"), "{head}");
    assert_eq!(body, "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
    assert_eq!(closed(&calls), CloseReason::Refused(StatusCode::OK));
    // HTTP/1.0 knows no chunks, and HEAD has no body.
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /stream HTTP/1.0\r\n\r\n");
    let all = rest(wire);
    assert!(all.ends_with("\r\n\r\none two three") && !all.contains("chunked") && !all.contains("Length"), "{all}");
    let mut wire = Wire::connect(server.addr);
    wire.send(b"HEAD /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(rest(wire).ends_with("\r\n\r\n"));
}

#[test]
fn a_stream_ends_when_the_client_leaves_or_the_server_stops() {
    let (server, calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    read_head(&mut wire);
    assert_eq!(server.ask(|clients| clients.stats().connections.responding), 1);
    drop(wire);
    assert_eq!(closed(&calls), CloseReason::Eof);
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    read_head(&mut wire);
    server.remote.shutdown(Drain::default()).expect("the server runs");
    // The last chunk would say that the body is complete.
    assert_eq!(rest(wire), "");
    server.outcome();
}

#[test]
fn a_stream_has_backpressure_and_a_limit() {
    let (server, calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    read_head(&mut wire);
    // The handler does not know the id of this client, so it is found by its state.
    let push = |clients: &mut Clients<()>, bytes: usize| {
        let id = clients.glances().map(|glance| glance.id).next().expect("a client");
        (clients.send_body(id, vec![b'y'; bytes]), clients.buffered_amount(id))
    };
    let mut sent = 0;
    while server.ask(move |clients| push(clients, 100_000).1) < 3 << 20 {
        sent += 100_000;
    }
    let (outcome, _) = server.ask(move |clients| push(clients, 4 << 20));
    assert!(outcome.is_err());
    assert_eq!((closed(&calls), sent > 0), (CloseReason::SlowConsumer, true));
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    read_head(&mut wire);
    while server.ask(move |clients| push(clients, 100_000).1) < 1 << 20 {}
    let mut reader = wire.stream.get_ref().try_clone().expect("a clone");
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    assert!(matches!(calls.recv_timeout(WAIT), Ok(Call::Drain(_))));
}

/// Neither a last chunk nor a FIN makes the body look complete. In HTTP/1.0, a FIN ends a body.
#[test]
fn a_stream_that_is_cut_off_has_no_end() {
    let (server, calls) = api(|_| {});
    for version in ["1.1", "1.0"] {
        for terminates in [false, true] {
            let mut wire = Wire::connect(server.addr);
            wire.send(format!("GET /endless HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes());
            read_head(&mut wire);
            let push = move |clients: &mut Clients<()>| {
                let id = clients.glances().map(|glance| glance.id).next().expect("a client");
                clients.send_body(id, vec![b'y'; 100_000]).is_ok() && !(terminates && clients.terminate(id))
            };
            while server.ask(push) {}
            let reason = if terminates { CloseReason::Terminated } else { CloseReason::SlowConsumer };
            assert_eq!(closed(&calls), reason);
            let mut bytes = Vec::new();
            let end = wire.stream.read_to_end(&mut bytes).expect_err("the end is not a FIN");
            assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset, "HTTP/{version}");
            assert!(!bytes.ends_with(b"\r\n0\r\n\r\n"));
        }
    }
}

#[test]
fn an_upgrade_after_other_requests_costs_what_others_cost() {
    let (server, _calls) = api(|_| {});
    let mut wire = Wire::connect(server.addr);
    wire.send(format!("{}{}", with_length("/p", "x"), request("/socket")).as_bytes());
    assert_eq!(wire.response().status(), 200);
    assert_eq!(wire.response().status(), 101);
    wire.send(&text("hello"));
    wire.expect_text("hello");
    let stats = server.ask(|clients| clients.stats());
    assert_eq!((stats.connections.open, stats.opened), (1, 1));
}
