//! What stays behind in the old process, and that process while it is there.

use crate::common::{Wire, request};
use crate::kit::{Folder, serve, serve_with};
use lariat::{Answer, ClientId, Clients, Config, Handler, Http, HttpResponse, Message, Request, http};

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
    stays.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stays.response().status(), 200);
    half.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe");
    while first.ask(|clients| clients.stats().connections.handshaking) < 1 {}
    // In the turns after this one, the old process reads it.
    (0..3).for_each(|_| first.ask(|_| ()));
    let second = serve_with(config, &path, || Streams);
    second.ask(|_| ());
    half.send(b"llo");
    assert_eq!(half.response().status(), 503);
    drop((stays, half));
    assert_eq!(first.handed_over(), 0);
}
