//! What goes along to the process that takes over: which pages there are, and what they wait for.
//!
//! The experiments do not: their ends of the connections are in a thread of this process, and end
//! with it. If the other process fails, they go on here.

use super::handler::{Learn, Page};
use crate::site::carried::check;
use lariat::{ClientId, RestoreError, saved};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize, Serialize)]
struct SavedLearn {
    pages: BTreeMap<ClientId, SavedPage>,
    /// The client that is about to open, and whether it is a page.
    opening: Option<(ClientId, bool)>,
}

#[derive(Deserialize, Serialize)]
struct SavedPage {
    running: BTreeSet<u32>,
    missed: u32,
}

impl Learn {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let page = |(id, page): (&ClientId, &Page)| {
            (*id, SavedPage { running: page.running.keys().copied().collect(), missed: page.missed })
        };
        saved::to_bytes(&SavedLearn { pages: self.pages.iter().map(page).collect(), opening: self.opening })
    }

    pub(super) fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let saved: SavedLearn = saved::from_bytes(bytes)?;
        self.opening = saved.opening;
        for (id, SavedPage { running, missed }) in saved.pages {
            check(missed < u32::MAX / 2, "a number of reports")?;
            self.pages.insert(id, Page { missed, ..Page::default() });
            if !running.is_empty() {
                self.left_behind.insert(id, running);
            }
        }
        Ok(())
    }
}
