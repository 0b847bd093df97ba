//! `/editor`: several people write one text at the same time.
//!
//! The server orders what they do: an edit says to which revision of the text it belongs, is
//! rebased over what has happened since, applied, numbered and told to everybody. A page shows its
//! own edits at once, and rebases those that have not come back over what comes before them
//! ([`Operation::transform`]); so all see the same text as soon as nothing is under way.
//!
//! Edits have an author (a number that a page chooses by chance) and a number, so none is applied
//! twice, however often it is sent. A page that was away says which revision it has, and gets what
//! has happened since. When the server has been restarted, it asks the first page that comes back
//! for the text. Another page that has seen more than that one sends those edits again, whoever
//! their author is, and they are known by their numbers. Nothing needs to be written to a disk.
//!
//! | from the page | |
//! |---|---|
//! | `{"join":{"document","name","author","lineage"}}` | comes in, perhaps again, with `lineage`: `[[life, revision], …]`, what the welcome said, and the revision that it has |
//! | `{"restore":{"text","authors","edits"}}` | what it has, after `"lost"`: `authors` are `[[by, n], …]`, the last edit of each |
//! | `{"edit":{"by","n","operation","revision","selection"}}` | somebody's edit of this revision, mostly its own |
//! | `{"select":{"revision","selection"}}` | its selection is there now: `[anchor, head]` |
//!
//! | to the page | |
//! |---|---|
//! | `{"welcome":{"you","people","lineage","since","edits"}}` | it is in: back to the revision `since`, and on with `edits` |
//! | `{"welcome":{"you","people","lineage","text","kin","authors"}}` | it is in, with the whole text; `kin`: what it had comes from the same |
//! | `"lost"` | the server knows nothing of this document |
//! | `{"edit":{"by","n","operation","who","selection"}}` | the text has a new revision |
//! | `{"people":{"came","left","moved"}}` | who has come, gone, and selected something else |
//! | `{"documents":[["notes",3]]}` | what documents there are, with how many people |
//! | `{"refused":{"by","n","why"}}` | this edit cannot be applied |
//! | `{"full":"why"}` | it cannot come in |
//!
//! Memory: at most [`MAX_DOCUMENTS`] documents of at most 1 MiB each, and what people are called.

use super::document::{Catch, Document, Edit, Kept, Lineage, MAX_LIVES, Person, Refusal, Selection};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, TimerId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// More documents than this there are not at a time.
const MAX_DOCUMENTS: usize = 64;

/// A document where nobody is, is forgotten after so many minutes.
const FORGET_AFTER_MINUTES: u32 = 60;

/// Characters of the longest name of a person or document.
const MAX_NAME: usize = 32;

/// So long after something has changed it is told who came, went and selected something else.
const TELL_AFTER: Duration = Duration::from_millis(100);

/// No more selections are told at a time; the others come next.
const MAX_MOVED: usize = 32;

/// The first life is below this, so that JavaScript can count them.
const MAX_LIFE: u64 = 1 << 52;

/// The topic of all who are in some document; those of documents begin with `#`.
const EVERYBODY: &str = "everybody";

/// A page is told under this code that it has come in elsewhere.
const REPLACED: u16 = 4000;

/// The timers: something is to be told; a minute has passed.
const TELL: u64 = 0;
const MINUTE: u64 = 1;

/// What a page says.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Join(Join),
    Restore(Kept),
    Edit {
        #[serde(flatten)]
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    },
    Select {
        revision: u64,
        selection: Selection,
    },
}

#[derive(Clone, Deserialize)]
struct Join {
    document: String,
    name: String,
    author: u64,
    lineage: Lineage,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Welcome {
        you: u32,
        people: Vec<Shown<'a>>,
        lineage: Lineage,
        #[serde(flatten)]
        catch: Caught<'a>,
    },
    Lost,
    Edit {
        #[serde(flatten)]
        edit: &'a Edit,
        who: u32,
        selection: Option<Selection>,
    },
    People {
        came: Vec<Shown<'a>>,
        left: Vec<u32>,
        moved: Vec<(u32, Selection)>,
    },
    Documents(Vec<(&'a str, usize)>),
    Refused {
        by: u64,
        n: u64,
        why: &'a str,
    },
    Full(&'a str),
}

/// A person's number, name and selection.
type Shown<'a> = (u32, &'a str, Option<Selection>);

#[derive(Serialize)]
#[serde(untagged)]
enum Caught<'a> {
    Edits { since: u64, edits: Vec<&'a Edit> },
    Text { text: String, kin: bool, authors: Vec<(u64, u64)> },
}

impl Told<'_> {
    fn to_json(&self) -> String {
        // Text, numbers and lists: nothing that JSON has not.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // Whoever cannot be sent to is closed and comes back, with the revision that it has.
        let _ = clients.send(to, &self.to_json());
    }
}

/// Where a client is.
struct Place {
    join: Join,
    person: u32,
}

/// Documents, and who is writing in them.
pub struct Editor {
    documents: BTreeMap<String, Document>,
    places: HashMap<ClientId, Place>,
    /// Those who were asked for what they have.
    asked: HashMap<ClientId, Join>,
    people: u32,
    /// Another one for each document that begins or is restored.
    life: u64,
    /// If something is to be told soon.
    telling: Option<TimerId>,
    /// Every minute, while there are documents.
    ticking: Option<TimerId>,
    documents_changed: bool,
}

impl Default for Editor {
    fn default() -> Editor {
        Editor::new(rand::random())
    }
}

impl Editor {
    /// Without documents. `server` must be another number for each start of the server.
    pub fn new(server: u64) -> Editor {
        Editor {
            documents: BTreeMap::new(),
            places: HashMap::new(),
            asked: HashMap::new(),
            people: 0,
            life: server % MAX_LIFE,
            telling: None,
            ticking: None,
            documents_changed: false,
        }
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, mut join: Join) {
        self.leave(clients, id);
        (join.name, join.document) = (tidy(&join.name, "Guest"), tidy(&join.document, "notes"));
        if !self.documents.contains_key(&join.document) && !self.make_place() {
            return Told::Full("There are too many documents already.").send(clients, id);
        }
        join.lineage.drain(..join.lineage.len().saturating_sub(MAX_LIVES));
        let is_untouched = self.documents.get(&join.document).is_none_or(Document::is_untouched);
        // A page that has no revision but the first has nothing to restore.
        if is_untouched && join.lineage.last().is_some_and(|(_, revision)| *revision > 0) {
            self.asked.insert(id, join);
            return Told::Lost.send(clients, id);
        }
        self.enter(clients, id, join);
    }

    fn restore(&mut self, clients: &mut Clients<()>, id: ClientId, kept: Kept) {
        let Some(join) = self.asked.remove(&id) else { return not_understood(clients, id) };
        self.life += 1;
        if self.documents.len() >= MAX_DOCUMENTS && !self.documents.contains_key(&join.document) {
            return Told::Full("There are too many documents already.").send(clients, id);
        }
        let document = self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(self.life));
        // Another one may have been faster.
        if document.is_untouched() {
            if let Err(why) = document.restore(self.life, join.lineage.clone(), kept) {
                return Told::Full(why).send(clients, id);
            }
            let here: Vec<ClientId> = document.people.values().map(|person| person.client).collect();
            here.into_iter().for_each(|other| self.come_again(clients, other));
        }
        self.enter(clients, id, join);
    }

    /// Brings a page up to date that has not asked to be.
    fn come_again(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(Place { join, .. }) = self.places.get(&id) else { return };
        let mut join = join.clone();
        if let Some(document) = self.documents.get(&join.document) {
            // From the very beginning: mostly that is not known any more, and the page gets the
            // whole text.
            join.lineage = document.lineage().into_iter().map(|(life, _)| (life, 0)).collect();
        }
        self.leave(clients, id);
        self.enter(clients, id, join);
    }

    fn enter(&mut self, clients: &mut Clients<()>, id: ClientId, join: Join) {
        self.life += 1;
        let document = self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(self.life));
        self.people += 1;
        let person = Person { name: join.name.clone(), author: join.author, client: id, selection: None };
        if let Some(ghost) = document.enter(self.people, person) {
            self.places.remove(&ghost);
            clients.unsubscribe(ghost, &topic(&join.document));
            // It may be closing already.
            let _ = clients.close(ghost, CloseCode::from(REPLACED), "this page has come in again");
        }
        clients.subscribe(id, EVERYBODY);
        clients.subscribe(id, &topic(&join.document));
        let catch = match document.catch_up(&join.lineage) {
            Catch::Edits(since, edits) => Caught::Edits { since, edits },
            Catch::Text(text, kin, authors) => Caught::Text { text, kin, authors },
        };
        let people = document.people.iter();
        let people = people.map(|(number, person)| (*number, person.name.as_str(), person.selection)).collect();
        Told::Welcome { you: self.people, people, lineage: document.lineage(), catch }.send(clients, id);
        self.places.insert(id, Place { join, person: self.people });
        self.ticking.get_or_insert_with(|| clients.set_interval(Duration::from_secs(60), MINUTE));
        self.tell_soon(clients);
        self.documents_changed = true;
        Told::Documents(self.list()).send(clients, id);
    }

    /// Whether there is room for one more, perhaps because the one that has been empty for longest
    /// has been forgotten.
    fn make_place(&mut self) -> bool {
        if self.documents.len() < MAX_DOCUMENTS {
            return true;
        }
        let empty = self.documents.iter().filter(|(_, document)| document.people.is_empty());
        let longest = empty.max_by_key(|(_, document)| document.empty_for).map(|(name, _)| name.clone());
        longest.is_some_and(|name| self.documents.remove(&name).is_some())
    }

    fn leave(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.asked.remove(&id);
        let Some(place) = self.places.remove(&id) else { return };
        clients.unsubscribe(id, &topic(&place.join.document));
        if let Some(document) = self.documents.get_mut(&place.join.document) {
            document.leave(place.person);
        }
        self.documents_changed = true;
        self.tell_soon(clients);
    }

    fn edit(
        &mut self,
        clients: &mut Clients<()>,
        id: ClientId,
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    ) {
        // It may have been told of something else just now, and will send this again.
        let Some(Place { join, person }) = self.places.get(&id) else { return };
        let Some(document) = self.documents.get_mut(&join.document) else { return };
        let (by, n, who) = (edit.by, edit.n, *person);
        match document.edit(edit, revision, selection) {
            Ok((edit, selection)) => {
                clients.publish(&topic(&join.document), &Told::Edit { edit, who, selection }.to_json());
                if selection.is_some() {
                    document.place(who, selection);
                }
            }
            Err(Refusal::Late) => self.come_again(clients, id),
            Err(Refusal::Unfit(why)) => Told::Refused { by, n, why }.send(clients, id),
        }
    }

    fn tell_soon(&mut self, clients: &mut Clients<()>) {
        self.telling.get_or_insert_with(|| clients.set_timer(TELL_AFTER, TELL));
    }

    fn list(&self) -> Vec<(&str, usize)> {
        self.documents.iter().map(|(name, document)| (name.as_str(), document.people.len())).collect()
    }

    /// Tells who has come, gone and selected something else, and which documents there are.
    fn tell(&mut self, clients: &mut Clients<()>) {
        let mut is_more = false;
        for (name, document) in &mut self.documents {
            let came = std::mem::take(&mut document.came);
            let left = std::mem::take(&mut document.left).into_iter().collect::<Vec<_>>();
            let some = document.moved.len().min(MAX_MOVED);
            let moved: Vec<u32> = document.moved.drain(..some).collect();
            is_more |= !document.moved.is_empty();
            if came.is_empty() && left.is_empty() && moved.is_empty() {
                continue;
            }
            let people = &document.people;
            let came = came.iter().filter_map(|number| people.get_key_value(number));
            let came = came.map(|(number, person)| (*number, person.name.as_str(), person.selection)).collect();
            let moved = moved.iter().filter_map(|number| Some((*number, people.get(number)?.selection?))).collect();
            clients.publish(&topic(name), &Told::People { came, left, moved }.to_json());
        }
        if std::mem::take(&mut self.documents_changed) {
            clients.publish(EVERYBODY, &Told::Documents(self.list()).to_json());
        }
        self.telling = None;
        if is_more {
            self.tell_soon(clients);
        }
    }

    /// Forgets where nobody was for long.
    fn forget(&mut self, clients: &mut Clients<()>) {
        let before = self.documents.len();
        self.documents.retain(|_, document| {
            document.empty_for += u32::from(document.people.is_empty());
            document.empty_for < FORGET_AFTER_MINUTES
        });
        if self.documents.len() < before {
            self.documents_changed = true;
            self.tell_soon(clients);
        }
        if self.documents.is_empty() {
            self.ticking.take().map(|timer| clients.cancel_timer(timer));
        }
    }
}

fn topic(document: &str) -> String {
    format!("#{document}")
}

/// A name without what cannot be seen, and not too long.
fn tidy(name: &str, default: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { default.to_owned() } else { tidy }
}

fn not_understood(clients: &mut Clients<()>, id: ClientId) {
    let _ = clients.close(id, CloseCode::Policy, "not understood");
}

impl Handler for Editor {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(Asked::Join(join)) => self.join(clients, id, join),
            Some(Asked::Restore(kept)) => self.restore(clients, id, kept),
            Some(Asked::Edit { edit, revision, selection }) => self.edit(clients, id, edit, revision, selection),
            Some(Asked::Select { revision, selection }) => {
                let Some(Place { join, person }) = self.places.get(&id) else { return };
                if let Some(document) = self.documents.get_mut(&join.document) {
                    document.select(*person, revision, selection);
                    self.tell_soon(clients);
                }
            }
            None => not_understood(clients, id),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        match token {
            TELL => self.tell(clients),
            _ => self.forget(clients),
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.leave(clients, id);
    }
}
