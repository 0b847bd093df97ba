//! `/learn/measure`: what this host allows, and what a thread for each client needs.
//!
//! | from the page | meaning |
//! |---|---|
//! | `"limits"` | which limits does this host have? |
//! | `{"threads":32}` | compare the loop with a server with a thread for each of 32 clients |
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"limits":{"open":3,"server":64,"socket":4096,"found":[]}}` | bytes and limits |
//! | `{"threads":{"clients":32,"messages":640,"threads":{},"looped":{}}}` | what both needed |
//! | `{"refused":"busy"}` | other pages measure |
//! | `{"refused":"failed"}` | it failed; the log says why |
//!
//! The handler waits for nothing: a thread of its own measures. One page at a time measures
//! servers, since others would disturb it.

use super::learn;
use crate::doctor::{Ask, SERVER_BYTES, SOCKET_BYTES, Side, findings, read};
use crate::lab::aside;
#[cfg(unix)]
use crate::lab::{Comparison, MOST_CLIENTS, ManyClients, thread_number};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::{ClientId, Clients, CloseCode, Event, Handler, Message};
use serde::{Deserialize, Serialize};
use std::io;

/// The path of this handler.
pub(super) const PATH: &str = "/learn/measure";

/// The connections for which limits are looked up.
const MANY: u64 = 1_000_000;

/// The most pages for which limits are looked up at a time.
const MOST_LOOKS: usize = 8;

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromPage {
    Limits,
    Threads(usize),
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ToPage {
    Limits {
        open: usize,
        server: u64,
        socket: u64,
        found: Vec<Found>,
    },
    #[cfg(unix)]
    Threads(Box<Comparison>),
    Refused(&'static str),
}

/// A limit of this host.
#[derive(Serialize)]
struct Found {
    limit: &'static str,
    value: String,
    connections: Option<u64>,
}

/// What was measured, for a page.
struct Measured {
    to: ClientId,
    is_look: bool,
    what: io::Result<ToPage>,
}

/// The handler of `/learn/measure`.
#[derive(Debug, Default)]
pub struct Measure {
    /// The pages for which limits are looked up.
    looks: usize,
    /// Whether servers are being measured.
    measures: bool,
}

impl Measure {
    fn begin(&mut self, clients: &mut Clients<()>, to: ClientId, asked: &FromPage) -> io::Result<()> {
        let remote = clients.remote();
        match asked {
            FromPage::Limits => {
                let open = clients.stats().connections.open;
                aside(remote, move || Measured { to, is_look: true, what: Ok(limits(open)) })
            }
            #[cfg(unix)]
            FromPage::Threads(count) => {
                let (own, servers) = ManyClients::new((*count).clamp(1, MOST_CLIENTS))?;
                for server in servers {
                    clients.adopt(server)?;
                }
                let looping = thread_number();
                let request = format!(
                    "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    learn::ECHO
                );
                let work =
                    move || own.compare(request.as_bytes(), looping).map(|found| ToPage::Threads(Box::new(found)));
                aside(remote, move || Measured { to, is_look: false, what: work() })
            }
            #[cfg(not(unix))]
            FromPage::Threads(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn limits(open: usize) -> ToPage {
    let ask = Ask { connections: Some(MANY), side: Side::Server, routes: None, processes: 1 };
    let found = findings(&read(), &ask);
    let found =
        found.into_iter().map(|found| Found { limit: found.limit, value: found.value, connections: found.connections });
    ToPage::Limits { open, server: SERVER_BYTES, socket: SOCKET_BYTES, found: found.collect() }
}

fn send(clients: &mut Clients<()>, to: ClientId, message: &ToPage) {
    let _ = clients.send(to, &serde_json::to_string(message).unwrap_or_default());
}

fn failed(error: &io::Error) -> ToPage {
    log::warn!("a lesson cannot measure: {error}");
    ToPage::Refused("failed")
}

impl Handler for Measure {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let Some(asked) = message.as_text().and_then(|text| serde_json::from_str(text).ok()) else {
            let _ = clients.close(id, CloseCode::Policy, "not understood");
            return;
        };
        let is_look = matches!(asked, FromPage::Limits);
        if if is_look { self.looks >= MOST_LOOKS } else { self.measures } {
            return send(clients, id, &ToPage::Refused("busy"));
        }
        match self.begin(clients, id, &asked) {
            Ok(()) if is_look => self.looks += 1,
            Ok(()) => self.measures = true,
            Err(error) => send(clients, id, &failed(&error)),
        }
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        match event.downcast::<Measured>() {
            Ok(Measured { to, is_look, what }) => {
                if is_look {
                    self.looks = self.looks.saturating_sub(1);
                } else {
                    self.measures = false;
                }
                send(clients, to, &what.unwrap_or_else(|error| failed(&error)));
            }
            Err(unknown) => unknown.log_unhandled(clients),
        }
    }

    /// What is being measured ends with this process. The page asks again.
    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        super::carried::check(saved.is_empty(), "what was measured")
    }
}
