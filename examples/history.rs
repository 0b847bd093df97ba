//! A chat on several servers, whose rooms survive each of them: Redis keeps the messages.
//!
//! Needs Redis 6.2 or later. Start two servers, and a client on each (the package
//! `websockets` of Python has one):
//!
//! ```text
//! cargo run --example history --features redis -- 127.0.0.1:9001 redis://127.0.0.1/
//! cargo run --example history --features redis -- 127.0.0.1:9002 redis://127.0.0.1/
//! python3 -m websockets ws://127.0.0.1:9001/room
//! python3 -m websockets ws://127.0.0.1:9002/room?after=POSITION
//! ```
//!
//! The path is the room. A client that comes back says which message was its last one (`?after=`),
//! and gets those behind it, on any server. Without it, it gets the last 20.
//!
//! A client says `NAME TEXT`. NAME is unique among the messages of the room. The answer is `said
//! NAME POSITION` when the message is stored, or `not said NAME: WHY`. Without an answer, or after
//! `not said`, the client sends it again with the same NAME, on any server: the message is stored
//! once. All members of the room get `POSITION NAME TEXT`, in the same order. `gap POSITION` says
//! that messages up to there are lost.
//!
//! With the feature `signals`, SIGTERM closes all clients properly. `GET /ready` is for a load
//! balancer.

use lariat::backplane::{History, Kept, PublishError, RedisBackplane, StreamPosition};
use lariat::http::StatusCode;
use lariat::{Answer, Audience, ClientId, Clients, Config, Handler, Message, Request, Server, Since, Upgrade};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// All servers must have the same.
const HISTORY: History = History { messages: 5_000, age: Duration::from_secs(3_600) };

/// What a client has asked for.
struct Visit {
    room: String,
    since: Since,
}

impl lariat::ClientData for Visit {
    type Stored = Option<Visit>;
}

/// Each loop has one of its own.
#[derive(Default)]
struct Chat {
    /// Who waits for the outcome of a message, and the name of the message.
    unconfirmed: HashMap<u64, (ClientId, String)>,
    last_token: u64,
}

impl Handler for Chat {
    type Data = Visit;

    fn on_request(&mut self, clients: &mut Clients<Visit>, _: ClientId, request: &Request<'_>) -> Answer {
        if request.path() == "/ready" {
            let is_going = clients.is_shutting_down();
            return if is_going { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }.into();
        }
        let since = match request.query().and_then(|query| query.strip_prefix("after=")).map(str::parse) {
            None => Since::Last(20),
            Some(Ok(position)) => Since::After(position),
            Some(Err(_)) => return StatusCode::BAD_REQUEST.into(),
        };
        Upgrade::new().with_data(Visit { room: request.path().to_owned(), since }).into()
    }

    fn on_open(&mut self, clients: &mut Clients<Visit>, id: ClientId) {
        let Some(Visit { room, since }) = clients.data(id) else { return };
        let (room, since) = (room.clone(), *since);
        clients.subscribe_from(id, &room, HISTORY, since);
    }

    fn on_message(&mut self, clients: &mut Clients<Visit>, id: ClientId, message: Message<'_>) {
        let Some(room) = clients.data(id).map(|visit| visit.room.clone()) else { return };
        let Some((text, (name, _))) = message.as_text().and_then(|text| Some((text, text.split_once(' ')?))) else {
            let _ = clients.send(id, "* say NAME TEXT");
            return;
        };
        self.last_token += 1;
        self.unconfirmed.insert(self.last_token, (id, name.to_owned()));
        if let Err(error) = clients.publish_kept(&room, text, HISTORY, Some(name), self.last_token) {
            self.on_published(clients, self.last_token, Err(error));
        }
    }

    fn on_published(
        &mut self,
        clients: &mut Clients<Visit>,
        token: u64,
        outcome: Result<StreamPosition, PublishError>,
    ) {
        let Some((id, name)) = self.unconfirmed.remove(&token) else { return };
        // An error of `send` says that the client has gone. It asks again when it is back.
        let _ = match outcome {
            Ok(position) => clients.send(id, &format!("said {name} {position}")),
            Err(error) => clients.send(id, &format!("not said {name}: {error}")),
        };
    }

    fn on_kept(&mut self, clients: &mut Clients<Visit>, _: &str, kept: &Kept, to: Audience<'_>) {
        let text = String::from_utf8_lossy(kept.message.as_bytes());
        to.send(clients, &format!("{} {text}", kept.position));
    }

    fn on_gap(&mut self, clients: &mut Clients<Visit>, _: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        if let Some(position) = position {
            to.send(clients, &format!("gap {position}"));
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let redis = arguments.next().unwrap_or_else(|| "redis://127.0.0.1/".to_owned());
    let mut config = Config::default();
    config.memory_budget = config.memory_budget.max(config.least_memory_budget_of_loops(2));
    let server = Server::new(config)?.listen(address)?;
    #[cfg(feature = "signals")]
    let server = server.shutdown_on_signals(lariat::Drain::default())?;
    println!("listening on {}", server.local_addrs()[0]);
    server.loops(2)?.backplane(RedisBackplane::new(redis))?.run(Chat::default)?;
    Ok(())
}
