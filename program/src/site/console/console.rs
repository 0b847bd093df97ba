//! `/console`: shows a page what went over the wire of its socket, as this server sees it.
//!
//! The page opens two sockets. Over the one at `/console`, it gets a token that cannot be guessed.
//! To the URL of the other one, on any path of this server, it adds `?wire=TOKEN.7`. That
//! connection is traced from its handshake on, and the page gets the trace over the first socket,
//! as its connection 7. If the connection has TLS, what was agreed comes before the request:
//! `{"tls":{"on":7,...}}`, with the fields that `secured` lists.

use crate::site::secured::Secured;
use crate::site::traced::{LastFrame, Step, hex};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, ReadyState, Request, Side, Trace};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The path of the console.
pub(in crate::site) const PATH: &str = "/console";

/// While more bytes than this wait for a page, it gets no traces, only their number afterwards.
const TOO_MUCH: usize = 1 << 20;

/// The most connections that a page can watch at a time.
const MAX_WATCHED: usize = 16;

/// Returns whether a request asks for a trace. The token is checked later.
pub(in crate::site) fn is_watched(request: &Request<'_>) -> bool {
    request.path() != PATH && request.query_value("wire").is_some()
}

/// Returns whether a request asks for uncompressed messages, which can be read on the wire.
pub(in crate::site) fn wants_no_compression(request: &Request<'_>) -> bool {
    is_watched(request) && request.query_value("plain").is_some()
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ToPage<'a> {
    Token(&'a str),
    Missed(u32),
    #[serde(untagged)]
    Step(Step<'a>),
}

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromPage {
    Ping { on: u32, payload: String },
    Close { on: u32, code: u16, reason: String },
}

/// A page.
pub(super) struct Watcher {
    pub(super) token: String,
    /// Its watched connections, by the numbers that the page gave them.
    pub(super) watched: HashMap<u32, ClientId>,
    /// The traces that it did not get.
    pub(super) missed: u32,
}

/// A connection that is watched.
pub(super) struct Watched {
    pub(super) by: ClientId,
    pub(super) on: u32,
    pub(super) last: LastFrame,
}

/// The handler of `/console`: sends pages the traces of their other connections.
#[derive(Default)]
pub struct Console {
    pub(super) watchers: HashMap<ClientId, Watcher>,
    pub(super) watched: HashMap<ClientId, Watched>,
}

impl Console {
    /// Returns the page that watches the connection of this request, and the number that it gave
    /// it.
    fn watcher_of(&self, head: &[u8]) -> Option<(ClientId, u32)> {
        let request = Request::parse(head).ok()?;
        let wire = request.query_value("wire")?;
        let (token, on) = wire.split_once('.')?;
        let (by, watcher) = self.watchers.iter().find(|(_, watcher)| watcher.token == token)?;
        let on = on.parse().ok()?;
        (watcher.watched.len() < MAX_WATCHED && !watcher.watched.contains_key(&on)).then_some((*by, on))
    }

    fn send(&mut self, clients: &mut Clients<()>, by: ClientId, message: &ToPage<'_>) {
        let Some(watcher) = self.watchers.get_mut(&by) else { return };
        if clients.buffered_amount(by) > TOO_MUCH {
            watcher.missed += 1;
            return;
        }
        let missed = std::mem::take(&mut watcher.missed);
        for message in [&ToPage::Missed(missed), message].into_iter().skip(usize::from(missed == 0)) {
            let _ = clients.send(by, &serde_json::to_string(message).unwrap_or_default());
        }
    }

    fn forget(&mut self, id: ClientId) {
        let Some(Watched { by, on, .. }) = self.watched.remove(&id) else { return };
        if let Some(watcher) = self.watchers.get_mut(&by) {
            watcher.watched.remove(&on);
        }
    }

    fn act(&self, clients: &mut Clients<()>, id: ClientId, asked: &FromPage) {
        let (FromPage::Ping { on, .. } | FromPage::Close { on, .. }) = asked;
        let Some(target) = self.watchers.get(&id).and_then(|watcher| watcher.watched.get(on)) else { return };
        // This fails if the connection is closing. The page sees that in the trace.
        let _ = match asked {
            FromPage::Ping { payload, .. } => clients.ping(*target, payload.as_bytes()),
            FromPage::Close { code, reason, .. } => clients.close(*target, CloseCode::from(*code), reason),
        };
    }
}

impl Handler for Console {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let token = hex(&rand::random::<[u8; 16]>());
        self.watchers.insert(id, Watcher { token: token.clone(), watched: HashMap::new(), missed: 0 });
        self.send(clients, id, &ToPage::Token(&token));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(asked) => self.act(clients, id, &asked),
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        if let Trace::Handshake { side: Side::Peer, text } = trace {
            let Some((by, on)) = self.watcher_of(text) else {
                clients.untrace(id);
                return;
            };
            self.watched.insert(id, Watched { by, on, last: LastFrame::default() });
            if let Some(watcher) = self.watchers.get_mut(&by) {
                watcher.watched.insert(on, id);
            }
            // `Trace::Secured` came before the request, so before it was known who watches.
            let info = clients.tls(id).cloned();
            if let Some(info) = &info {
                self.send(clients, by, &ToPage::Step(Step::Tls { on, secured: Secured::from(info) }));
            }
        }
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let (by, on) = (watched.by, watched.on);
        if let Some(step) = watched.last.step(on, trace) {
            self.send(clients, by, &ToPage::Step(step));
        }
        if matches!(trace, Trace::State { to, .. } if to.ready_state() == ReadyState::Closed) {
            self.forget(id);
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        *self = Console::restored(saved)?;
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        let Some(watcher) = self.watchers.remove(&id) else { return };
        for watched in watcher.watched.into_values() {
            self.watched.remove(&watched);
            clients.untrace(watched);
        }
    }
}
