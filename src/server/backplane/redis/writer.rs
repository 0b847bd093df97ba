//! How is a session begun, ended and begun again?

use super::clock;
use super::commands::{Packed, Refusal, explain, refusal};
use super::link::{Shared, cost};
use super::publishing::Loaded;
use super::reader;
use super::reconnect::Backoff;
use super::scripts::millis;
use super::session::{End, Memory, Session};
use crate::server::backplane::{BackplaneEvent, PublishError};
use redis::{Client, Connection};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A session that has lived for so long was a good one: the next attempts begin with short delays.
const GOOD: Duration = Duration::from_secs(1);

/// Starts the writer, which starts the readers.
pub(super) fn start(shared: Arc<Shared>) -> io::Result<()> {
    thread::Builder::new().name("lariat redis".to_owned()).spawn(move || run(&shared))?;
    Ok(())
}

fn run(shared: &Arc<Shared>) {
    let (mut memory, mut backoff, mut attempts) = (Memory::default(), Backoff::default(), 0_usize);
    let clients = &shared.settings.clients;
    while let Some(client) = clients.get(attempts.checked_rem(clients.len()).unwrap_or_default()) {
        let end = match begin(shared, client, &mut memory) {
            Ok(mut session) => {
                let begun = clock::now();
                let end = session.serve();
                if clock::now().duration_since(begun) >= GOOD {
                    backoff.reset();
                }
                end
            }
            Err(reason) => End::Lost(reason),
        };
        let is_over = matches!(end, End::Finished);
        lose(shared, &mut memory, client, end);
        if is_over {
            break;
        }
        attempts = attempts.wrapping_add(1);
        if !pause(shared, &mut memory, backoff.next()) {
            break;
        }
    }
    shared.tell(|queue| queue.has_ended = true);
}

/// Waits, and answers what can be answered without Redis. Returns whether the link still is there.
fn pause(shared: &Shared, memory: &mut Memory, time: Duration) -> bool {
    let until = clock::now() + time;
    loop {
        let is_news = |queue: &super::link::Queue| !queue.controls.is_empty() || queue.is_ending;
        let mut queue = shared.wait(until, clock::now, is_news);
        let (controls, is_ending) = (std::mem::take(&mut queue.controls), queue.is_ending);
        drop(queue);
        let is_late = controls.is_empty();
        memory.apply(shared, controls);
        no_members(shared, memory, PublishError::Away);
        if is_ending || is_late {
            return !is_ending;
        }
    }
}

fn no_members(shared: &Shared, memory: &mut Memory, error: PublishError) {
    for ask in memory.asks.drain(..) {
        shared.events.report(BackplaneEvent::Members { ticket: ask.ticket, outcome: Err(error) });
    }
}

/// Begins a session: both connections, and a reader for the second.
fn begin<'a>(shared: &'a Arc<Shared>, client: &Client, memory: &'a mut Memory) -> Result<Session<'a>, String> {
    let mut connection = connect(shared, client)?;
    check(shared, &mut connection)?;
    let subscriptions = connect(shared, client)?;
    let loaded = Loaded { is_stale: true, ..Loaded::default() };
    memory.presence.repeat();
    let mut session = Session { shared, memory, number: 0, connection, loaded, done: 0 };
    session.load()?;
    session.number = shared.with_topics(super::topics::Topics::begin);
    let (for_reader, number, address) = (Arc::clone(shared), session.number, address(client));
    let reader = move || reader::run(&for_reader, number, subscriptions, address);
    let spawned = thread::Builder::new().name("lariat redis read".to_owned()).spawn(reader);
    spawned.map_err(|error| format!("no thread: {error}"))?;
    Ok(session)
}

/// Returns where a Redis is, for the log.
fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

fn connect(shared: &Shared, client: &Client) -> Result<Connection, String> {
    let settings = &shared.settings;
    let connection = client.get_connection_with_timeout(settings.connect_timeout).map_err(|error| explain(&error))?;
    let timeout = Some(settings.response_timeout);
    let is_set = connection.set_read_timeout(timeout).and_then(|()| connection.set_write_timeout(timeout));
    is_set.map_err(|error| explain(&error))?;
    Ok(connection)
}

/// Notes that this server is there, which shows whether Redis lets it write.
fn check(shared: &Shared, connection: &mut Connection) -> Result<(), String> {
    let (key, ttl) = (shared.names.alive(shared.names.node), millis(shared.settings.presence_ttl));
    let mut packed = Packed::default();
    packed.command(&[b"SET", key.as_bytes(), b"1", b"PX", ttl.to_string().as_bytes()]);
    let sent = connection.send_packed_command(&packed.bytes);
    let reply = sent.and_then(|()| connection.recv_response()).map_err(|error| explain(&error))?;
    match refusal(&reply) {
        // Without memory, messages without a history still go through.
        Some(Refusal::Refused(why)) if why.starts_with("OOM") => Ok(()),
        Some(Refusal::Refused(why) | Refusal::Unfit(why)) => Err(why),
        Some(Refusal::NoScript) | None => Ok(()),
    }
}

/// Ends a session, or the attempt to begin one. What waits is kept within the buffer, or refused.
fn lose(shared: &Shared, memory: &mut Memory, client: &Client, end: End) {
    let (buffer, reason) = match end {
        End::Finished => (0, None),
        End::Lost(reason) => (shared.settings.buffer, Some(reason)),
    };
    let reason = reason.map(|reason| format!("{}: {reason}", address(client)));
    let mut refused = Vec::new();
    shared.with_topics(|topics| {
        shared.tell(|queue| {
            queue.is_connected = false;
            queue.reads.clear();
            queue.bytes = queue.publications.iter().map(cost).sum();
            while queue.bytes > buffer {
                let Some(last) = queue.publications.pop_back() else { break };
                queue.bytes = queue.bytes.saturating_sub(cost(&last));
                refused.push(last);
            }
        });
        topics.down(reason.as_deref());
    });
    for publication in refused.into_iter().rev() {
        shared.published(publication.ticket, Err(PublishError::Away));
    }
    no_members(shared, memory, PublishError::Away);
    memory.forget_session();
}
