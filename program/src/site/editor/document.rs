//! A document: its text, its edits, and the people in it.

use super::operation::Operation;
use lariat::ClientId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// The most UTF-16 code units of a text.
pub(super) const MAX_TEXT: usize = 65_536;

/// The most parts of an operation.
const MAX_PARTS: usize = 1_024;

/// The last edits are kept for pages that come back: at most so many parts of operations,
const MAX_KEPT_PARTS: usize = 8_192;

/// and so many inserted code units.
const MAX_KEPT_UNITS: usize = 65_536;

/// The most parts that are read to rebase an edit. An edit that needs more is too late.
const MAX_WORK: usize = 200_000;

/// The last edit of so many authors is remembered.
const MAX_AUTHORS: usize = 2_048;

/// The most authors in the state of another server: those of the kept edits, and so many others.
const MAX_STATE_AUTHORS: usize = MAX_AUTHORS + MAX_KEPT_PARTS;

/// The most lives in a lineage.
pub(super) const MAX_LIVES: usize = 16;

/// Revisions and lives are below this number, so that JavaScript can represent them.
pub(super) const MAX_REVISION: u64 = 1 << 52;

/// A change of the text: the `n`-th edit of the page with the number `by`, as it was applied.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Edit {
    pub(super) by: u64,
    pub(super) n: u64,
    pub(super) operation: Operation,
}

/// The fixed and the moving end of a selection, in code units.
pub(super) type Selection = (usize, usize);

/// Why an edit is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The edits since its revision are not kept any more, or there are too many.
    Late,
    /// It belongs to another text.
    Foreign,
    /// It does not fit, for this reason.
    Unfit(&'static str),
}

pub(super) struct Person {
    pub(super) name: String,
    pub(super) author: u64,
    pub(super) client: ClientId,
    pub(super) selection: Option<Selection>,
}

/// Each life of a document is a number; revisions of the same life can be compared. A text that has
/// survived restarts of the server has a lineage: its lives in order, each with its last revision.
pub(super) type Lineage = Vec<(u64, u64)>;

/// A page's copy of a document that the server does not know any more.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    text: String,
    /// The last edit of each author.
    authors: Vec<(u64, u64)>,
    /// The last edits that led to the text.
    edits: Vec<Edit>,
}

/// A document without its people.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct State {
    pub(super) text: String,
    pub(super) life: u64,
    pub(super) ancestors: Lineage,
    pub(super) revision: u64,
    pub(super) edits: Vec<Edit>,
    /// The last edit of each author, and the revision that it has made.
    pub(super) authors: Vec<(u64, u64, u64)>,
}

/// How a page gets from what it has to the present text.
pub(super) enum Catch<'a> {
    /// It goes back to this revision, and applies these edits.
    Edits(u64, Vec<&'a Edit>),
    /// It takes the whole text. The flag says whether its own text has the same origin.
    Text(String, bool, Vec<(u64, u64)>),
}

/// One document.
pub(super) struct Document {
    text: Vec<u16>,
    life: u64,
    /// The earlier lives.
    ancestors: Lineage,
    revision: u64,
    /// The last edits, up to the present revision.
    edits: VecDeque<Edit>,
    kept_parts: usize,
    kept_units: usize,
    /// The last edit of each author, and the revision that it has made.
    authors: HashMap<u64, (u64, u64)>,
    pub(super) people: BTreeMap<u64, Person>,
    /// Who is here over other servers, by number.
    elsewhere: BTreeMap<u64, String>,
    /// Who has entered since pages were last told.
    pub(super) came: BTreeSet<u64>,
    /// Who has left.
    pub(super) left: BTreeSet<u64>,
    /// Whose selection has changed, the longest waiting first.
    pub(super) moved: VecDeque<u64>,
    /// The minutes for which nobody has been here.
    pub(super) empty_for: u32,
}

impl Document {
    pub(super) fn new(life: u64) -> Document {
        Document {
            text: Vec::new(),
            life,
            ancestors: Vec::new(),
            revision: 0,
            edits: VecDeque::new(),
            kept_parts: 0,
            kept_units: 0,
            authors: HashMap::new(),
            people: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            came: BTreeSet::new(),
            left: BTreeSet::new(),
            moved: VecDeque::new(),
            empty_for: 0,
        }
    }

    /// Returns whether nobody has written anything.
    pub(super) const fn is_untouched(&self) -> bool {
        self.revision == 0
    }

    // ---- the text ------------------------------------------------------------------------------

    /// Takes over the copy of a page, which comes from earlier lives.
    pub(super) fn restore(&mut self, life: u64, lineage: Lineage, kept: Kept) -> Result<(), &'static str> {
        let text: Vec<u16> = kept.text.encode_utf16().collect();
        let revision = lineage.last().map_or(0, |(_, revision)| *revision);
        if text.len() > MAX_TEXT || kept.text.contains('\r') || !(1..MAX_REVISION).contains(&revision) {
            return Err("copy");
        }
        // The pages that are here already know only the present life.
        self.ancestors = lineage;
        self.ancestors.push((self.life, 0));
        self.life = life;
        self.authors = kept.authors.into_iter().take(MAX_AUTHORS).map(|(by, n)| (by, (n, 0))).collect();
        // Each edit must lead to the next one and the last one to the text. Edits before a gap are
        // of no use.
        let mut length = text.len();
        let fits =
            |edit: &&Edit| std::mem::replace(&mut length, edit.operation.len_before()) == edit.operation.len_after();
        let fitting = kept.edits.iter().rev().take_while(fits).count().min(revision as usize);
        let skipped = kept.edits.len() - fitting;
        (self.text, self.revision) = (text, revision);
        kept.edits.into_iter().skip(skipped).for_each(|edit| self.keep(edit));
        Ok(())
    }

    /// Applies an edit of the text at `revision`, and returns the edit as it was applied. The
    /// selection after the edit is rebased as well.
    pub(super) fn edit(
        &mut self,
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    ) -> Result<(&Edit, Option<Selection>), Refusal> {
        let Edit { by, n, mut operation } = edit;
        let mut selection = selection.filter(|(anchor, head)| *anchor.max(head) <= operation.len_after());
        if self.authors.get(&by).is_some_and(|(known, _)| n <= *known) {
            return Err(Refusal::Unfit("known"));
        }
        if operation.parts() > MAX_PARTS {
            return Err(Refusal::Unfit("places"));
        }
        let mut work = 0;
        for earlier in self.since(revision).ok_or(Refusal::Late)? {
            work += earlier.operation.parts() + operation.parts();
            if work > MAX_WORK {
                return Err(Refusal::Late);
            }
            let both = earlier.operation.transform(&operation);
            let (earlier, ours) = both.ok_or(Refusal::Foreign)?;
            selection = selection.map(|places| transform_selection(&earlier, places));
            operation = ours;
        }
        if operation.len_after() > MAX_TEXT.max(operation.len_before()) {
            return Err(Refusal::Unfit("length"));
        }
        self.text = operation.apply(&self.text).ok_or(Refusal::Foreign)?;
        for person in self.people.values_mut() {
            person.selection = person.selection.map(|places| transform_selection(&operation, places));
        }
        self.revision += 1;
        self.keep(Edit { by, n, operation });
        Ok((&self.edits[self.edits.len() - 1], selection))
    }

    /// Returns the edits after a revision, if they are kept.
    fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Edit>> {
        let count = usize::try_from(self.revision.checked_sub(revision)?).ok()?;
        Some(self.edits.iter().skip(self.edits.len().checked_sub(count)?))
    }

    /// Keeps an edit that has been applied, and removes old ones beyond the limits.
    fn keep(&mut self, edit: Edit) {
        self.authors.insert(edit.by, (edit.n, self.revision));
        self.kept_parts += edit.operation.parts();
        self.kept_units += edit.operation.inserted();
        self.edits.push_back(edit);
        while self.kept_parts > MAX_KEPT_PARTS || self.kept_units > MAX_KEPT_UNITS {
            let Some(oldest) = self.edits.pop_front() else { break };
            self.kept_parts -= oldest.operation.parts();
            self.kept_units -= oldest.operation.inserted();
        }
        if self.authors.len() > MAX_AUTHORS {
            let oldest = self.revision.saturating_sub(self.edits.len() as u64);
            self.authors.retain(|_, (_, revision)| *revision >= oldest);
        }
    }

    /// Returns what another server needs to go on from here, with the edits since a revision, as
    /// far as they are kept.
    pub(super) fn state(&self, since: u64) -> State {
        let mut authors: Vec<_> = self.authors.iter().map(|(by, (n, revision))| (*by, *n, *revision)).collect();
        authors.sort_unstable();
        let count = usize::try_from(self.revision.saturating_sub(since)).unwrap_or(usize::MAX);
        State {
            text: String::from_utf16_lossy(&self.text),
            life: self.life,
            ancestors: self.ancestors.clone(),
            revision: self.revision,
            edits: self.edits.iter().skip(self.edits.len().saturating_sub(count)).cloned().collect(),
            authors,
        }
    }

    /// Takes over the state of another server. The people stay. Returns `false` if it cannot be
    /// one.
    pub(super) fn set_state(&mut self, state: State) -> bool {
        let text: Vec<u16> = state.text.encode_utf16().collect();
        if state.life >= MAX_REVISION || state.revision >= MAX_REVISION {
            return false;
        }
        if text.len() > MAX_TEXT || state.ancestors.len() > 2 * MAX_LIVES || state.authors.len() > MAX_STATE_AUTHORS {
            return false;
        }
        (self.text, self.life, self.ancestors, self.revision) = (text, state.life, state.ancestors, state.revision);
        (self.kept_parts, self.kept_units) = (0, 0);
        self.edits.clear();
        state.edits.into_iter().for_each(|edit| self.keep(edit));
        self.authors = state.authors.into_iter().map(|(by, n, revision)| (by, (n, revision))).collect();
        true
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &[u16] {
        &self.text
    }

    pub(super) const fn life(&self) -> u64 {
        self.life
    }

    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn lineage(&self) -> Lineage {
        self.ancestors.iter().copied().chain([(self.life, self.revision)]).collect()
    }

    /// Returns how a page with this lineage gets to the present text.
    pub(super) fn catch_up(&self, lineage: &[(u64, u64)]) -> Catch<'_> {
        let own: HashMap<u64, u64> = self.lineage().into_iter().collect();
        let mut common = lineage.iter().rev().filter_map(|(life, last)| Some(*own.get(life)?.min(last)));
        let common = common.next();
        let edits = common.and_then(|revision| Some((revision, self.since(revision)?.collect())));
        match edits {
            Some((revision, edits)) => Catch::Edits(revision, edits),
            None => {
                let authors = self.authors.iter().map(|(author, (n, _))| (*author, *n)).collect();
                Catch::Text(String::from_utf16_lossy(&self.text), common.is_some(), authors)
            }
        }
    }

    // ---- the people ----------------------------------------------------------------------------

    /// Returns who is here, over all servers. Of those over others, the selection is not known.
    pub(super) fn everybody(&self) -> Vec<(u64, &str, Option<Selection>)> {
        let here = self.people.iter().map(|(number, person)| (*number, person.name.as_str(), person.selection));
        here.chain(self.elsewhere.iter().map(|(number, name)| (*number, name.as_str(), None))).collect()
    }

    /// Notes who is here over other servers. Returns who has come, and who has left.
    pub(super) fn set_elsewhere(&mut self, now: BTreeMap<u64, String>) -> (Vec<(u64, &str)>, Vec<u64>) {
        let before = std::mem::replace(&mut self.elsewhere, now);
        let came = self.elsewhere.iter().filter(|(number, name)| before.get(number) != Some(*name));
        let came = came.map(|(number, name)| (*number, name.as_str())).collect();
        (came, before.into_keys().filter(|number| !self.elsewhere.contains_key(number)).collect())
    }

    /// Adds a person. A person with the same author is removed, and its client is returned.
    pub(super) fn enter(&mut self, number: u64, person: Person) -> Option<ClientId> {
        self.empty_for = 0;
        let before = self.people.iter().find(|(_, other)| other.author == person.author).map(|(number, _)| *number);
        self.came.insert(number);
        self.people.insert(number, person);
        before.and_then(|before| self.leave(before)).map(|person| person.client)
    }

    /// Removes a person.
    pub(super) fn leave(&mut self, number: u64) -> Option<Person> {
        let person = self.people.remove(&number)?;
        self.moved.retain(|moved| *moved != number);
        self.came.remove(&number);
        self.left.insert(number);
        Some(person)
    }

    /// Sets the selection of a person, in the text at `revision`.
    pub(super) fn select(&mut self, number: u64, revision: u64, selection: Selection) {
        let Some(edits) = self.since(revision) else { return };
        let known = (selection.0.min(MAX_TEXT), selection.1.min(MAX_TEXT));
        let after = edits.fold(known, |places, edit| transform_selection(&edit.operation, places));
        self.place(number, Some(after));
        if !self.moved.contains(&number) {
            self.moved.push_back(number);
        }
    }

    /// Sets the selection of a person, in the present text.
    pub(super) fn place(&mut self, number: u64, selection: Option<Selection>) {
        let end = self.text.len();
        if let Some(person) = self.people.get_mut(&number) {
            person.selection = selection.map(|(anchor, head)| (anchor.min(end), head.min(end)));
        }
    }
}

fn transform_selection(operation: &Operation, (anchor, head): Selection) -> Selection {
    (operation.transform_place(anchor), operation.transform_place(head))
}
