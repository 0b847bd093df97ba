//! Topics with a history: handlers are told what has been published, and clients that have waited
//! get what they have missed.

use super::engine::Engine;
use crate::server::app::Handler;
use crate::server::clients::{Audience, Clients, Event, Heard, Replay};
use crate::server::id::ClientId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The most messages, and clients, of topics with a history that are served in a turn.
const MOST_REPLAYED: usize = 4_096;

impl<H: Handler> Engine<H> {
    /// Handles what the backplane has reported for the current route.
    #[inline(never)]
    pub(super) fn hear(&mut self, event: Event) {
        let Ok(heard) = event.downcast::<Heard>() else { return };
        match self.clients.hear(heard) {
            Some(Heard::Kept { topic, kept }) => self.tell_handler("on_kept", |handler, clients| {
                handler.on_kept(clients, &topic, &kept, Audience { topic: &topic, client: None });
            }),
            Some(Heard::Gap { topic, position, .. }) => self.tell_handler("on_gap", |handler, clients| {
                handler.on_gap(clients, &topic, Audience { topic: &topic, client: None }, position);
            }),
            Some(Heard::Published { token, outcome }) => self.tell_handler("on_published", |handler, clients| {
                handler.on_published(clients, token, outcome);
            }),
            Some(Heard::Members { token, outcome }) => self.tell_handler("on_members", |handler, clients| {
                handler.on_members(clients, token, outcome);
            }),
            Some(Heard::Log { .. } | Heard::Caught { .. }) | None => {}
        }
    }

    fn tell_handler(&mut self, name: &str, tell: impl FnOnce(&mut H, &mut Clients<H::Data>)) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        if catch_unwind(AssertUnwindSafe(|| tell(handler, clients))).is_err() {
            log::error!("the handler panicked in {name}");
        }
    }

    /// Gives clients that have waited for topics with a history what they have missed. Those that
    /// begin to wait meanwhile are for the next turn.
    #[inline]
    pub(crate) fn replay(&mut self) {
        if self.clients.has_replays() {
            self.replay_all();
        }
    }

    fn is_served(&mut self, id: ClientId, topic: &Arc<str>, route: u16) -> bool {
        self.clients.route = route;
        self.clients.is_served(id, topic)
    }

    #[inline(never)]
    fn replay_all(&mut self) {
        let mut left = MOST_REPLAYED;
        for _ in 0..self.clients.due_topics() {
            let Some((topic, replays)) = self.clients.next_replays(left) else { return };
            left = left.saturating_sub(replays.iter().map(|replay| 1 + replay.messages.len()).sum());
            let route = self.clients.route;
            for Replay { id, gap, messages, end } in replays {
                let Some(index) = self.clients.find(id) else { continue };
                let to = Audience { topic: &topic, client: Some(id) };
                if gap.is_some() && self.is_served(id, &topic, route) {
                    self.call(index, |handler, clients, _| handler.on_gap(clients, &topic, to, gap));
                }
                for kept in &messages {
                    if self.is_served(id, &topic, route) {
                        self.call(index, |handler, clients, _| handler.on_kept(clients, &topic, kept, to));
                    }
                }
                if self.is_served(id, &topic, route) {
                    self.clients.replayed(id, &topic);
                    self.call(index, |handler, clients, _| handler.on_caught(clients, id, &topic, end));
                }
            }
            self.clients.route = route;
            self.clients.replays_are_over(&topic);
            if left == 0 {
                return;
            }
        }
    }
}
