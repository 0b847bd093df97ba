//! Fast paths of what an application does, and what the engine's fast paths ask of all clients.

use super::clients::Clients;
use crate::protocol::{Message, Run};
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};

impl<D> Clients<D> {
    /// [`send_message`](Self::send_message), of a short message to an open client about whom
    /// nothing else is to be thought of. `false`: it has not been queued, though its client may
    /// have been.
    #[inline(always)]
    pub(super) fn send_short(&mut self, id: ClientId, message: Message<'_>) -> bool {
        let Some(At { client, shared, writable, .. }) = self.table.get_at(id.index as usize) else { return false };
        if !client.may_be_sent_fast(id) || !client.connection.is_usual(shared, message) {
            return false;
        }
        if !(client.flags.has(Flags::WRITE_QUEUED) || writable.push_if_there_is_room(id.index)) {
            return false;
        }
        client.flags.set(Flags::WRITE_QUEUED);
        client.connection.send_usual(shared, message)
    }

    /// Whether the fast path may read: all that there is, and memory is not short.
    #[inline(always)]
    pub(crate) const fn may_read_fast(&self) -> bool {
        self.admission.limited_read.is_none() && !self.table.shared().is_near_budget()
    }

    /// So many messages of a run have come.
    pub(crate) const fn count_run(&mut self, run: &Run<'_>, messages: usize, bytes: usize) {
        self.table.shared_mut().counters.received.add_many(run.opcode(), messages, bytes);
    }
}
