//! HTTP beside WebSocket, on one port: a JSON API, server-sent events and a large download.
//!
//! ```text
//! cargo run --example http_api [ADDRESS]
//! curl http://127.0.0.1:9998/notes -d '{"text": "Buy rope"}' -H 'Content-Type: application/json'
//! curl http://127.0.0.1:9998/notes
//! curl -N http://127.0.0.1:9998/events
//! curl http://127.0.0.1:9998/numbers?last=1000000 | tail -n 1
//! ```
//!
//! `/notes` takes notes (POST) and lists them (GET). Pages of other origins may use it (CORS).
//! `/events` tells of each new note: as server-sent events, or over a WebSocket. `/numbers?last=N`
//! is long, and written only as fast as the client reads.
//! `query_value` needs Lariat's feature `urlencoded`.

use lariat::http::{HeaderValue, Method, Response, StatusCode, header};
use lariat::{Answer, ClientId, Clients, CloseReason, Config, Handler, Http, HttpResponse, Request, Server, Upgrade};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// The most notes that are kept. With the longest body, they bound the memory.
const MOST_NOTES: usize = 1_000;

/// A comment for each reader of events goes out so often, so that a proxy does not take the
/// connection for dead, and so that a reader that has vanished is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// So many unsent bytes are enough. It is above [`high_water`](lariat::Limits::high_water), so that
/// `on_drain` follows.
const ENOUGH: usize = 128 << 10;

/// What is streamed to a client.
enum Stream {
    Events,
    /// The next number, and the last one.
    Numbers(u64, u64),
}

#[derive(Default)]
struct Api {
    notes: Vec<Value>,
    streams: HashMap<ClientId, Stream>,
}

impl Api {
    /// Adds a note, and tells everybody.
    fn add(&mut self, clients: &mut Clients<()>, request: &Request<'_>) -> Answer {
        // A page of another origin needs a preflight for this type. A form does not have it.
        if !request.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json");
        }
        let body: Option<Value> = serde_json::from_slice(request.body()).ok();
        let Some(text) = body.as_ref().and_then(|body| body["text"].as_str()) else {
            return problem(StatusCode::BAD_REQUEST, "the body must be {\"text\": \"...\"}");
        };
        if self.notes.len() == MOST_NOTES {
            return problem(StatusCode::INSUFFICIENT_STORAGE, "there are too many notes");
        }
        let note = json!({"id": self.notes.len(), "text": text});
        self.notes.push(note.clone());
        let event = format!("event: note\nid: {}\ndata: {note}\n\n", note["id"]);
        for (id, stream) in &self.streams {
            if matches!(stream, Stream::Events) {
                // If too much is unsent, the loop closes the client. Its browser connects again.
                let _ = clients.send_body(*id, &event);
            }
        }
        clients.broadcast(note.to_string().as_str());
        json_response(StatusCode::CREATED, &note)
    }

    /// Sends numbers until enough are unsent. `on_drain` goes on.
    fn count_on(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(Stream::Numbers(next, last)) = self.streams.get_mut(&id) else { return };
        while *next <= *last {
            let end = last.saturating_add(1).min(*next + 10_000);
            let lines: String = (*next..end).map(|number| format!("{number}\n")).collect();
            if clients.send_body(id, lines).is_err() {
                return;
            }
            *next = end;
            if clients.buffered_amount(id) > ENOUGH {
                return;
            }
        }
        let _ = clients.end_body(id);
    }
}

impl Handler for Api {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        // 0 is no id of a client.
        clients.set_interval(HEARTBEAT, 0);
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        match (request.method(), request.path()) {
            (&Method::GET, "/events") if request.is_upgrade() => Upgrade::new().into(),
            (&Method::GET, "/events") => {
                self.streams.insert(id, Stream::Events);
                streamed("text/event-stream")
            }
            (&Method::GET, "/notes") => json_response(StatusCode::OK, &json!(self.notes)),
            (&Method::POST, "/notes") => self.add(clients, request),
            (&Method::OPTIONS, "/notes") => preflight(),
            (&Method::GET, "/numbers") => {
                let last = request.query_value("last").and_then(|last| last.parse().ok()).unwrap_or(1_000);
                self.streams.insert(id, Stream::Numbers(1, last));
                // The first piece follows this answer.
                clients.set_timer(Duration::ZERO, id.to_u64());
                streamed("text/plain")
            }
            (_, "/notes" | "/events" | "/numbers") => problem(StatusCode::METHOD_NOT_ALLOWED, "no such method here"),
            (_, _) => problem(StatusCode::NOT_FOUND, "there are /notes, /events and /numbers"),
        }
    }

    /// Sends the heartbeat, or begins to send numbers.
    fn on_timer(&mut self, clients: &mut Clients<()>, _: lariat::TimerId, token: u64) {
        if let Some(id) = ClientId::from_u64(token) {
            return self.count_on(clients, id);
        }
        for (id, stream) in &self.streams {
            if matches!(stream, Stream::Events) {
                let _ = clients.send_body(*id, ": still here\n\n");
            }
        }
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.count_on(clients, id);
    }

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.streams.remove(&id);
    }
}

/// Begins a response whose body comes in pieces.
fn streamed(content_type: &'static str) -> Answer {
    let mut response = Response::new(());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    allow_all(HttpResponse::streamed(response))
}

fn json_response(status: StatusCode, value: &Value) -> Answer {
    let mut response = Response::new(format!("{value}\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    allow_all(response.into())
}

fn problem(status: StatusCode, why: &str) -> Answer {
    json_response(status, &json!({"error": why}))
}

/// Answers the question that a browser asks before a page of another origin may send JSON.
fn preflight() -> Answer {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    allow_all(response.into())
}

/// Lets pages of every origin read the response. An API that knows its users by cookies must name
/// origins instead.
fn allow_all(mut response: HttpResponse) -> Answer {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response.into()
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let mut config = Config::default();
    let mut http = Http::default();
    http.max_body = 16 << 10;
    config.limits.http = Some(http);
    let server = Server::new(config)?.listen(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Api::default())
}
