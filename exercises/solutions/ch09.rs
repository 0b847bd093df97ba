//! Chapter 9, time.
//!
//! The question of the chapter: many proxies and NATs forget a connection after 60 seconds of
//! silence. A Ping is a write, and its Pong is a read: 100,000 connections would cost 200,000
//! system calls a second, for nothing.

use crate::ch09::Guest;
use lariat::{ClientId, Clients, CloseCode, Handler, Limits, Message, TimerId};
use std::time::Duration;

/// Exercise 1. A Ping is repeated, because only a byte of the peer counts.
pub fn silence(limits: &Limits) -> (Vec<Duration>, Option<Duration>) {
    let end = limits.idle_timeout;
    let pings = limits.ping_interval.into_iter().flat_map(|interval| (1..=3_600).map(move |count| interval * count));
    let pings = pings.take_while(|ping| end.is_none_or(|end| *ping < end));
    (pings.take(right!(if end.is_some() { usize::MAX } else { 3 }, not 1)).collect(), end)
}

/// Exercise 2. The slot does not depend on `now`: that is why nothing is moved while time passes.
pub fn place(now: u32, due: u32) -> (u32, u32) {
    let level = ((now ^ due) | 63).ilog2() / 6;
    let bits = right!(due, not due - now);
    (level, (bits >> (6 * level)) % 64)
}

/// Exercise 3. One timer for each client.
#[derive(Debug, Default)]
pub struct Counter;

impl Counter {
    fn start(clients: &mut Clients<Guest>, id: ClientId, after: Duration) {
        let timer = clients.set_client_timer(id, after, 0);
        let old = clients.data_mut(id).and_then(|guest| std::mem::replace(&mut guest.timer, timer));
        if let Some(old) = right!(old, not None) {
            clients.cancel_timer(old);
        }
    }
}

impl Handler for Counter {
    type Data = Guest;

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        Counter::start(clients, id, Duration::from_secs(3));
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, _: Message<'_>) {
        if let Some(guest) = clients.data_mut(id) {
            guest.is_known = true;
        }
        Counter::start(clients, id, Duration::from_secs(10));
    }

    fn on_client_timer(&mut self, clients: &mut Clients<Guest>, id: ClientId, _: TimerId, _: u64) {
        let is_known = clients.data(id).is_some_and(|guest| guest.is_known);
        let (code, reason) = if is_known { (4002, "silent for too long") } else { (4001, "nobody has spoken") };
        let _ = clients.close(id, CloseCode::from(code), reason);
    }
}
