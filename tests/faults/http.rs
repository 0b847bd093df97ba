//! HTTP clients beside WebSocket ones: bodies and responses stay within the memory budget, slow
//! and hostile clients end, and a body that is not complete never looks complete.

use crate::common::{request, text};
use crate::kit::{audited_rest, connect, status, tight, turns_to_echo};
use lariat::http::{Response, StatusCode};
use lariat::sim::{Peer, Simulation};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, Drain, Handler, Http, HttpResponse, Message, Request, Upgrade,
};
use std::time::Duration;

const MIB: usize = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

/// Answers with the method, the path and the length of the body. `/stream` is streamed, `/none` is
/// streamed with a status that has no body, `/large` has a body of a mebibyte.
#[derive(Default)]
struct Api {
    requests: Vec<String>,
    streams: Vec<ClientId>,
    closed: Vec<CloseReason>,
    drained: usize,
    panics: bool,
}

impl Handler for Api {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        let line = format!("{} {} {}", request.method(), request.path(), request.body().len());
        self.requests.push(line.clone());
        match request.path() {
            "/stream" | "/none" => {
                self.streams.push(id);
                let mut response = Response::new(());
                if request.path() == "/none" {
                    *response.status_mut() = StatusCode::NO_CONTENT;
                }
                HttpResponse::streamed(response).into()
            }
            "/large" => Response::new(vec![b'x'; MIB]).into(),
            "/paused" => {
                assert!(clients.pause(id));
                Response::new(line).into()
            }
            "/later" => {
                clients.set_timer(SECOND, id.to_u64());
                Answer::Later
            }
            "/" if request.is_upgrade() => Upgrade::new().into(),
            _ => Response::new(line).into(),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: lariat::TimerId, token: u64) {
        let id = ClientId::from_u64(token).expect("an id");
        let _ = clients.answer(id, Response::new("late"));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_drain(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.drained += 1;
        assert!(!self.panics, "as the test wants");
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.closed.push(reason.clone());
    }
}

fn with_http(mut config: Config, change: impl FnOnce(&mut Http)) -> Config {
    let mut http = Http::default();
    change(&mut http);
    config.limits.http = Some(http);
    config
}

fn api(config: Config) -> Simulation<Api> {
    Simulation::new(1, with_http(config, |_| {}), Api::default())
}

fn send(sim: &mut Simulation<Api>, bytes: &str) -> Peer {
    let peer = sim.connect_raw();
    peer.send_raw(bytes.as_bytes());
    sim.run_until_idle();
    peer
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn received(peer: &Peer) -> String {
    String::from_utf8_lossy(&peer.received_raw()).into_owned()
}

fn push(sim: &mut Simulation<Api>, piece: &[u8]) -> Result<(), lariat::SendError> {
    let id = *sim.handler().streams.last().expect("a stream");
    let outcome = sim.clients().send_body(id, piece);
    sim.run_until_idle();
    outcome
}

#[test]
fn a_request_that_is_cut_anywhere_is_answered_once_or_not_at_all() {
    let chunked = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
                   3;x\r\nabc\r\n0\r\nSum: 1\r\n\r\n";
    let all = format!("{}{chunked}{}", post("/a", "", "hello"), request("/"));
    for cut in 0..=all.len() {
        for end in [Peer::half_close, Peer::reset, Peer::hang_up] {
            let mut sim = api(Config::default());
            let peer = send(&mut sim, &all[..cut]);
            end(&peer);
            sim.run_for(30 * SECOND);
            assert_eq!(sim.footprint().connections, 0, "cut at {cut}");
        }
        let mut sim = api(Config::default());
        let peer = send(&mut sim, &all[..cut]);
        peer.send_raw(&all.as_bytes()[cut..]);
        peer.send_raw(&text("hello"));
        sim.run_until_idle();
        assert_eq!(sim.handler().requests, ["POST /a 5", "POST /b 3", "GET / 0"], "cut at {cut}");
        let bytes = received(&peer);
        assert_eq!((bytes.matches("HTTP/1.1 200").count(), bytes.matches("HTTP/1.1 101").count()), (2, 1));
        assert!(bytes.ends_with("hello"), "cut at {cut}");
    }
}

#[test]
fn a_slow_body_has_the_time_of_a_handshake_and_each_request_its_own() {
    let mut sim = api(Config::default());
    let peer = sim.connect_raw();
    for _ in 0..3 {
        // A body that comes in time, at the last moment.
        peer.send_raw(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        for byte in b"123456789" {
            sim.run_for(SECOND);
            peer.send_raw(&[*byte]);
        }
        sim.run_until_idle();
    }
    assert_eq!(sim.handler().requests.len(), 3);
    // One that comes too late, although each byte is soon followed by another.
    peer.send_raw(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n");
    for _ in 0..11 {
        peer.send_raw(b"x");
        sim.run_for(SECOND);
    }
    assert!(received(&peer).contains("HTTP/1.1 408"));
    sim.run_for(10 * SECOND);
    assert_eq!(sim.footprint().connections, 0);
}

#[test]
fn the_beginning_of_another_request_ends_a_long_keep_alive() {
    let config = with_http(Config::default(), |http| http.keep_alive = 60 * SECOND);
    let mut sim = Simulation::new(1, config, Api::default());
    let peer = send(&mut sim, &get("/a"));
    sim.run_for(40 * SECOND);
    assert_eq!(sim.footprint().connections, 1);
    peer.send_raw(b"G");
    sim.run_for(11 * SECOND);
    assert!(received(&peer).contains("HTTP/1.1 408"), "{}", received(&peer));
}

#[test]
fn bodies_of_a_thousand_clients_stay_within_the_budget() {
    let budget = 16 * MIB;
    let mut sim = api(tight(budget));
    let good = connect(&mut sim, 1).remove(0);
    let mut peers = Vec::new();
    for number in 0..1_000 {
        let peer = sim.connect_raw();
        let framing = if number % 2 == 0 { "Content-Length: 65536" } else { "Transfer-Encoding: chunked" };
        let size = if number % 2 == 0 { "" } else { "fff0\r\n" };
        peer.send_raw(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{size}").as_bytes());
        peer.send_raw(&[b'x'; 60_000]);
        peers.push(peer);
        if number % 50 == 0 {
            audited_rest(&mut sim, budget);
        }
    }
    audited_rest(&mut sim, budget);
    turns_to_echo(&mut sim, &good, 50);
    assert!(sim.footprint().held > 0 && sim.clients().stats().evictions > 0);
    sim.run_for(60 * SECOND);
    assert_eq!(sim.footprint().connections, 1, "only the WebSocket is left");
    audited_rest(&mut sim, budget);
    assert!(sim.handler().requests.len() < 3, "no body was complete");
}

#[test]
fn responses_without_a_body_have_no_framing_that_a_client_would_wait_for() {
    let mut sim = api(Config::default());
    let peer = send(&mut sim, &get("/none"));
    let bytes = received(&peer);
    assert!(bytes.starts_with("HTTP/1.1 204") && bytes.ends_with("\r\n\r\n"), "{bytes}");
    assert!(!bytes.contains("Transfer-Encoding") && !bytes.contains("Content-Length"), "RFC 9112 §6.1: {bytes}");
    assert!(push(&mut sim, b"x").is_err());
    peer.hang_up();
    let peer = send(&mut sim, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(received(&peer).contains("Transfer-Encoding: chunked\r\n\r\n"));
    peer.hang_up();
    sim.run_until_idle();
    assert_eq!(sim.handler().closed.len(), 2, "on_close ends every stream");
    // HEAD keeps the connection, and no byte of a body confuses it.
    let peer = send(&mut sim, &format!("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/b")));
    let bytes = received(&peer);
    assert!(bytes.contains("Content-Length: 1048576\r\n\r\nHTTP/1.1 200 OK") && bytes.ends_with("GET /b 0"), "{bytes}");
}

#[test]
fn connect_is_refused_because_a_proxy_would_take_the_rest_for_a_tunnel() {
    let mut sim = api(Config::default());
    for target in ["/", "example.org:443", "http://example.org/"] {
        let peer = send(&mut sim, &format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/smuggled")));
        assert_eq!(status(&received(&peer)), 400);
    }
    assert_eq!(sim.handler().requests.len(), 0);
}

#[test]
fn the_end_of_the_stream_after_the_last_request_does_not_cut_its_response_off() {
    for (path, size) in [("/large", MIB), ("/a", 8)] {
        let mut sim = api(Config::default());
        let peer = sim.connect_raw();
        peer.stop_reading();
        peer.send_raw(get(path).as_bytes());
        sim.run_until_idle();
        peer.half_close();
        sim.run_until_idle();
        peer.resume_reading();
        sim.run_for(10 * SECOND);
        let length = peer.received_raw().len();
        assert!(length > size && peer.has_heard_end(), "{path}: {length}");
        assert_eq!(sim.footprint().connections, 0);
    }
}

#[test]
fn a_stream_that_breaks_off_never_looks_complete() {
    type End = fn(&mut Simulation<Api>, ClientId);
    let ends: [End; 3] = [
        |sim, id| assert!(sim.clients().terminate(id)),
        |sim, id| {
            let limit = Config::default().limits.max_unsent;
            assert!(sim.clients().send_body(id, vec![0; limit + 1]).is_err());
        },
        |sim, _| sim.clients().shutdown(Drain::default()),
    ];
    for end in ends {
        for version in ["1.0", "1.1"] {
            let mut sim = api(Config::default());
            let peer = send(&mut sim, &format!("GET /stream HTTP/{version}\r\nHost: a\r\n\r\n"));
            push(&mut sim, b"half of ").expect("it is streamed");
            let id = sim.handler().streams[0];
            end(&mut sim, id);
            sim.run_for(10 * SECOND);
            let is_whole = peer.received_raw().ends_with(b"0\r\n\r\n") || (version == "1.0" && peer.has_heard_end());
            assert!(!is_whole, "HTTP/{version}: {}, {:?}", received(&peer), peer.close_reason());
            assert_eq!(sim.handler().closed.len(), 1);
        }
    }
}

#[test]
fn a_panic_on_behalf_of_a_stream_ends_it() {
    let mut sim = api(Config::default());
    let peer = send(&mut sim, &get("/stream"));
    peer.stop_reading();
    sim.handler_mut().panics = true;
    push(&mut sim, &[0; MIB]).expect("it is streamed");
    peer.resume_reading();
    sim.run_for(SECOND);
    assert_eq!(sim.handler().drained, 1);
    assert_eq!(sim.handler().closed, [CloseReason::HandlerPanicked]);
}

#[test]
fn a_shutdown_ends_kept_connections_and_streams_and_refuses_new_streams() {
    let mut sim = api(Config::default());
    let kept = send(&mut sim, &get("/a"));
    let stream = send(&mut sim, &get("/stream"));
    let later = send(&mut sim, &get("/later"));
    let mut drain = Drain::default();
    drain.over = 2 * SECOND;
    sim.clients().shutdown(drain);
    sim.run_until_idle();
    kept.send_raw(get("/stream").as_bytes());
    sim.run_for(SECOND / 2);
    assert!(received(&kept).contains("HTTP/1.1 503"), "{}", received(&kept));
    sim.run_for(10 * SECOND);
    assert!(stream.close_reason().is_some() || stream.has_heard_end());
    let late = received(&later);
    assert!(late.ends_with("late") && late.contains("Connection: close"), "{late}");
    let outcome = sim.outcome().expect("it has stopped");
    assert!(outcome.dropped == 0 && sim.elapsed() < 9 * SECOND, "it does not wait for the deadline");
}

#[test]
fn a_paused_client_is_answered_and_a_stream_cannot_be_paused() {
    let mut sim = api(Config::default());
    let peer = send(&mut sim, &format!("{}{}", get("/paused"), get("/b")));
    assert!(received(&peer).ends_with("GET /b 0"));
    send(&mut sim, &get("/stream"));
    let id = sim.handler().streams[0];
    assert!(!sim.clients().pause(id) && !sim.clients().is_paused(id));
}

#[test]
fn an_upgrade_after_other_requests_leaves_nothing_of_them() {
    let mut sim = api(Config::default());
    let peer = send(&mut sim, &format!("{}{}", post("/a", "", "x"), request("/")));
    assert!(received(&peer).contains("HTTP/1.1 101"));
    let found = sim.footprint();
    assert_eq!((found.connections, found.buffers, found.rare), (1, 0, 0), "{found:?}");
}

#[test]
fn the_most_requests_hold_however_they_come() {
    let config = with_http(Config::default(), |http| http.max_requests = 4);
    let mut sim = Simulation::new(1, config, Api::default());
    let peer = send(&mut sim, &get("/a").repeat(20));
    assert_eq!(received(&peer).matches("HTTP/1.1 200").count(), 4);
    let peer = send(&mut sim, &get("/later"));
    for _ in 0..10 {
        sim.run_for(2 * SECOND);
        peer.send_raw(get("/later").as_bytes());
    }
    sim.run_for(10 * SECOND);
    assert_eq!(received(&peer).matches("HTTP/1.1 200").count(), 4);
    assert_eq!(sim.footprint().connections, 0);
}
