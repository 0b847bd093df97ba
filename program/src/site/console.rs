//! `/console`: what goes over the wire, as this server sees it.
//!
//! The page opens two sockets. Over the one at `/console` it is given a token that nobody can
//! guess. To the URL of the other one, wherever on this server that leads, it adds `?wire=TOKEN.7`:
//! that connection is traced, its handshake included, and its story is told over the first as the
//! page's connection 7.

use super::query::parameter;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, ReadyState, Request, Side, Trace};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Where the console is.
pub(super) const PATH: &str = "/console";

/// So many bytes of a frame's payload are shown.
const SHOWN: usize = 256;

/// With more bytes than this waiting for a page, it is told only of how many steps it was not told.
const TOO_MUCH: usize = 1 << 20;

/// So many connections of a page are watched at a time.
const MAX_WATCHED: usize = 16;

/// Whether the console is to be told of this connection; the token is looked at later.
pub(super) fn is_watched(request: &Request<'_>) -> bool {
    request.path() != PATH && parameter(request.query(), "wire").next().is_some()
}

/// Whether its messages are to travel uncompressed, since one can read them then.
pub(super) fn wants_no_compression(request: &Request<'_>) -> bool {
    is_watched(request) && parameter(request.query(), "plain").next().is_some()
}

/// What the page is told. Bytes are in hexadecimal digits.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Token(&'a str),
    Handshake { on: u32, side: &'static str, text: &'a str },
    Frame { on: u32, side: &'static str, header: String, wire: String, plain: String, length: u64 },
    Payload { on: u32, wire: String, plain: String },
    Violation { on: u32, text: String },
    State { on: u32, from: String, to: String },
    Missed(u32),
}

/// What the page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Ping { on: u32, payload: String },
    Close { on: u32, code: u16, reason: String },
}

/// A page.
struct Watcher {
    token: String,
    /// The connections of its that are watched, by its own numbers.
    watched: HashMap<u32, ClientId>,
    /// Steps of which it was not told.
    missed: u32,
}

/// A connection that is watched.
struct Watched {
    by: ClientId,
    on: u32,
    /// The key of the peer's last frame, and how much of its payload has come.
    key: Option<[u8; 4]>,
    come: usize,
}

/// Tells pages what goes over the wire on other connections of theirs.
#[derive(Default)]
pub struct Console {
    watchers: HashMap<ClientId, Watcher>,
    watched: HashMap<ClientId, Watched>,
}

impl Console {
    /// Who watches the connection that has begun with this request, and as what.
    fn watcher_of(&self, head: &[u8]) -> Option<(ClientId, u32)> {
        let request = Request::parse(head).ok()?;
        let (token, on) = parameter(request.query(), "wire").next()?.split_once('.')?;
        let (by, watcher) = self.watchers.iter().find(|(_, watcher)| watcher.token == token)?;
        let on = on.parse().ok()?;
        (watcher.watched.len() < MAX_WATCHED && !watcher.watched.contains_key(&on)).then_some((*by, on))
    }

    fn tell(&mut self, clients: &mut Clients<()>, by: ClientId, told: &Told<'_>) {
        let Some(watcher) = self.watchers.get_mut(&by) else { return };
        if clients.buffered_amount(by) > TOO_MUCH {
            watcher.missed += 1;
            return;
        }
        let missed = std::mem::take(&mut watcher.missed);
        for told in [&Told::Missed(missed), told].into_iter().skip(usize::from(missed == 0)) {
            let _ = clients.send(by, &serde_json::to_string(told).unwrap_or_default());
        }
    }

    fn forget(&mut self, id: ClientId) {
        let Some(Watched { by, on, .. }) = self.watched.remove(&id) else { return };
        if let Some(watcher) = self.watchers.get_mut(&by) {
            watcher.watched.remove(&on);
        }
    }

    fn obey(&self, clients: &mut Clients<()>, id: ClientId, asked: &Asked) {
        let (Asked::Ping { on, .. } | Asked::Close { on, .. }) = asked;
        let Some(target) = self.watchers.get(&id).and_then(|watcher| watcher.watched.get(on)) else { return };
        // Whoever is closing already is not pinged; the page sees it in the story.
        let _ = match asked {
            Asked::Ping { payload, .. } => clients.ping(*target, payload.as_bytes()),
            Asked::Close { code, reason, .. } => clients.close(*target, CloseCode::from(*code), reason),
        };
    }
}

impl Watched {
    /// Bytes of payload as they were on the wire, and as they were meant, as far as they are shown.
    fn shown(&mut self, wire: &[u8]) -> (String, String) {
        let start = self.come;
        self.come += wire.len();
        let wire = &wire[..wire.len().min(SHOWN.saturating_sub(start))];
        let key = self.key.unwrap_or_default();
        let plain: Vec<u8> = wire.iter().enumerate().map(|(at, byte)| byte ^ key[(start + at) % 4]).collect();
        (hex(wire), hex(&plain))
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Peer => "peer",
        Side::Us => "us",
    }
}

impl Handler for Console {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let token = hex(&rand::random::<[u8; 16]>());
        self.watchers.insert(id, Watcher { token: token.clone(), watched: HashMap::new(), missed: 0 });
        self.tell(clients, id, &Told::Token(&token));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(asked) => self.obey(clients, id, &asked),
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
            self.watched.insert(id, Watched { by, on, key: None, come: 0 });
            if let Some(watcher) = self.watchers.get_mut(&by) {
                watcher.watched.insert(on, id);
            }
        }
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let (by, on) = (watched.by, watched.on);
        match trace {
            Trace::Handshake { side, text } => {
                self.tell(
                    clients,
                    by,
                    &Told::Handshake { on, side: name(*side), text: &String::from_utf8_lossy(text) },
                );
            }
            Trace::Frame { side, header, payload } => {
                let mut whole = Watched { by, on, key: header.mask, come: 0 };
                let (wire, plain) = whole.shown(payload);
                if *side == Side::Peer {
                    *watched = whole;
                }
                let (side, length) = (name(*side), header.length);
                self.tell(clients, by, &Told::Frame { on, side, header: hex(&header.to_bytes()), wire, plain, length });
            }
            Trace::Payload { payload } => {
                let (wire, plain) = watched.shown(payload);
                if !wire.is_empty() {
                    self.tell(clients, by, &Told::Payload { on, wire, plain });
                }
            }
            Trace::Violation(error) => self.tell(clients, by, &Told::Violation { on, text: error.to_string() }),
            Trace::State { from, to } => {
                let (from, to_name) = (format!("{from:?}"), format!("{to:?}"));
                self.tell(clients, by, &Told::State { on, from, to: to_name });
                if to.ready_state() == ReadyState::Closed {
                    self.forget(id);
                }
            }
            _ => {}
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        let Some(watcher) = self.watchers.remove(&id) else { return };
        for watched in watcher.watched.into_values() {
            self.watched.remove(&watched);
            clients.untrace(watched);
        }
    }
}
