//! The last look at a client before a deadline ends it.
//!
//! When a deadline passes, the peer may long have done what it was waited for: its bytes are in the
//! socket, or it has made room for ours, and the loop has not got to that yet. It was stopped, or
//! more events were ready than one turn takes. So the client is queued once more for reading and
//! writing, and the deadline only counts if that has changed nothing.

use super::flags::Flags;
use super::table::Table;

impl<D> Table<D> {
    /// Queues a client for its last look, unless it is queued for that already.
    pub(crate) fn look_once_more(&mut self, index: usize) {
        let (high_water, client) = (self.shared.limits.high_water, &mut self.slab[index]);
        if !client.flags.raise(Flags::LOOKED_AT) {
            return;
        }
        self.looked_at.push(client.id(index));
        let (may_be_read, has_output) = (client.may_be_read(high_water), client.connection.buffered_amount() > 0);
        if may_be_read {
            self.queue_read(index);
        }
        if has_output {
            self[index].flags.clear(Flags::BLOCKED);
            self.queue_write(index);
        }
    }

    /// Takes out the clients whose last look is over.
    pub(crate) fn take_looked_at(&mut self) -> Vec<usize> {
        let mut over = Vec::new();
        for id in std::mem::take(&mut self.looked_at) {
            match self.find(id) {
                Some(index) if self[index].flags.has(Flags::QUEUED) => self.looked_at.push(id),
                Some(index) => {
                    self[index].flags.clear(Flags::LOOKED_AT);
                    over.push(index);
                }
                None => {}
            }
        }
        over
    }
}
