//! `/learn/slow`: one side stops reading. Pages see what becomes of what the other side sends.
//!
//! A page opens `/learn/slow?for=TOKEN` with a random token, and gets the reports on all
//! connections with the same token:
//!
//! * `/learn/slow?for=TOKEN&feed=close`, `newest` or `latest` gets numbered messages, more than its
//!   buffers hold, under that policy for slow consumers. The lab opens it, and does not read.
//! * `/learn/slow?for=TOKEN&intake` takes messages and counts their bytes, unless it is paused.
//!
//! | from the page | meaning |
//! |---|---|
//! | `"pause"`, `"resume"` | read nothing from the intake, or read it again |
//!
//! | to the page | meaning |
//! |---|---|
//! | `"ready"` | reports will come |
//! | `{"fed":{"sent":9,"bytes":72000,"unsent":0,"lost":0,"mark":65536}}` | of a feed |
//! | `{"over":{"reason":"slow_consumer"}}` | the feed has ended, and why |
//! | `{"took":{"bytes":9,"paused":false}}` | of the intake: bytes so far |

#[cfg(unix)]
use lariat::RestoreError;
use lariat::{
    Answer, Cause, ClientId, Clients, CloseCode, CloseReason, Handler, Limits, Message, Request, SlowConsumer, TimerId,
    Upgrade,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// The path of this handler.
pub(super) const PATH: &str = "/learn/slow";

/// The time between two messages of a feed.
const PERIOD: Duration = Duration::from_millis(10);

/// How many messages there are to a report.
const REPORT_EVERY: u64 = 4;

/// The most feeds at a time. Each holds at most `max_unsent` bytes.
const MOST_FEEDS: usize = 4;

/// The most intakes and the most watching pages at a time.
const MOST_PAGES: usize = 64;

/// The longest token.
const LONGEST_TOKEN: usize = 64;

/// An intake ends after this time, paused or not.
const LONGEST_INTAKE: Duration = Duration::from_secs(20);

/// The tokens of the timers.
const FEED: u64 = 0;
const INTAKE: u64 = 1;

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromPage {
    Pause,
    Resume,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ToPage {
    Ready,
    Fed { sent: u64, bytes: u64, unsent: usize, lost: u64, mark: usize },
    Over { reason: &'static str },
    Took { bytes: u64, paused: bool },
}

/// What a feed sends: the bytes of a message, and how many.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// More than the server keeps for a client.
    Close,
    /// More than the watermark.
    Newest,
    /// More than the kernel takes.
    Latest,
}

impl Kind {
    const fn size(self) -> usize {
        match self {
            Kind::Close => 512 << 10,
            Kind::Newest => 8 << 10,
            Kind::Latest => 4 << 10,
        }
    }

    const fn count(self) -> u64 {
        match self {
            Kind::Close => 100,
            Kind::Newest | Kind::Latest => 120,
        }
    }
}

/// What a client is.
#[derive(Debug)]
enum Role {
    Watcher,
    /// `waits`: the last message waits apart, and the next may replace it.
    Feed {
        kind: Kind,
        sent: u64,
        bytes: u64,
        lost: u64,
        waits: bool,
        timer: Option<TimerId>,
    },
    Intake {
        bytes: u64,
    },
}

/// The handler of `/learn/slow`.
#[derive(Debug, Default)]
pub struct Slow {
    opening: Option<(ClientId, String, Role)>,
    clients: HashMap<ClientId, (String, Role)>,
}

impl Slow {
    fn tell(&self, clients: &mut Clients<()>, token: &str, message: &ToPage) {
        let key = u64::from(matches!(message, ToPage::Took { .. }));
        let is_last = matches!(message, ToPage::Over { .. });
        let message = serde_json::to_string(message).unwrap_or_default();
        for (id, _) in self.clients.iter().filter(|(_, (of, role))| of == token && matches!(role, Role::Watcher)) {
            // A page that reads slowly gets the latest report.
            let _ = if is_last { clients.send(*id, &message) } else { clients.send_latest(*id, key, &message) };
        }
    }

    fn feed(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some((token, Role::Feed { kind, sent, bytes, lost, waits, timer })) = self.clients.get_mut(&id) else {
            return;
        };
        *sent += 1;
        let number = sent.to_string();
        let message = format!("{number}{}", " ".repeat(kind.size() - number.len()));
        let before = clients.buffered_amount(id);
        // If it fails, `on_close` gets the reason.
        let is_sent = match kind {
            Kind::Close => clients.send(id, &message),
            Kind::Newest => clients.send(id, &message),
            Kind::Latest => clients.send_latest(id, 0, &message),
        }
        .is_ok();
        let dropped = clients.take_dropped(id);
        // A message that waits apart is not among the unsent bytes.
        let waits_apart = matches!(kind, Kind::Latest) && is_sent && clients.buffered_amount(id) == before;
        // The first that waits replaces none, and the last one arrives in the end.
        *lost += dropped + u64::from(waits_apart && *waits);
        *waits = waits_apart;
        *bytes += if dropped == 0 && is_sent && !waits_apart { message.len() as u64 } else { 0 };
        let report = ToPage::Fed {
            sent: *sent,
            bytes: *bytes,
            unsent: clients.buffered_amount(id),
            lost: *lost,
            mark: Limits::default().high_water,
        };
        let is_last = *sent == kind.count();
        if let Some(timer) = timer.filter(|_| is_last) {
            clients.cancel_timer(timer);
        }
        if is_last || *sent % REPORT_EVERY == 0 {
            let token = token.clone();
            self.tell(clients, &token, &report);
        }
    }

    fn intakes(&self, of: &str) -> Vec<(ClientId, u64)> {
        let is_intake = |(id, (token, role)): (&ClientId, &(String, Role))| match role {
            Role::Intake { bytes } if token == of => Some((*id, *bytes)),
            _ => None,
        };
        self.clients.iter().filter_map(is_intake).collect()
    }

    fn pause(&mut self, clients: &mut Clients<()>, token: &str, is_pause: bool) {
        for (id, bytes) in self.intakes(token) {
            if is_pause {
                clients.pause(id);
            } else {
                clients.resume(id);
            }
            self.tell(clients, token, &ToPage::Took { bytes, paused: clients.is_paused(id) });
        }
    }
}

/// Returns what a client shall be.
fn role(request: &Request<'_>) -> Option<Role> {
    let kind = match request.query_value("feed").as_deref() {
        Some("close") => Kind::Close,
        Some("newest") => Kind::Newest,
        Some("latest") => Kind::Latest,
        Some(_) => return None,
        None if request.query_value("intake").is_some() => return Some(Role::Intake { bytes: 0 }),
        None => return Some(Role::Watcher),
    };
    Some(Role::Feed { kind, sent: 0, bytes: 0, lost: 0, waits: false, timer: None })
}

impl Handler for Slow {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        let token = request.query_value("for").filter(|token| (1..=LONGEST_TOKEN).contains(&token.len()));
        self.opening = token.zip(role(request)).map(|(token, role)| (id, token.into_owned(), role));
        // Messages of spaces would shrink to nothing.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some((_, token, mut role)) = self.opening.take().filter(|(opening, _, _)| *opening == id) else {
            let _ = clients.close(id, CloseCode::Policy, "not understood");
            return;
        };
        let is_feed = |role: &Role| matches!(role, Role::Feed { .. });
        let most = if is_feed(&role) { MOST_FEEDS } else { MOST_PAGES };
        if self.clients.values().filter(|(_, other)| is_feed(other) == is_feed(&role)).count() >= most {
            let _ = clients.close(id, CloseCode::Again, "too many experiments");
            return;
        }
        match &mut role {
            Role::Watcher => {
                let _ = clients.send(id, &serde_json::to_string(&ToPage::Ready).unwrap_or_default());
            }
            Role::Feed { kind, timer, .. } => {
                if matches!(kind, Kind::Newest) {
                    clients.set_slow_consumer(id, SlowConsumer::DropNewest);
                }
                *timer = clients.set_client_interval(id, PERIOD, FEED);
            }
            Role::Intake { .. } => drop(clients.set_client_timer(id, LONGEST_INTAKE, INTAKE)),
        }
        self.clients.insert(id, (token, role));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let Some((token, role)) = self.clients.get_mut(&id) else { return };
        match role {
            Role::Intake { bytes } => {
                *bytes += message.as_bytes().len() as u64;
                let (token, bytes) = (token.clone(), *bytes);
                return self.tell(clients, &token, &ToPage::Took { bytes, paused: false });
            }
            Role::Feed { .. } => return,
            Role::Watcher => {}
        }
        let token = token.clone();
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromPage::Pause) => self.pause(clients, &token, true),
            Some(FromPage::Resume) => self.pause(clients, &token, false),
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_client_timer(&mut self, clients: &mut Clients<()>, id: ClientId, timer: TimerId, token: u64) {
        if token == INTAKE || !self.clients.contains_key(&id) {
            // What came from another process is unknown here.
            clients.cancel_timer(timer);
            clients.terminate(id);
        } else {
            self.feed(clients, id);
        }
    }

    /// The experiments end with this process. Pages learn it from the silence.
    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        super::carried::check(saved.is_empty(), "what was fed")
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        let Some((token, role)) = self.clients.remove(&id) else { return };
        match role {
            Role::Feed { .. } => {
                let Cause { reason, .. } = Cause::from(reason);
                self.tell(clients, &token, &ToPage::Over { reason });
            }
            Role::Watcher => {
                for (intake, _) in self.intakes(&token) {
                    clients.terminate(intake);
                }
            }
            Role::Intake { .. } => {}
        }
    }
}
