//! A page that edits as the real one does.

use super::SECOND;
use super::operation::{apply, change, difference, invert};
use lariat::sim::{Peer, Simulation};
use lariat_cli::site::{Editor, Operation};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct Edit {
    by: u64,
    n: u64,
    operation: Operation,
}

type Lineage = Vec<(u64, u64)>;

type Shown = (u64, String, Option<(usize, usize)>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Welcome {
        you: u64,
        people: Vec<Shown>,
        lineage: Lineage,
        since: Option<u64>,
        #[serde(default)]
        edits: Vec<Edit>,
        text: Option<String>,
        #[serde(default)]
        kin: bool,
        #[serde(default)]
        authors: Vec<(u64, u64)>,
    },
    Lost,
    Edit {
        by: u64,
        n: u64,
        operation: Operation,
        who: u64,
        selection: Option<(usize, usize)>,
    },
    People {
        came: Vec<Shown>,
        left: Vec<u64>,
        moved: Vec<(u64, (usize, usize))>,
    },
    Documents(Vec<(String, usize)>),
    Refused {
        by: u64,
        n: u64,
        why: String,
    },
    Full(String),
}

/// A page, which does what `replica.js` does. But it sends each edit separately, and remembers all
/// of them.
pub struct Page {
    pub document: &'static str,
    pub author: u64,
    pub peer: Option<Peer>,
    is_in: bool,
    is_sending: bool,
    /// Only the whole text can lead to that of the server.
    is_astray: bool,
    n: u64,
    pub lineage: Lineage,
    pub revision: u64,
    pub base: String,
    pub history: Vec<(Edit, String)>,
    pub authors: BTreeMap<u64, u64>,
    pending: Vec<Edit>,
    pub you: u64,
    pub people: BTreeMap<u64, (String, Option<(usize, usize)>)>,
    pub documents: Vec<(String, usize)>,
    pub refused: Vec<String>,
    /// Texts that could only be merged by comparison.
    pub inexact: usize,
    /// Texts that are shown beside the document, because it was begun anew without them.
    pub aside: usize,
}

impl Page {
    pub fn new(author: u64, document: &'static str) -> Page {
        Page {
            document,
            author,
            peer: None,
            is_in: false,
            is_sending: false,
            is_astray: false,
            n: 0,
            lineage: Vec::new(),
            revision: 0,
            base: String::new(),
            history: Vec::new(),
            authors: BTreeMap::new(),
            pending: Vec::new(),
            you: 0,
            people: BTreeMap::new(),
            documents: Vec::new(),
            refused: Vec::new(),
            inexact: 0,
            aside: 0,
        }
    }

    /// Returns the shown text.
    pub fn text(&self) -> String {
        self.pending.iter().fold(self.base.clone(), |text, edit| apply(&text, &edit.operation))
    }

    pub fn send(&self, what: &Value) {
        if let Some(peer) = &self.peer {
            peer.send(&what.to_string());
        }
    }

    pub fn connect(&mut self, sim: &mut Simulation<Editor>) {
        self.peer = Some(sim.connect("/editor"));
        self.join();
    }

    pub fn join(&mut self) {
        (self.is_in, self.is_sending) = (false, false);
        if let Some((_, last)) = self.lineage.last_mut() {
            *last = self.revision;
        }
        let (document, name) = (self.document, format!("user {}", self.author));
        self.send(
            &json!({"join": {"document": document, "name": name, "author": self.author, "lineage": self.lineage}}),
        );
    }

    pub fn is_connected(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_open)
    }

    pub fn edit(&mut self, operation: Operation) {
        self.n += 1;
        self.pending.push(Edit { by: self.author, n: self.n, operation });
        self.flush();
    }

    pub fn write(&mut self, place: usize, put: &str) {
        let text = self.text();
        self.edit(change(&text, place, 0, put));
    }

    fn flush(&mut self) {
        if !self.is_in || self.is_sending {
            return;
        }
        if let Some(Edit { by, n, operation }) = self.pending.first() {
            let at = operation.len_after();
            self.send(&json!({"edit": {"by": by, "n": n, "operation": operation, "revision": self.revision, "selection": [at, at]}}));
            self.is_sending = true;
        }
    }

    /// Handles the received messages.
    pub fn listen(&mut self) {
        let received = self.peer.as_ref().map(Peer::received_text).unwrap_or_default();
        for text in received {
            match serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) {
                Told::Welcome { since: Some(since), .. }
                    if self.revision.saturating_sub(since) > self.history.len() as u64 =>
                {
                    // Only the whole text can help.
                    (self.is_astray, self.lineage) = (true, Vec::new());
                    self.join();
                }
                Told::Welcome { you, people, lineage, since, edits, text, kin, authors } => {
                    (self.you, self.people) =
                        (you, people.into_iter().map(|(who, name, at)| (who, (name, at))).collect());
                    self.welcome(since, edits, text, kin, authors);
                    self.revision = lineage.last().expect("a life").1;
                    (self.lineage, self.is_in, self.is_sending) = (lineage, true, false);
                    self.flush();
                }
                Told::Lost => {
                    let edits: Vec<&Edit> = self.history.iter().map(|(edit, _)| edit).collect();
                    let edits = &edits[edits.len().saturating_sub(200)..];
                    let authors: Vec<(&u64, &u64)> = self.authors.iter().collect();
                    self.send(&json!({"restore": {"text": self.base, "authors": authors, "edits": edits}}));
                }
                Told::Edit { by, n, operation, who, selection } if self.is_in => {
                    self.confirm(Edit { by, n, operation: operation.clone() });
                    for (_, at) in self.people.values_mut() {
                        *at = at
                            .map(|(anchor, head)| (operation.transform_place(anchor), operation.transform_place(head)));
                    }
                    if let (Some((_, at)), Some(_)) = (self.people.get_mut(&who), selection) {
                        *at = selection;
                    }
                    self.flush();
                }
                Told::Edit { .. } => {}
                Told::People { came, left, moved } => {
                    left.iter().for_each(|who| drop(self.people.remove(who)));
                    self.people.extend(came.into_iter().map(|(who, name, at)| (who, (name, at))));
                    for (who, at) in moved {
                        // With several servers, it may be somebody whom this one does not know yet.
                        self.people.entry(who).and_modify(|person| person.1 = Some(at));
                    }
                }
                Told::Documents(documents) => self.documents = documents,
                Told::Refused { by, n, why } => {
                    if let Some(at) = self.pending.iter().position(|edit| (edit.by, edit.n) == (by, n)) {
                        self.drop_pending(at);
                        self.refused.push(why);
                        self.flush();
                    }
                }
                Told::Full(why) => self.refused.push(why),
            }
        }
    }

    fn welcome(
        &mut self,
        since: Option<u64>,
        edits: Vec<Edit>,
        text: Option<String>,
        kin: bool,
        authors: Vec<(u64, u64)>,
    ) {
        if let Some(since) = since {
            self.go_back(self.revision - since);
            edits.into_iter().for_each(|edit| self.confirm(edit));
        }
        let Some(text) = text else { return };
        self.authors = authors.into_iter().collect();
        if !kin && !std::mem::take(&mut self.is_astray) && self.revision > 0 {
            self.pending.clear();
            self.history.clear();
            self.aside += 1;
        }
        let authors = self.authors.clone();
        let is_known = |edit: &Edit| authors.get(&edit.by).is_some_and(|known| edit.n <= *known);
        if let Some(unknown) = self.history.iter().position(|(edit, _)| !is_known(edit)) {
            self.go_back((self.history.len() - unknown) as u64);
        }
        while self.pending.first().is_some_and(is_known) {
            self.base = apply(&self.base, &self.pending.remove(0).operation);
        }
        (0..self.pending.len())
            .rev()
            .filter(|at| is_known(&self.pending[*at]))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|at| self.drop_pending(at));
        self.history.clear();
        self.authors = authors;
        self.inexact += usize::from(!self.pending.is_empty() && !self.base.is_empty());
        let operation = difference(&self.base, &text);
        self.rebase(operation, 0);
        self.base = text;
    }

    fn go_back(&mut self, edits: u64) {
        for _ in 0..edits {
            let (edit, before) = self.history.pop().expect("it is remembered");
            self.authors.insert(edit.by, edit.n - 1);
            self.pending.insert(0, edit);
            self.base = before;
        }
    }

    fn confirm(&mut self, edit: Edit) {
        self.is_sending &= self.pending.first().is_none_or(|first| (first.by, first.n) != (edit.by, edit.n));
        match self.pending.iter().position(|own| (own.by, own.n) == (edit.by, edit.n)) {
            Some(0) if self.pending[0].operation == edit.operation => drop(self.pending.remove(0)),
            known => {
                known.into_iter().for_each(|at| self.drop_pending(at));
                self.rebase(edit.operation.clone(), 0);
            }
        }
        let after = apply(&self.base, &edit.operation);
        self.authors.insert(edit.by, edit.n);
        self.history.push((edit, std::mem::replace(&mut self.base, after)));
        self.revision += 1;
    }

    fn rebase(&mut self, mut other: Operation, from: usize) {
        for edit in &mut self.pending[from..] {
            let (other_after, own_after) = other.transform(&edit.operation).expect("of one text");
            (other, edit.operation) = (other_after, own_after);
        }
    }

    /// Removes an edit, as if it had never been made.
    fn drop_pending(&mut self, at: usize) {
        let before = self.pending[..at].iter().fold(self.base.clone(), |text, edit| apply(&text, &edit.operation));
        let dropped = self.pending.remove(at);
        self.is_sending &= at != 0;
        self.rebase(invert(&before, &dropped.operation), at);
    }
}

/// Runs for a second. Pages without a connection come back.
pub fn settle(sim: &mut Simulation<Editor>, pages: &mut [Page]) {
    sim.run_for(SECOND);
    for page in &mut *pages {
        page.listen();
        if !page.is_connected() {
            page.connect(sim);
        }
    }
}

pub fn settle_all(sim: &mut Simulation<Editor>, pages: &mut [Page]) {
    for _ in 0..300 {
        settle(sim, pages);
        if pages.iter().all(|page| page.is_in && page.is_connected() && page.pending.is_empty()) {
            break;
        }
    }
    settle(sim, pages);
}

#[track_caller]
pub fn assert_agree(pages: &[Page], what: &str) {
    for page in pages {
        assert_eq!((page.pending.len(), page.refused.len()), (0, 0), "{what}: {}", page.author);
        assert_eq!(page.revision, pages[0].revision, "{what}: {}", page.author);
        assert!(page.base == pages[0].base, "{what}: {} has {:?}, not {:?}", page.author, page.base, pages[0].base);
    }
}

pub fn pages(count: u64, document: &'static str, sim: &mut Simulation<Editor>) -> Vec<Page> {
    let mut pages: Vec<Page> = (1..=count).map(|author| Page::new(author, document)).collect();
    pages.iter_mut().for_each(|page| page.connect(sim));
    settle_all(sim, &mut pages);
    pages
}
