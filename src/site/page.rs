//! Plain HTTP on the same port: the page, and whether the server is well.

use crate::{Answer, ClientId, Clients, Handler, Request};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, Response, StatusCode};

const INDEX: &str = include_str!("index.html");

fn respond(status: StatusCode, content_type: &'static str, body: &str) -> Answer {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Answer::Respond(response)
}

/// The page with the echo console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page;

impl Handler for Page {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        respond(StatusCode::OK, "text/html; charset=utf-8", INDEX)
    }
}

/// `/healthz`: the loop turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health;

impl Handler for Health {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
    }
}

/// `/readyz`: new connections are welcome, unless the server is about to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness;

impl Handler for Readiness {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        if clients.is_shutting_down() {
            respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "stopping\n")
        } else {
            respond(StatusCode::OK, "text/plain; charset=utf-8", "ready\n")
        }
    }
}
