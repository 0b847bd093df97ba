//! What goes along to the process that takes over: who watches, and what each page follows.
//!
//! The grid does not: each page gets the whole one once more. The pace does not either. The loop
//! goes on freely, and its next report says so.

use super::watch::{Loop, Watcher};
use crate::site::carried::check;
use lariat::{ClientId, RestoreError, saved};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize, Serialize)]
struct SavedLoop {
    watchers: BTreeMap<ClientId, SavedWatcher>,
    /// The client that is about to open, and whether it may change the pace.
    opening: Option<(ClientId, bool)>,
}

#[derive(Deserialize, Serialize)]
struct SavedWatcher {
    may_teach: bool,
    follows: Option<ClientId>,
    missed: u32,
}

impl Loop {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let watchers = self.watchers.iter().map(|(id, Watcher { may_teach, follows, missed, .. })| {
            (*id, SavedWatcher { may_teach: *may_teach, follows: *follows, missed: *missed })
        });
        saved::to_bytes(&SavedLoop { watchers: watchers.collect(), opening: self.opening })
    }

    /// Restores what was saved. Only this process decides whether pages may teach.
    pub(super) fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let saved: SavedLoop = saved::from_bytes(bytes)?;
        self.opening = saved.opening.map(|(id, may_teach)| (id, may_teach && self.teaches));
        for (id, SavedWatcher { may_teach, follows, missed }) in saved.watchers {
            check(missed < u32::MAX / 2, "a number of lines")?;
            if let Some(followed) = follows {
                self.followers.entry(followed).or_default().push(id);
            }
            let may_teach = may_teach && self.teaches;
            self.watchers.insert(id, Watcher { may_teach, follows, missed, ..Watcher::default() });
        }
        Ok(())
    }
}
