//! One document: its text, what became of it, and who is there.

use super::operation::Operation;
use lariat::ClientId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// UTF-16 code units of the longest text.
pub(super) const MAX_TEXT: usize = 65_536;

/// An operation has at most so many stretches.
const MAX_PARTS: usize = 1_024;

/// What happened last is kept for those who come back: so many stretches of operations,
const MAX_KEPT_PARTS: usize = 8_192;

/// and so many code units that they put in.
const MAX_KEPT_UNITS: usize = 65_536;

/// Stretches that are looked at to find out what an edit means now. One that would need more comes
/// too late.
const MAX_WORK: usize = 200_000;

/// It is remembered of so many authors which was their last edit.
const MAX_AUTHORS: usize = 2_048;

/// A lineage is cut to so many lives.
pub(super) const MAX_LIVES: usize = 16;

/// There are no revisions beyond what JavaScript can count.
const MAX_REVISION: u64 = 1 << 52;

/// What somebody has done to the text: the `n`-th edit of the page with the number `by`, as it was
/// applied.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Edit {
    pub(super) by: u64,
    pub(super) n: u64,
    pub(super) operation: Operation,
}

/// Where somebody's selection begins and where its end is that moves, in code units.
pub(super) type Selection = (usize, usize);

/// Why an edit is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What has happened since is not known any more, or too much.
    Late,
    /// It does not fit, and why.
    Unfit(&'static str),
}

pub(super) struct Person {
    pub(super) name: String,
    pub(super) author: u64,
    pub(super) client: ClientId,
    pub(super) selection: Option<Selection>,
}

/// A server's life is a number, and its revisions can be compared. A text that has outlived servers
/// has a lineage: their lives in turn, each with the last revision that it has of it.
pub(super) type Lineage = Vec<(u64, u64)>;

/// What a page keeps of a document that its server does not know any more.
#[derive(Deserialize)]
pub(super) struct Kept {
    text: String,
    /// The last edit of each author.
    authors: Vec<(u64, u64)>,
    /// The last edits, up to the text.
    edits: Vec<Edit>,
}

/// How a page gets from what it has to what is there.
pub(super) enum Catch<'a> {
    /// Back to this revision, and on with these edits.
    Edits(u64, Vec<&'a Edit>),
    /// With the whole text; and whether what it has comes from the same.
    Text(String, bool, Vec<(u64, u64)>),
}

/// Everything about one document.
pub(super) struct Document {
    text: Vec<u16>,
    life: u64,
    /// The lives before.
    ancestors: Lineage,
    revision: u64,
    /// The last edits, up to the revision.
    edits: VecDeque<Edit>,
    kept_parts: usize,
    kept_units: usize,
    /// The last edit of each author.
    authors: HashMap<u64, u64>,
    pub(super) people: BTreeMap<u32, Person>,
    /// What was not told yet.
    pub(super) came: BTreeSet<u32>,
    pub(super) left: BTreeSet<u32>,
    /// The longest waiting first.
    pub(super) moved: VecDeque<u32>,
    /// Since when nobody is there, in minutes.
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
            came: BTreeSet::new(),
            left: BTreeSet::new(),
            moved: VecDeque::new(),
            empty_for: 0,
        }
    }

    /// Whether nobody has written anything.
    pub(super) const fn is_untouched(&self) -> bool {
        self.revision == 0
    }

    // ---- the text ------------------------------------------------------------------------------

    /// Takes over what a page has kept of it, which has come through other lives.
    pub(super) fn restore(&mut self, life: u64, lineage: Lineage, kept: Kept) -> Result<(), &'static str> {
        let text: Vec<u16> = kept.text.encode_utf16().collect();
        let revision = lineage.last().map_or(0, |(_, revision)| *revision);
        if text.len() > MAX_TEXT || kept.text.contains('\r') || !(1..MAX_REVISION).contains(&revision) {
            return Err("What this page has is no text of this server's.");
        }
        // Those who are here already have nothing of another life.
        self.ancestors = lineage;
        self.ancestors.push((self.life, 0));
        self.life = life;
        self.authors = kept.authors.into_iter().take(MAX_AUTHORS).collect();
        // The edits must lead to the text, one after another; those before one that does not are of
        // no use.
        let mut length = text.len();
        let fits =
            |edit: &&Edit| std::mem::replace(&mut length, edit.operation.len_before()) == edit.operation.len_after();
        let fitting = kept.edits.iter().rev().take_while(fits).count().min(revision as usize);
        let skipped = kept.edits.len() - fitting;
        kept.edits.into_iter().skip(skipped).for_each(|edit| self.keep(edit));
        (self.text, self.revision) = (text, revision);
        Ok(())
    }

    /// Applies an edit of the text as it was at a revision; what it was when it came to it is
    /// returned. A selection after the edit moves along.
    pub(super) fn edit(
        &mut self,
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    ) -> Result<(&Edit, Option<Selection>), Refusal> {
        let Edit { by, n, mut operation } = edit;
        let mut selection = selection.filter(|(anchor, head)| *anchor.max(head) <= operation.len_after());
        if self.authors.get(&by).is_some_and(|known| n <= *known) {
            return Err(Refusal::Unfit("It is known already."));
        }
        if operation.parts() > MAX_PARTS {
            return Err(Refusal::Unfit("It changes too many places at once."));
        }
        let mut work = 0;
        for earlier in self.since(revision).ok_or(Refusal::Late)? {
            work += earlier.operation.parts() + operation.parts();
            if work > MAX_WORK {
                return Err(Refusal::Late);
            }
            let both = earlier.operation.transform(&operation);
            let (earlier, ours) = both.ok_or(Refusal::Unfit("It is for another text."))?;
            selection = selection.map(|places| transform_selection(&earlier, places));
            operation = ours;
        }
        if operation.len_after() > MAX_TEXT.max(operation.len_before()) {
            return Err(Refusal::Unfit("The text would get too long."));
        }
        self.text = operation.apply(&self.text).ok_or(Refusal::Unfit("It is for another text."))?;
        for person in self.people.values_mut() {
            person.selection = person.selection.map(|places| transform_selection(&operation, places));
        }
        self.revision += 1;
        self.keep(Edit { by, n, operation });
        Ok((&self.edits[self.edits.len() - 1], selection))
    }

    /// What happened after a revision, if that is known.
    fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Edit>> {
        let count = usize::try_from(self.revision.checked_sub(revision)?).ok()?;
        Some(self.edits.iter().skip(self.edits.len().checked_sub(count)?))
    }

    /// Remembers what has been applied, and forgets what is too much.
    fn keep(&mut self, edit: Edit) {
        self.authors.insert(edit.by, edit.n);
        self.kept_parts += edit.operation.parts();
        self.kept_units += edit.operation.inserted();
        self.edits.push_back(edit);
        while self.kept_parts > MAX_KEPT_PARTS || self.kept_units > MAX_KEPT_UNITS {
            let Some(oldest) = self.edits.pop_front() else { break };
            self.kept_parts -= oldest.operation.parts();
            self.kept_units -= oldest.operation.inserted();
        }
        if self.authors.len() > MAX_AUTHORS {
            let mut present: BTreeSet<u64> = self.people.values().map(|person| person.author).collect();
            present.extend(self.edits.iter().map(|edit| edit.by));
            self.authors.retain(|author, _| present.contains(author));
        }
    }

    pub(super) fn lineage(&self) -> Lineage {
        self.ancestors.iter().copied().chain([(self.life, self.revision)]).collect()
    }

    /// How a page gets here that has come another way, or no way at all.
    pub(super) fn catch_up(&self, lineage: &[(u64, u64)]) -> Catch<'_> {
        let own: HashMap<u64, u64> = self.lineage().into_iter().collect();
        let mut common = lineage.iter().rev().filter_map(|(life, last)| Some(*own.get(life)?.min(last)));
        let common = common.next();
        let edits = common.and_then(|revision| Some((revision, self.since(revision)?.collect())));
        match edits {
            Some((revision, edits)) => Catch::Edits(revision, edits),
            None => {
                let authors = self.authors.iter().map(|(author, n)| (*author, *n)).collect();
                Catch::Text(String::from_utf16_lossy(&self.text), common.is_some(), authors)
            }
        }
    }

    // ---- the people ----------------------------------------------------------------------------

    /// Somebody comes in; whoever was here with the same author is gone then, and its client is
    /// returned.
    pub(super) fn enter(&mut self, number: u32, person: Person) -> Option<ClientId> {
        self.empty_for = 0;
        let before = self.people.iter().find(|(_, other)| other.author == person.author).map(|(number, _)| *number);
        self.came.insert(number);
        self.people.insert(number, person);
        before.and_then(|before| self.leave(before)).map(|person| person.client)
    }

    /// Somebody goes.
    pub(super) fn leave(&mut self, number: u32) -> Option<Person> {
        let person = self.people.remove(&number)?;
        self.moved.retain(|moved| *moved != number);
        self.came.remove(&number);
        self.left.insert(number);
        Some(person)
    }

    /// Somebody selects something else, in the text as it was at a revision.
    pub(super) fn select(&mut self, number: u32, revision: u64, selection: Selection) {
        let Some(edits) = self.since(revision) else { return };
        let known = (selection.0.min(MAX_TEXT), selection.1.min(MAX_TEXT));
        let after = edits.fold(known, |places, edit| transform_selection(&edit.operation, places));
        self.place(number, Some(after));
        if !self.moved.contains(&number) {
            self.moved.push_back(number);
        }
    }

    /// Somebody's selection is known to be somewhere now.
    pub(super) fn place(&mut self, number: u32, selection: Option<Selection>) {
        let end = self.text.len();
        if let Some(person) = self.people.get_mut(&number) {
            person.selection = selection.map(|(anchor, head)| (anchor.min(end), head.min(end)));
        }
    }
}

fn transform_selection(operation: &Operation, (anchor, head): Selection) -> Selection {
    (operation.transform_place(anchor), operation.transform_place(head))
}
