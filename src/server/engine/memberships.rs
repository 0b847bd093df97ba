//! Memberships: handlers are told who has joined and left topics.

use super::engine::Engine;
use crate::parts::MEMBERSHIPS;
use crate::server::app::Handler;

impl<H: Handler> Engine<H> {
    /// Tells handlers of the changes that were noted so far. What they change themselves is for the
    /// next call, so this ends.
    #[inline]
    pub(crate) fn tell_memberships(&mut self) {
        let changes = self.clients.membership_changes();
        if changes > 0 {
            self.tell_each(changes);
        }
    }

    #[inline(never)]
    fn tell_each(&mut self, changes: usize) {
        for _ in 0..changes {
            let Some(change) = self.clients.next_membership_change() else { return };
            let Some(index) = self.clients.find(change.id) else { continue };
            self.call(index, |handler, clients, id| match change.has_joined {
                true => handler.on_subscribe(clients, id, &change.topic),
                false => handler.on_unsubscribe(clients, id, &change.topic),
            });
        }
    }

    /// Lets a client that has ended leave its topics, and tells the handler. `on_close` follows.
    #[inline]
    pub(super) fn leave_topics(&mut self, index: usize) {
        if MEMBERSHIPS.is_used() {
            self.clients.leave_watched_topics(index);
            self.tell_memberships();
        }
    }
}
