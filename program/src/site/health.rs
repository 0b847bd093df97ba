//! `/healthz` and `/readyz`: show over plain HTTP that the server is alive and ready.

use super::all_loops::answer_for_all;
use lariat::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lariat::http::{HeaderValue, Response, StatusCode};
use lariat::{Answer, ClientId, Clients, Handler, Request};

fn respond(status: StatusCode, body: &str) -> Answer {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.into()
}

/// `/healthz`: answers as long as all loops turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health;

impl Handler for Health {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        answer_for_all(clients, id, |_| (), |_, _| respond(StatusCode::OK, "ok\n"))
    }
}

/// `/readyz`: answers 200 while the server accepts connections, and 503 once it is stopping. The
/// text says if the backplane cannot be reached. The status does not: without it, a server still
/// serves its own clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness;

impl Handler for Readiness {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        if clients.is_shutting_down() {
            respond(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        } else if clients.backplane_status().is_some_and(|status| !status.is_up) {
            respond(StatusCode::OK, "ready, but the backplane cannot be reached\n")
        } else {
            respond(StatusCode::OK, "ready\n")
        }
    }
}
