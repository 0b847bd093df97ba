//! What the console keeps, for the process that takes over: the traces go on.

use super::console::{Console, Watched, Watcher};
use crate::site::carried::{MOST, check};
use crate::site::traced::LastFrame;
use lariat::{ClientId, RestoreError, saved};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// The handler. What a page watches follows from who watches each connection.
#[derive(Deserialize, Serialize)]
struct SavedConsole<'a> {
    watchers: BTreeMap<ClientId, SavedWatcher<'a>>,
    watched: BTreeMap<ClientId, SavedWatched>,
}

#[derive(Deserialize, Serialize)]
struct SavedWatcher<'a> {
    token: Cow<'a, str>,
    missed: u32,
}

#[derive(Deserialize, Serialize)]
struct SavedWatched {
    by: ClientId,
    on: u32,
    key: Option<[u8; 4]>,
    received: u64,
}

impl Console {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let watcher = |(id, watcher): (&ClientId, &Watcher)| (*id, watcher.token.clone().into(), watcher.missed);
        let watchers = self.watchers.iter().map(watcher);
        let watched = self.watched.iter().map(|(id, Watched { by, on, last })| {
            (*id, SavedWatched { by: *by, on: *on, key: last.key, received: last.received as u64 })
        });
        saved::to_bytes(&SavedConsole {
            watchers: watchers.map(|(id, token, missed)| (id, SavedWatcher { token, missed })).collect(),
            watched: watched.collect(),
        })
    }

    pub(super) fn restored(bytes: &[u8]) -> Result<Console, RestoreError> {
        let saved: SavedConsole<'_> = saved::from_bytes(bytes)?;
        let mut console = Console::default();
        for (id, SavedWatcher { token, missed }) in saved.watchers {
            check(missed < u32::MAX / 2, "a number of traces")?;
            console.watchers.insert(id, Watcher { token: token.into_owned(), watched: HashMap::new(), missed });
        }
        for (id, SavedWatched { by, on, key, received }) in saved.watched {
            check(received < MOST, "the length of a payload")?;
            let watcher = console.watchers.get_mut(&by).ok_or("nobody watches a connection")?;
            check(watcher.watched.insert(on, id).is_none(), "the number of a connection")?;
            let last = LastFrame { key, received: usize::try_from(received)? };
            console.watched.insert(id, Watched { by, on, last });
        }
        Ok(console)
    }
}
