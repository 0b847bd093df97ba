//! A small server of its own thread, which answers `/metrics` from the latest progress.

use super::text::Snapshot;
use crate::load::measure::Second;
use crate::load::run::Progress;
use crate::terminal::Failure;
use lariat::http::header::CONTENT_TYPE;
use lariat::http::{HeaderValue, Method, Response, StatusCode};
use lariat::{Answer, ClientId, Clients, Config, Drain, Handler, Outcome, Remote, Request, Server};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const TYPE: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Those who ask at the same time.
const MOST_CLIENTS: usize = 64;

type Shared = Arc<Mutex<Snapshot>>;

/// The server of the metrics. It ends when this is dropped.
pub(crate) struct Endpoint {
    shared: Shared,
    /// Where they are found.
    pub(crate) url: String,
    remote: Remote<()>,
    thread: Option<JoinHandle<io::Result<Outcome>>>,
}

impl Endpoint {
    /// Listens at this address, and answers from now on.
    pub(crate) fn begin(address: &str, asked: u64) -> Result<Endpoint, Failure> {
        let resolved = address.to_socket_addrs().map_err(|error| {
            Failure(format!("--metrics {address}: {error}. Write an address like 127.0.0.1:9100 or [::]:9100"))
        })?;
        let resolved: Vec<SocketAddr> = resolved.collect();
        let begun = || {
            let mut config = Config::default();
            config.max_connections = Some(MOST_CLIENTS);
            let server = Server::new(config)?.listen(&resolved[..])?;
            let url = server.local_addrs().first().map_or_else(String::new, |addr| format!("http://{addr}/metrics"));
            let (shared, remote) = (Shared::default(), server.remote());
            lock(&shared).progress.asked = asked;
            let page = Page(Arc::clone(&shared));
            let thread = server.spawn(|| page)?;
            Ok(Endpoint { shared, url, remote, thread: Some(thread) })
        };
        begun().map_err(|error: io::Error| {
            Failure(format!(
                "--metrics {address}: cannot listen there: {error}. Choose an address of this host and a free port"
            ))
        })
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        lock(&self.shared).progress = progress.clone();
    }

    pub(crate) fn second(&self, second: &Second) {
        lock(&self.shared).second = second.clone();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may have failed already.
        let _ = self.remote.shutdown(Drain::default().deadline(Duration::from_millis(100)));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Snapshot> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Page(Shared);

impl Handler for Page {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return StatusCode::METHOD_NOT_ALLOWED.into();
        }
        if request.path() != "/metrics" || request.is_upgrade() {
            return StatusCode::NOT_FOUND.into();
        }
        let mut response = Response::new(lock(&self.0).to_string().into_bytes());
        response.headers_mut().insert(CONTENT_TYPE, TYPE);
        response.into()
    }
}
