//! A chat gateway: tokens are checked on another thread, hosts and operators kick guests, and
//! everybody sees who is there.
//!
//! ```text
//! cargo run --example gateway [ADDRESS]
//! ```
//!
//! Type this into the consoles of two browser windows. The path is the room, and `token` in the
//! query is that of Ada, a host, or of Ben (`ben-2`):
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998/lobby?token=ada-1")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("hello"); ws.send("/who"); ws.send("/kick Ben")
//! ```
//!
//! Type `kick Ben` or `say hello` into the terminal: the operator is a thread as well.
//!
//! Browsers cannot send a header with a token, and URLs are written to logs. So give each page a
//! token of its own that is valid once and for some seconds. `query_value` needs Lariat's feature
//! `urlencoded`.

use lariat::http::StatusCode;
use lariat::{
    Answer, ClientId, Clients, CloseCode, Config, Event, Handler, Message, Remote, RemoteError, Request, Server,
    Upgrade,
};
use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The most requests whose tokens wait to be checked. Further ones get 503.
const MAX_WAITING: usize = 100;

/// A room with so many connections is full. The list of names costs a look at each of them.
const MAX_MEMBERS: usize = 200;

/// The data of each client. It is empty until the token has been checked.
#[derive(Clone, Default)]
struct Guest {
    name: String,
    /// The topic of which the client is a member.
    room: String,
    is_host: bool,
}

/// A token that is to be checked.
struct Question {
    client: ClientId,
    room: String,
    token: String,
}

/// What other threads tell the handler.
enum Order {
    Admit(ClientId, Guest),
    Kick(String),
    Say(String),
}

/// The handler, on the thread of the loop.
struct Gateway {
    questions: SyncSender<Question>,
}

impl Handler for Gateway {
    type Data = Guest;

    /// Passes the token to the other thread. The request waits for its answer, and other clients do
    /// not. If none comes, `Limits::handshake_timeout` ends the connection.
    fn on_request(&mut self, _: &mut Clients<Guest>, client: ClientId, request: &Request<'_>) -> Answer {
        if !request.is_upgrade() {
            return StatusCode::UPGRADE_REQUIRED.into();
        }
        let room = request.path().trim_start_matches('/');
        if room.is_empty() || room.len() > 20 || !room.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return StatusCode::NOT_FOUND.into();
        }
        let Some(token) = request.query_value("token") else { return StatusCode::UNAUTHORIZED.into() };
        let question = Question { client, room: room.to_owned(), token: token.into_owned() };
        // `try_send` never waits. A callback must not wait.
        match self.questions.try_send(question) {
            Ok(()) => Answer::Later,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into(),
        }
    }

    fn on_start(&mut self, clients: &mut Clients<Guest>) {
        clients.watch_topics();
    }

    fn on_event(&mut self, clients: &mut Clients<Guest>, event: Event) {
        match event.downcast() {
            Ok(Order::Admit(client, guest)) => admit(clients, client, guest),
            Ok(Order::Kick(name)) => {
                let all: Vec<ClientId> = clients.iter().collect();
                kick(clients, &all, &name);
            }
            Ok(Order::Say(text)) => {
                clients.broadcast(&format!("* operator: {text}"));
            }
            Err(unknown) => unknown.log_unhandled(clients),
        }
    }

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        let Some(Guest { room, .. }) = clients.data(id).cloned() else { return };
        clients.subscribe(id, &room);
        who(clients, id, &room);
    }

    /// A guest with two windows joins once.
    fn on_subscribe(&mut self, clients: &mut Clients<Guest>, id: ClientId, room: &str) {
        let Some(Guest { name, .. }) = clients.data(id).cloned() else { return };
        if !names(clients, room, Some(id)).contains(&name) {
            clients.publish_except(room, id, &format!("* {name} joins"));
        }
    }

    /// And leaves once: by closing the last window, or because the connection is lost.
    fn on_unsubscribe(&mut self, clients: &mut Clients<Guest>, id: ClientId, room: &str) {
        let Some(Guest { name, .. }) = clients.data(id).cloned() else { return };
        if !names(clients, room, None).contains(&name) {
            clients.publish(room, &format!("* {name} leaves"));
        }
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, message: Message<'_>) {
        let Some(Guest { name, room, is_host }) = clients.data(id).cloned() else { return };
        // An error says that the client is closing already. The client then leaves the room.
        let _ = match message.as_text() {
            Some("/who") => return who(clients, id, &room),
            Some(text) => match text.strip_prefix("/kick ") {
                Some(kicked) if is_host => {
                    let members: Vec<ClientId> = clients.members(&room).collect();
                    return kick(clients, &members, kicked);
                }
                Some(_) => clients.send(id, "* only a host may do that"),
                None => {
                    clients.publish(&room, &format!("<{name}> {text}"));
                    return;
                }
            },
            None => clients.close(id, CloseCode::Unsupported, "send text"),
        };
    }
}

/// Answers a request whose token is right. The client may have disconnected in the meantime.
fn admit(clients: &mut Clients<Guest>, client: ClientId, guest: Guest) {
    let is_full = clients.subscribers(&guest.room) >= MAX_MEMBERS;
    let Some(data) = clients.data_mut(client) else { return };
    *data = guest;
    let answer = if is_full { StatusCode::SERVICE_UNAVAILABLE.into() } else { Answer::from(Upgrade::new()) };
    let _ = clients.answer(client, answer);
}

/// Returns the names of a room's members, except those of one client alone.
fn names(clients: &Clients<Guest>, room: &str, except: Option<ClientId>) -> BTreeSet<String> {
    let members = clients.members(room).filter(|member| Some(*member) != except);
    members.filter_map(|member| clients.data(member)).map(|guest| guest.name.clone()).collect()
}

/// Tells a client who is there.
fn who(clients: &mut Clients<Guest>, id: ClientId, room: &str) {
    let names: Vec<String> = names(clients, room, None).into_iter().collect();
    let _ = clients.send(id, &format!("* here: {}", names.join(", ")));
}

/// Closes all connections of a guest among these clients.
fn kick(clients: &mut Clients<Guest>, among: &[ClientId], name: &str) {
    for &client in among {
        if clients.data(client).is_some_and(|guest| guest.name == name) {
            let _ = clients.close(client, CloseCode::Policy, "kicked");
        }
    }
}

/// Checks tokens, on a thread of its own. It ends when the handler drops the other end of the
/// channel.
fn check_tokens(questions: Receiver<Question>, remote: &Remote<Guest>) {
    for Question { client, room, token } in questions {
        let told = match look_up(&token) {
            Some((name, is_host)) => {
                let guest = Guest { name: name.to_owned(), room, is_host };
                remote.post(Order::Admit(client, guest)).map_err(RemoteError::from)
            }
            None => remote.answer(client, StatusCode::UNAUTHORIZED),
        };
        if let Err(error) = told {
            eprintln!("{client} gets no answer: {error}");
        }
    }
}

/// Returns the name that belongs to a token, and whether it is that of a host. It stands for a
/// database or another server, and may block.
fn look_up(token: &str) -> Option<(&'static str, bool)> {
    match token {
        "ada-1" => Some(("Ada", true)),
        "ben-2" => Some(("Ben", false)),
        "cleo-3" => Some(("Cleo", false)),
        _ => None,
    }
}

/// Passes on what the operator types, on a thread of its own.
fn obey_operator(remote: &Remote<Guest>) {
    for line in io::stdin().lines().map_while(Result::ok) {
        let order = match line.trim().split_once(' ') {
            Some(("kick", name)) => Order::Kick(name.to_owned()),
            Some(("say", text)) => Order::Say(text.to_owned()),
            _ => {
                eprintln!("kick NAME, or say TEXT");
                continue;
            }
        };
        if let Err(error) = remote.post(order) {
            eprintln!("{error}");
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let mut config = Config::default();
    config.max_connections = Some(10_000);
    config.limits.max_message = 4 << 10;
    // A guest who sends more is delayed.
    config.rates.messages_per_second = Some(20);
    let server = Server::new(config)?.listen(address)?;
    println!("listening on {}", server.local_addrs()[0]);

    let (questions, waiting) = sync_channel(MAX_WAITING);
    let (checker, operator) = (server.remote(), server.remote());
    thread::spawn(move || check_tokens(waiting, &checker));
    thread::spawn(move || obey_operator(&operator));
    server.run(Gateway { questions })
}
