//! What stays behind in the old process, and that process while it is there.

use crate::common::{Folder, WAIT, Wire, close, frame, request, request_with, until, until_passed};
use crate::kit::{nothing_saved, only, serve, serve_with};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Closures, Config, Handler, Http, HttpResponse, Message, Request, Upgrade,
    http,
};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Echoes, and answers plain requests with a stream that never ends.
struct Streams;

impl Handler for Streams {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        match request.is_upgrade() {
            true => lariat::Upgrade::new().into(),
            false => HttpResponse::streamed(http::Response::new(())).into(),
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// The old process still has the descriptors of the connections that stay behind, but it must not
/// hear of new ones.
#[test]
fn new_connections_are_those_of_the_new_process() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let first = serve(&path, || Streams);
    let mut stays = Wire::connect(first.addr);
    stays.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stays.response().status(), 200);
    let mut goes = Wire::open(first.addr);
    let second = serve(&path, || Streams);
    second.ask(|_| ());
    goes.echo("it goes along");
    for _ in 0..10 {
        let mut new = Wire::connect(first.addr);
        new.send(request("/").as_bytes());
        assert_eq!(new.response().status(), 101);
        new.echo("it is new");
    }
    // Another process asks as well.
    let third = serve(&path, || Streams);
    assert!(second.handed_over() >= 1);
    drop(stays);
    assert_eq!(first.handed_over(), 1);
    goes.echo("it goes along");
    drop(third);
}

/// What somebody says to the old process would be lost. So its handler does not hear it.
#[test]
fn a_request_that_stays_behind_is_refused() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let mut config = Config::default();
    let mut http = Http::default();
    http.max_body = 10;
    config.limits.http = Some(http);
    let first = serve_with(config.clone(), &path, || Streams);
    let (mut stays, mut half) = (Wire::connect(first.addr), Wire::connect(first.addr));
    let whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stays.send(whole);
    assert_eq!(stays.response().status(), 200);
    let most = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe";
    half.send(most);
    let sent = whole.len() + most.len();
    until(|| first.stats().bytes_read == sent as u64);
    let second = serve_with(config, &path, || Streams);
    second.ask(|_| ());
    half.send(b"llo");
    assert_eq!(half.response().status(), 503);
    drop((stays, half));
    assert_eq!(first.handed_over(), 0);
}

#[test]
fn what_is_not_answered_yet_is_answered_by_the_old_server() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let later = Arc::new(AtomicBool::new(true));
    let (asks, asked) = mpsc::channel();
    let make = move || {
        let (later, asks) = (Arc::clone(&later), asks.clone());
        let closures = Closures::new().on_request(move |clients, id, request| match request.path() {
            "/later" if later.swap(false, Ordering::Relaxed) => {
                // It must not get in the way.
                let _ = clients.set_client_timer(id, Duration::from_secs(1_000), 0);
                let _ = asks.send(id);
                Answer::Later
            }
            "/stream" => HttpResponse::streamed(lariat::http::Response::new(())).into(),
            _ => Upgrade::new().into(),
        });
        nothing_saved(closures.on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        }))
    };
    let old = serve(&path, make.clone());
    let mut open = Wire::open(old.addr);
    let mut waiting = Wire::connect(old.addr);
    waiting.send(request("/later").as_bytes());
    let id = asked.recv_timeout(WAIT).expect("a request");
    let new = serve(&path, make);
    open.echo("it has been taken over");
    until(|| old.ask(|clients| clients.is_shutting_down()));
    let outcome = old.remote.answer(id, HttpResponse::from(lariat::http::Response::new("at last")));
    outcome.expect("it is still there");
    let response = waiting.response();
    assert_eq!((response.status(), &response.body[..]), (200, &b"at last"[..]));
    drop(waiting);
    assert_eq!(old.handed_over(), 1);
    open.echo("still there");
    drop(new);
}

#[test]
fn a_response_that_is_being_streamed_is_completed_by_the_old_server() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (asks, asked) = mpsc::channel();
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let (asks, reports) = (asks.clone(), reports.clone());
        let closures = Closures::new().on_request(move |_, id, request| match request.path() {
            "/stream" => {
                let _ = asks.send(id);
                HttpResponse::streamed(lariat::http::Response::new(())).into()
            }
            _ => Upgrade::new().into(),
        });
        nothing_saved(closures.on_close(move |_, id, reason| drop(reports.send((id, reason.clone())))))
    };
    let old = serve(&path, make.clone());
    let mut stream = Wire::connect(old.addr);
    stream.send(b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let id = asked.recv_timeout(WAIT).expect("a request");
    old.ask(move |clients| clients.send_body(id, "before, ").expect("it is open"));
    let new = serve(&path, make);
    until(|| old.ask(|clients| clients.is_shutting_down()));
    let ended = reported.recv_timeout(WAIT).expect("the new handler is told");
    assert_eq!(ended, (id, CloseReason::LeftBehind));
    // Clients that stay behind get 5 ms each, and responses get the whole time.
    until_passed(std::time::Instant::now(), Duration::from_millis(100));
    old.ask(move |clients| {
        clients.send_body(id, "and after").expect("it is open");
        clients.end_body(id).expect("it is open");
    });
    assert_eq!(stream.response().status(), 200);
    let mut body = String::new();
    stream.stream.read_to_string(&mut body).expect("text");
    assert!(body.contains("before, ") && body.contains("and after"), "{body:?}");
    drop(stream);
    assert_eq!(old.handed_over(), 0);
    drop(new);
}

#[test]
fn the_new_handler_is_told_of_the_end_of_what_stays_behind() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        let closures = Closures::new().on_open(|clients, id| clients.receive_in_pieces(id));
        nothing_saved(closures.on_close(move |_, id, reason| drop(reports.send((id, reason.clone())))))
    };
    let old = serve(&path, make.clone());
    let mut client = Wire::connect(old.addr);
    client.send(request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").as_bytes());
    assert_eq!(client.response().status(), 101);
    until(|| old.ask(|clients| clients.len()) == 1);
    let id = old.ask(|clients| {
        let id = only(clients);
        clients.set_client_timer(id, Duration::from_secs(1_000), 0);
        id
    });
    // The beginning of a compressed message: "Hello".
    client.send(&frame(0x41, &[0xf2, 0x48, 0xcd]));
    let read = request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").len() as u64 + 9;
    until(|| old.stats().bytes_read == read);
    let new = serve(&path, make);
    let (ended, reason) = reported.recv_timeout(WAIT).expect("its end");
    assert_eq!((ended, reason), (id, CloseReason::LeftBehind));
    client.expect_close(1012);
    client.send(&close(1012, ""));
    drop(client);
    assert_eq!(old.handed_over(), 0);
    drop(new);
}
