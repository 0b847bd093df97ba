//! Fast paths of calls of the application, and the conditions for those of the engine.
//!
//! See `engine/fast.rs` for the test of equivalence and the unit of costs.

use super::clients::Clients;
use crate::protocol::{Message, Run};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};

impl<D: ClientData> Clients<D> {
    /// [`send_message`](Self::send_message), for a short message to an open client whose messages
    /// are not dropped, if nothing has to be allocated. Returns `false` if the message has not been
    /// queued. The client may then be queued for writing already, which does no harm.
    ///
    /// `relieve` is not needed, since no buffer has grown.
    ///
    /// Cost: 1,177 instructions alone, 1,219 without; 244 pipelined, 285 without.
    #[inline(always)]
    pub(super) fn send_short(&mut self, id: ClientId, message: Message<'_>) -> bool {
        let Some(At { client, shared, writable, .. }) = self.table.get_at(id.index as usize) else { return false };
        if !client.may_be_sent_fast(id) || !client.connection.can_send_short(shared, message) {
            return false;
        }
        if !(client.flags.has(Flags::WRITE_QUEUED) || writable.push_if_there_is_room(id.index)) {
            return false;
        }
        client.flags.set(Flags::WRITE_QUEUED);
        client.connection.send_short(shared, message)
    }

    /// Returns whether the fast path may read: there are no rates, and memory is not short.
    #[inline(always)]
    pub(crate) const fn may_read_fast(&self) -> bool {
        !self.rates.are_used() && !self.table.shared().is_near_budget()
    }

    /// Counts the messages of a run.
    pub(crate) const fn count_run(&mut self, run: &Run<'_>, messages: usize, bytes: usize) {
        self.table.shared_mut().counters.received.add_many(run.opcode(), messages, bytes);
    }
}
