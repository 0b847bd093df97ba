//! The handler of `/editor`: the documents, and which client is in which.
//!
//! Memory: at most [`MAX_DOCUMENTS`] documents of at most 1 MiB each, and the names of the people.

use super::document::{Catch, Document, Edit, Kept, MAX_LIVES, Person, Refusal, Selection};
use super::page::{Caught, FromPage, Join, ToPage};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, TimerId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The most documents at a time.
const MAX_DOCUMENTS: usize = 64;

/// An empty document is removed after so many minutes.
const FORGET_AFTER_MINUTES: u32 = 60;

/// The most characters of the name of a person or document.
const MAX_NAME: usize = 32;

/// The time after a change until pages learn who has come, left and changed the selection.
const SEND_AFTER: Duration = Duration::from_millis(100);

/// The most selections in one message. The others follow in the next one.
const MAX_MOVED: usize = 32;

/// The first life is below this number, so that JavaScript can represent them.
const MAX_LIFE: u64 = 1 << 52;

/// The topic of everybody in a document. The topics of documents begin with `#`.
const EVERYBODY: &str = "everybody";

/// The close code for a page that has entered again over another connection.
const REPLACED: u16 = 4000;

/// The timer tokens: changes are to be sent; a minute has passed.
const SEND: u64 = 0;
const MINUTE: u64 = 1;

/// Where a client is.
struct Place {
    join: Join,
    person: u32,
}

/// The handler of `/editor`: all documents, and who is in them.
pub struct Editor {
    documents: BTreeMap<String, Document>,
    places: HashMap<ClientId, Place>,
    /// The pages that were asked for their copy.
    asked: HashMap<ClientId, Join>,
    people: u32,
    /// Different for each document that begins or is restored.
    life: u64,
    /// Set while changes are to be sent.
    sending: Option<TimerId>,
    /// Runs every minute, while there are documents.
    ticking: Option<TimerId>,
    documents_changed: bool,
}

impl Default for Editor {
    fn default() -> Editor {
        Editor::new(rand::random())
    }
}

impl Editor {
    /// Returns an editor without documents. `server` must be a different number for each start of
    /// the server.
    pub fn new(server: u64) -> Editor {
        Editor {
            documents: BTreeMap::new(),
            places: HashMap::new(),
            asked: HashMap::new(),
            people: 0,
            life: server % MAX_LIFE,
            sending: None,
            ticking: None,
            documents_changed: false,
        }
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, mut join: Join) {
        self.leave(clients, id);
        (join.name, join.document) = (tidy(&join.name, "Guest"), tidy(&join.document, "notes"));
        if !self.documents.contains_key(&join.document) && !self.make_place() {
            return ToPage::Full("There are too many documents already.").send(clients, id);
        }
        join.lineage.drain(..join.lineage.len().saturating_sub(MAX_LIVES));
        let is_untouched = self.documents.get(&join.document).is_none_or(Document::is_untouched);
        // A page at revision 0 has nothing to restore.
        if is_untouched && join.lineage.last().is_some_and(|(_, revision)| *revision > 0) {
            self.asked.insert(id, join);
            return ToPage::Lost.send(clients, id);
        }
        self.enter(clients, id, join);
    }

    fn restore(&mut self, clients: &mut Clients<()>, id: ClientId, kept: Kept) {
        let Some(join) = self.asked.remove(&id) else { return not_understood(clients, id) };
        self.life += 1;
        if self.documents.len() >= MAX_DOCUMENTS && !self.documents.contains_key(&join.document) {
            return ToPage::Full("There are too many documents already.").send(clients, id);
        }
        let document = self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(self.life));
        // Another page may have been faster.
        if document.is_untouched() {
            if let Err(why) = document.restore(self.life, join.lineage.clone(), kept) {
                return ToPage::Full(why).send(clients, id);
            }
            let here: Vec<ClientId> = document.people.values().map(|person| person.client).collect();
            here.into_iter().for_each(|other| self.enter_again(clients, other));
        }
        self.enter(clients, id, join);
    }

    /// Lets a page enter again, so that it gets the present text.
    fn enter_again(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(Place { join, .. }) = self.places.get(&id) else { return };
        let mut join = join.clone();
        if let Some(document) = self.documents.get(&join.document) {
            // From revision 0 on. Mostly those edits are not kept any more, and the page gets the
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
            let _ = clients.close(ghost, CloseCode::from(REPLACED), "this page has opened another connection");
        }
        clients.subscribe(id, EVERYBODY);
        clients.subscribe(id, &topic(&join.document));
        let catch = match document.catch_up(&join.lineage) {
            Catch::Edits(since, edits) => Caught::Edits { since, edits },
            Catch::Text(text, kin, authors) => Caught::Text { text, kin, authors },
        };
        let people = document.people.iter();
        let people = people.map(|(number, person)| (*number, person.name.as_str(), person.selection)).collect();
        ToPage::Welcome { you: self.people, people, lineage: document.lineage(), catch }.send(clients, id);
        self.places.insert(id, Place { join, person: self.people });
        self.ticking.get_or_insert_with(|| clients.set_interval(Duration::from_secs(60), MINUTE));
        self.send_soon(clients);
        self.documents_changed = true;
        ToPage::Documents(self.list()).send(clients, id);
    }

    /// Makes place for one more document, if need be by removing the one that has been empty
    /// longest. Returns `false` if there is none to remove.
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
        self.send_soon(clients);
    }

    fn edit(
        &mut self,
        clients: &mut Clients<()>,
        id: ClientId,
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    ) {
        // A page that is not in a document is about to enter one, and will send this again.
        let Some(Place { join, person }) = self.places.get(&id) else { return };
        let Some(document) = self.documents.get_mut(&join.document) else { return };
        let (by, n, who) = (edit.by, edit.n, *person);
        match document.edit(edit, revision, selection) {
            Ok((edit, selection)) => {
                clients.publish(&topic(&join.document), &ToPage::Edit { edit, who, selection }.to_json());
                if selection.is_some() {
                    document.place(who, selection);
                }
            }
            Err(Refusal::Late) => self.enter_again(clients, id),
            Err(Refusal::Unfit(why)) => ToPage::Refused { by, n, why }.send(clients, id),
        }
    }

    fn send_soon(&mut self, clients: &mut Clients<()>) {
        self.sending.get_or_insert_with(|| clients.set_timer(SEND_AFTER, SEND));
    }

    fn list(&self) -> Vec<(&str, usize)> {
        self.documents.iter().map(|(name, document)| (name.as_str(), document.people.len())).collect()
    }

    /// Sends who has come, left and changed the selection, and the list of documents.
    fn send_changes(&mut self, clients: &mut Clients<()>) {
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
            clients.publish(&topic(name), &ToPage::People { came, left, moved }.to_json());
        }
        if std::mem::take(&mut self.documents_changed) {
            clients.publish(EVERYBODY, &ToPage::Documents(self.list()).to_json());
        }
        self.sending = None;
        if is_more {
            self.send_soon(clients);
        }
    }

    /// Removes documents that have been empty for long.
    fn forget(&mut self, clients: &mut Clients<()>) {
        let before = self.documents.len();
        self.documents.retain(|_, document| {
            document.empty_for += u32::from(document.people.is_empty());
            document.empty_for < FORGET_AFTER_MINUTES
        });
        if self.documents.len() < before {
            self.documents_changed = true;
            self.send_soon(clients);
        }
        if self.documents.is_empty() {
            self.ticking.take().map(|timer| clients.cancel_timer(timer));
        }
    }
}

fn topic(document: &str) -> String {
    format!("#{document}")
}

/// Returns a name without invisible characters, cut to the longest length.
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
            Some(FromPage::Join(join)) => self.join(clients, id, join),
            Some(FromPage::Restore(kept)) => self.restore(clients, id, kept),
            Some(FromPage::Edit { edit, revision, selection }) => self.edit(clients, id, edit, revision, selection),
            Some(FromPage::Select { revision, selection }) => {
                let Some(Place { join, person }) = self.places.get(&id) else { return };
                if let Some(document) = self.documents.get_mut(&join.document) {
                    document.select(*person, revision, selection);
                    self.send_soon(clients);
                }
            }
            None => not_understood(clients, id),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        match token {
            SEND => self.send_changes(clients),
            _ => self.forget(clients),
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.leave(clients, id);
    }
}
