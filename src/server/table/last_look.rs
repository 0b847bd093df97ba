//! The last look at a client before a deadline ends it.
//!
//! When a deadline passes, the peer may already have done what the deadline waits for: its bytes
//! are in the socket, or it has made room for ours, but the loop has not got to it yet. The process
//! was stopped, or more events are ready than one turn takes. So the client is queued once more for
//! reading and writing, and the deadline ends it only if that changes nothing.

use super::flags::Flags;
use super::table::Table;
use crate::server::data::ClientData;

/// How far the last look at a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLook {
    NotBegun,
    /// It is still queued.
    UnderWay,
    Over,
}

impl<D: ClientData> Table<D> {
    /// Returns how far the last look at a client has come. If it is over, another one can begin.
    pub(crate) fn last_look(&mut self, index: usize) -> LastLook {
        let flags = &mut self[index].flags;
        match (flags.has(Flags::LOOKED_AT), flags.has(Flags::QUEUED)) {
            (false, _) => LastLook::NotBegun,
            (true, true) => LastLook::UnderWay,
            (true, false) => {
                flags.clear(Flags::LOOKED_AT);
                LastLook::Over
            }
        }
    }

    /// Queues a client for its last look.
    pub(crate) fn look_once_more(&mut self, index: usize) {
        let (high_water, client) = (self.shared.limits.high_water, &mut self.slab[index]);
        client.flags.set(Flags::LOOKED_AT);
        let (may_be_read, has_output) = (client.may_be_read(high_water), client.has_output());
        if may_be_read {
            self.queue_read(index);
        }
        if has_output {
            self[index].flags.clear(Flags::BLOCKED);
            self.queue_write(index);
        }
    }

    /// Makes a client's deadline due at once: in the next turn, if it is called after those of this
    /// turn.
    pub(crate) fn make_due(&mut self, index: usize) {
        self.arm(index, self.now);
    }
}
