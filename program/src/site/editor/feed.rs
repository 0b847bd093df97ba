//! A document that several servers have. The engine between them orders its entries and keeps them.
//! Each server applies them in this order, so all have the same text.
//!
//! A server that begins reads the history from its oldest entry on. If that is the first one of
//! all, it begins with an empty document. Otherwise it begins at a [`State`], which another server
//! has added for that. A state contains all entries up to an offset. Those between that offset and
//! the state itself follow.
//!
//! **A rule makes all servers decide alike.** An edit of a revision before the last state that
//! stands before it is ignored by all. So a state has the edits since the state before it, and a
//! server that begins there knows as much as the others.

use super::document::{Document, Edit, Kept, Lineage, MAX_REVISION, Refusal, Selection, State};
use lariat::backplane::{History, StreamPosition};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the engine keeps of a document.
pub(super) const HISTORY: History = History { messages: 1_000, age: Duration::from_secs(6 * 60 * 60) };

/// After so many entries, a state is added.
const ENTRIES_PER_STATE: u32 = 200;

/// If the server that has added the last entry does not add the state, others do after so many
/// more.
const ENTRIES_OF_PATIENCE: u32 = 50;

/// A state is added after so many minutes at the latest, long before the entries are too old.
const MINUTES_PER_STATE: u32 = 60;

/// An entry of a document's history.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    /// An edit of this revision in this life. `who` is the person, and `on` the server.
    Edit {
        #[serde(flatten)]
        edit: Edit,
        life: u64,
        revision: u64,
        who: u64,
        selection: Option<Selection>,
        on: u64,
    },
    /// The copy of a page, for a document in which nobody has written.
    Restore { life: u64, lineage: Lineage, kept: Kept },
    /// The document after the entry at this offset. `floor` is the revision of the state before it.
    State { at: u64, floor: u64, state: State },
}

/// What an entry has changed.
#[derive(Debug)]
pub(super) enum Change {
    /// It was applied as this edit.
    Edit { edit: Edit, who: u64, selection: Option<Selection>, on: u64 },
    /// It was not applied. `edit` is its author and number.
    Refused { edit: (u64, u64), who: u64, on: u64, why: Refusal },
    /// The document has another text, from a page's copy. Pages must enter it again.
    Anew,
    /// The document is known now.
    Begun,
    /// Entries are missing.
    Lost,
}

/// How far a server has read the history of a document.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// The last entry that was applied. `None` until the document is known.
    applied: Option<StreamPosition>,
    /// The entries that were read before.
    early: Vec<(StreamPosition, Option<Entry>)>,
    /// Edits of earlier revisions are ignored.
    floor: u64,
    entries_since_state: u32,
    minutes_since_state: u32,
}

impl Feed {
    /// Returns whether the document is known.
    pub(super) const fn is_begun(&self) -> bool {
        self.applied.is_some()
    }

    /// The entry up to which this server knows the document.
    pub(super) const fn applied(&self) -> Option<StreamPosition> {
        self.applied
    }

    /// The next entry has come. `None` is one that cannot be read.
    pub(super) fn hear(
        &mut self,
        document: &mut Document,
        position: StreamPosition,
        entry: Option<Entry>,
    ) -> Vec<Change> {
        if let Some(applied) = self.applied {
            return match position.offset.checked_sub(applied.offset) {
                _ if applied.epoch != position.epoch => vec![Change::Lost],
                Some(1) => self.apply(document, position, entry).into_iter().collect(),
                // It is known: a client catches up.
                Some(0) | None => Vec::new(),
                Some(_) => vec![Change::Lost],
            };
        }
        // Somebody else may begin to read the history.
        if self.early.last().is_some_and(|(last, _)| last.offset + 1 != position.offset) {
            self.early.clear();
        }
        let first = self.early.first().map_or(position.offset, |(first, _)| first.offset);
        self.early.push((position, entry));
        if first == 1 {
            return self.begin(document, StreamPosition { offset: 0, ..position });
        }
        let Some((_, Some(Entry::State { at, .. }))) = self.early.last() else { return Vec::new() };
        // It must have all that comes before what was read, and nothing that comes later.
        if *at >= position.offset || *at + 1 < first {
            return Vec::new();
        }
        let at = *at;
        let Some((_, Some(Entry::State { floor, state, .. }))) = self.early.pop() else { return Vec::new() };
        let revision = state.revision;
        if !document.set_state(state) {
            self.early.push((position, None));
            return Vec::new();
        }
        self.floor = floor.min(revision);
        self.early.retain(|(early, _)| early.offset > at);
        let changes = self.go_on(document, StreamPosition { offset: at, ..position });
        (self.floor, self.applied) = (self.floor.max(revision), Some(position));
        changes
    }

    /// All that the history has was read. Returns an entry for it if only that helps.
    pub(super) fn caught(&mut self, document: &mut Document, position: StreamPosition) -> Option<Entry> {
        if self.is_begun() {
            return None;
        }
        if position.offset == 0 {
            self.begin(document, position);
            return None;
        }
        // What was written before is lost. All servers begin with the same empty document.
        let state = Document::new(life(position)).state(0);
        Some(Entry::State { at: position.offset, floor: 0, state })
    }

    /// Begins with an empty document.
    fn begin(&mut self, document: &mut Document, position: StreamPosition) -> Vec<Change> {
        // Nobody has written in it: this only gives it its life.
        document.set_state(Document::new(life(position)).state(0));
        self.go_on(document, position)
    }

    /// The document is known at this position. What was read behind it follows.
    fn go_on(&mut self, document: &mut Document, position: StreamPosition) -> Vec<Change> {
        self.applied = Some(position);
        for (position, entry) in std::mem::take(&mut self.early) {
            self.apply(document, position, entry);
        }
        vec![Change::Begun]
    }

    fn apply(&mut self, document: &mut Document, position: StreamPosition, entry: Option<Entry>) -> Option<Change> {
        self.applied = Some(position);
        self.entries_since_state = self.entries_since_state.saturating_add(1);
        match entry? {
            Entry::Edit { edit, life, revision, who, selection, on } => {
                let refused = |by, n, why| Change::Refused { edit: (by, n), who, on, why };
                let (by, n) = (edit.by, edit.n);
                if life != document.life() || revision < self.floor {
                    return Some(refused(by, n, Refusal::Late));
                }
                Some(match document.edit(edit, revision, selection) {
                    Ok((edit, selection)) => Change::Edit { edit: edit.clone(), who, selection, on },
                    Err(why) => refused(by, n, why),
                })
            }
            Entry::Restore { life, lineage, kept } => {
                let is_restored =
                    document.is_untouched() && document.restore(life % MAX_REVISION, lineage, kept).is_ok();
                if is_restored {
                    self.floor = document.revision();
                }
                is_restored.then_some(Change::Anew)
            }
            Entry::State { state, .. } => {
                if state.life == document.life() && state.revision <= document.revision() {
                    self.floor = self.floor.max(state.revision);
                    (self.entries_since_state, self.minutes_since_state) = (0, 0);
                }
                None
            }
        }
    }

    /// Returns a state to add, if it is time. `is_own` says whether this server has added the last
    /// entry: one of them is enough.
    pub(super) fn state(&self, document: &Document, is_own: bool) -> Option<Entry> {
        let beyond = self.entries_since_state.checked_sub(ENTRIES_PER_STATE);
        let is_due = beyond.is_some_and(|beyond| is_own || beyond % ENTRIES_OF_PATIENCE == ENTRIES_OF_PATIENCE - 1)
            || self.minutes_since_state >= MINUTES_PER_STATE;
        let at = self.applied.filter(|_| is_due)?.offset;
        Some(Entry::State { at, floor: self.floor, state: document.state(self.floor) })
    }

    /// A minute has passed.
    pub(super) const fn minute(&mut self) {
        self.minutes_since_state += 1;
    }
}

/// The life of a document that begins there.
const fn life(position: StreamPosition) -> u64 {
    (position.epoch ^ position.offset) % MAX_REVISION
}

impl Entry {
    /// The entry as the engine keeps it.
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and lists: JSON can express all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Names a state, so that it is added once.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Entry::State { at, state, .. } => Some(format!("state {at} {}", state.life)),
            Entry::Edit { .. } | Entry::Restore { .. } => None,
        }
    }
}
