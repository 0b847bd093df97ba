//! All pages have the same text in the end, even if they write at the same time, connections break
//! and the server restarts.

use lariat::Config;
use lariat::sim::{Faults, Peer, Simulation};
use lariat_cli::site::{Editor, Operation};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn string(units: &[u16]) -> String {
    String::from_utf16(units).expect("no character is taken apart")
}

fn apply(text: &str, operation: &Operation) -> String {
    string(&operation.apply(&units(text)).expect("it is for this text"))
}

fn operation(json: Value) -> Operation {
    serde_json::from_value(json).expect("an operation")
}

fn random_text(random: &mut StdRng, longest: usize) -> String {
    let some = ['a', 'b', '1', '-', ' ', '\n', 'é', '世', '👋', '🏽'];
    (0..random.random_range(0..=longest)).map(|_| some[random.random_range(0..some.len())]).collect()
}

/// Returns an operation with many changes at many places.
fn random_operation(random: &mut StdRng, text: &str) -> Operation {
    let mut operation = Operation::default();
    for character in text.chars() {
        if random.random_bool(0.15) {
            operation.insert(&units(&random_text(random, 3)));
        }
        match random.random_bool(0.2) {
            true => operation.delete(character.len_utf16()),
            false => operation.retain(character.len_utf16()),
        }
    }
    operation.insert(&units(&random_text(random, 2)));
    operation
}

/// Returns one change at one place, as when typing: so many characters are deleted, and this text
/// is inserted.
fn change(text: &str, place: usize, out: usize, put: &str) -> Operation {
    let length = |text: &mut dyn Iterator<Item = char>| text.map(char::len_utf16).sum();
    let mut characters = text.chars();
    let mut operation = Operation::default();
    operation.retain(length(&mut characters.by_ref().take(place)));
    operation.insert(&units(put));
    operation.delete(length(&mut characters.by_ref().take(out)));
    operation.retain(length(&mut characters));
    operation
}

/// Returns one change from a text to another one.
fn difference(before: &str, after: &str) -> Operation {
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = rest.take_while(|(old, new)| old == new).count();
    change(before, start, old.len() - end - start, &new[start..new.len() - end].iter().collect::<String>())
}

/// Returns the operation that undoes an operation on this text.
fn invert(text: &str, operation: &Operation) -> Operation {
    let (text, mut at, mut inverse) = (units(text), 0, Operation::default());
    for part in serde_json::to_value(operation).expect("JSON").as_array().expect("a list") {
        match part.as_i64() {
            None => inverse.delete(units(part.as_str().expect("a text")).len()),
            Some(length) if length > 0 => inverse.retain(length as usize),
            Some(length) => inverse.insert(&text[at..at + length.unsigned_abs() as usize]),
        }
        at += part.as_i64().unwrap_or_default().unsigned_abs() as usize;
    }
    inverse
}

#[test]
fn two_operations_lead_to_the_same_text_in_either_order() {
    for seed in 0..5_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let text = random_text(&mut random, 20);
        let (first, second) = (random_operation(&mut random, &text), random_operation(&mut random, &text));
        let (first_after, second_after) = first.transform(&second).expect("of one text");
        let both = apply(&apply(&text, &first), &second_after);
        assert_eq!(apply(&apply(&text, &second), &first_after), both, "seed {seed}");
        assert_eq!((first.len_before(), first.len_after()), (units(&text).len(), units(&apply(&text, &first)).len()));
        let again: Operation = operation(serde_json::to_value(&first).expect("JSON"));
        assert_eq!(again, first, "seed {seed}");
        let places = (0..=units(&text).len()).map(|place| first.transform_place(place));
        assert!(places.is_sorted() && first.transform_place(units(&text).len()) <= first.len_after(), "seed {seed}");
        let longer = Operation::default().transform(&first);
        assert_eq!(longer.is_some(), text.is_empty(), "only of texts of one length");
    }
}

#[test]
fn pages_get_the_same_results() {
    #[derive(Deserialize)]
    struct Case {
        text: String,
        first: Operation,
        second: Operation,
        first_after: Operation,
        second_after: Operation,
        both: String,
        places: Vec<usize>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("operations.json")).expect("cases");
    assert!(cases.len() >= 100);
    for case in cases {
        let after = case.first.transform(&case.second);
        assert_eq!(after, Some((case.first_after, case.second_after.clone())), "{:?}", case.text);
        assert_eq!(apply(&apply(&case.text, &case.first), &case.second_after), case.both);
        let places: Vec<usize> = (0..case.places.len()).map(|place| case.first.transform_place(place)).collect();
        assert_eq!(places, case.places, "{:?}", case.text);
    }
}

#[test]
fn invalid_operations_are_refused() {
    for nonsense in [
        json!([0]),
        json!(["a\rb"]),
        json!([1.5]),
        json!([null]),
        json!(7),
        json!([1u64 << 60]),
        json!([-(1i64 << 60)]),
        json!([i64::MIN]),
        json!([1 << 24, 1 << 24]),
    ] {
        assert!(serde_json::from_value::<Operation>(nonsense.clone()).is_err(), "{nonsense}");
    }
    assert!(serde_json::from_str::<Operation>(r#"["\ud83d"]"#).is_err(), "half a character");
    let wave = units("👋");
    assert_eq!(operation(json!([1, "x", 1])).apply(&wave), None, "it would be taken apart");
    assert_eq!(operation(json!([-1, 1])).apply(&wave), None);
    assert_eq!(operation(json!([3])).apply(&wave), None, "too long");
    assert_eq!(operation(json!([1, "", 1, -1, "b", -2])), operation(json!([2, "b", -3])), "what is equal is the same");
}

// ---- pages --------------------------------------------------------------------------------------

#[derive(Clone, Debug, Deserialize, serde::Serialize)]
struct Edit {
    by: u64,
    n: u64,
    operation: Operation,
}

type Lineage = Vec<(u64, u64)>;

type Shown = (u32, String, Option<(usize, usize)>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Welcome {
        you: u32,
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
        who: u32,
        selection: Option<(usize, usize)>,
    },
    People {
        came: Vec<Shown>,
        left: Vec<u32>,
        moved: Vec<(u32, (usize, usize))>,
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
struct Page {
    document: &'static str,
    author: u64,
    peer: Option<Peer>,
    is_in: bool,
    is_sending: bool,
    n: u64,
    lineage: Lineage,
    revision: u64,
    base: String,
    history: Vec<(Edit, String)>,
    authors: BTreeMap<u64, u64>,
    pending: Vec<Edit>,
    you: u32,
    people: BTreeMap<u32, (String, Option<(usize, usize)>)>,
    documents: Vec<(String, usize)>,
    refused: Vec<String>,
    /// Texts that could only be merged by comparison.
    inexact: usize,
}

impl Page {
    fn new(author: u64, document: &'static str) -> Page {
        Page {
            document,
            author,
            peer: None,
            is_in: false,
            is_sending: false,
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
        }
    }

    /// Returns the shown text.
    fn text(&self) -> String {
        self.pending.iter().fold(self.base.clone(), |text, edit| apply(&text, &edit.operation))
    }

    fn send(&self, what: &Value) {
        if let Some(peer) = &self.peer {
            peer.send(&what.to_string());
        }
    }

    fn connect(&mut self, sim: &mut Simulation<Editor>) {
        self.peer = Some(sim.connect("/editor"));
        self.join();
    }

    fn join(&mut self) {
        (self.is_in, self.is_sending) = (false, false);
        if let Some((_, last)) = self.lineage.last_mut() {
            *last = self.revision;
        }
        let (document, name) = (self.document, format!("user {}", self.author));
        self.send(
            &json!({"join": {"document": document, "name": name, "author": self.author, "lineage": self.lineage}}),
        );
    }

    fn is_connected(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_open)
    }

    fn edit(&mut self, operation: Operation) {
        self.n += 1;
        self.pending.push(Edit { by: self.author, n: self.n, operation });
        self.flush();
    }

    fn write(&mut self, place: usize, put: &str) {
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
    fn listen(&mut self) {
        let received = self.peer.as_ref().map(Peer::received_text).unwrap_or_default();
        for text in received {
            match serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) {
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
                    moved.into_iter().for_each(|(who, at)| self.people.get_mut(&who).expect("somebody").1 = Some(at));
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
        if !kin && self.revision > 0 {
            self.pending.clear();
            self.history.clear();
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
fn settle(sim: &mut Simulation<Editor>, pages: &mut [Page]) {
    sim.run_for(SECOND);
    for page in &mut *pages {
        page.listen();
        if !page.is_connected() {
            page.connect(sim);
        }
    }
}

fn settle_all(sim: &mut Simulation<Editor>, pages: &mut [Page]) {
    for _ in 0..300 {
        settle(sim, pages);
        if pages.iter().all(|page| page.is_in && page.is_connected() && page.pending.is_empty()) {
            break;
        }
    }
    settle(sim, pages);
}

#[track_caller]
fn assert_agree(pages: &[Page], what: &str) {
    for page in pages {
        assert_eq!((page.pending.len(), page.refused.len()), (0, 0), "{what}: {}", page.author);
        assert_eq!(page.revision, pages[0].revision, "{what}: {}", page.author);
        assert!(page.base == pages[0].base, "{what}: {} has {:?}, not {:?}", page.author, page.base, pages[0].base);
    }
}

fn pages(count: u64, document: &'static str, sim: &mut Simulation<Editor>) -> Vec<Page> {
    let mut pages: Vec<Page> = (1..=count).map(|author| Page::new(author, document)).collect();
    pages.iter_mut().for_each(|page| page.connect(sim));
    settle_all(sim, &mut pages);
    pages
}

#[test]
fn a_thousand_people_in_one_document_see_the_same_text_while_they_write_enter_and_leave() {
    let mut random = StdRng::seed_from_u64(5);
    let mut sim = Simulation::new(5, Config::default(), Editor::new(1));
    let mut pages = pages(1_000, "hall", &mut sim);
    for _ in 0..4 {
        for _ in 0..40 {
            let page = random.random_range(0..pages.len());
            let text = pages[page].text();
            let (place, out) = (random.random_range(0..=text.chars().count()), random.random_range(0..3));
            let put = random_text(&mut random, 6);
            pages[page].edit(change(&text, place, out, &put));
        }
        for _ in 0..40 {
            if let Some(peer) = &pages[random.random_range(0..1_000)].peer {
                peer.reset();
            }
        }
        settle(&mut sim, &mut pages);
    }
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after 4 rounds");
    assert!(pages[0].revision >= 150, "{}", pages[0].revision);
    assert_eq!(sim.clients().len(), 1_000, "those who broke off are gone");
    for page in &pages {
        assert!(page.people == pages[0].people && page.people.contains_key(&page.you), "{}", page.author);
        assert_eq!((page.people.len(), &page.documents[..]), (1_000, &[("hall".to_owned(), 1_000)][..]));
        let inside = |at: &(usize, usize)| at.0.max(at.1) <= units(&page.base).len();
        assert!(page.people.values().filter_map(|(_, at)| at.as_ref()).all(inside), "selections are in the text");
    }
}

#[test]
fn network_faults_do_no_harm() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Editor::new(1));
        let mut pages = pages(15, "hall", &mut sim);
        let mut faults = Faults::rough();
        faults.reset = 0.02;
        sim.set_faults(faults);
        for _ in 0..10 {
            for page in &mut pages {
                let text = page.text();
                let length = text.chars().count();
                page.edit(match length {
                    0..100 => random_operation(&mut random, &text),
                    _ => change(&text, random.random_range(0..length), 5, &random_text(&mut random, 5)),
                });
                if random.random_bool(0.1) {
                    page.peer = None;
                }
            }
            settle(&mut sim, &mut pages);
        }
        sim.set_faults(Faults::none());
        settle_all(&mut sim, &mut pages);
        assert_agree(&pages, &format!("seed {seed}"));
        assert!(pages.iter().all(|page| page.inexact == 0), "seed {seed}");
        assert_eq!(pages[0].authors, (1..=15).map(|author| (author, 10)).collect(), "seed {seed}: each edit, once");
    }
}

#[test]
fn a_restarted_server_gets_the_text_from_its_pages() {
    let mut exact = 0;
    for seed in 0..30 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Editor::new(1));
        let mut pages = pages(12, "hall", &mut sim);
        pages[0].write(0, "<begin>");
        settle_all(&mut sim, &mut pages);
        let mut words = BTreeSet::from(["begin".to_owned()]);
        for round in 0..3_u64 {
            for page in &mut pages {
                let word = format!("{}.{round}", page.author);
                let end = page.text().chars().count();
                page.write(if random.random_bool(0.5) { 0 } else { end }, &format!("<{word}>"));
                words.insert(word);
            }
            // The server dies while edits are in flight, and the pages come back one after the
            // other.
            for _ in 0..random.random_range(0..60) {
                sim.step();
                let page = random.random_range(0..pages.len());
                pages[page].listen();
            }
            let mut again = Simulation::new(seed, Config::default(), Editor::new(1_000 * (round + 1)));
            for at in 0..pages.len() {
                let other = random.random_range(at..pages.len());
                pages.swap(at, other);
                pages[at].connect(&mut again);
                for _ in 0..random.random_range(0..20) {
                    again.step();
                    pages[..=at].iter_mut().for_each(Page::listen);
                }
            }
            drop(std::mem::replace(&mut sim, again));
        }
        settle_all(&mut sim, &mut pages);
        assert_agree(&pages, &format!("seed {seed}"));
        let sorted = |text: &str| {
            let mut characters: Vec<char> = text.chars().collect();
            characters.sort_unstable();
            characters
        };
        let all: String = words.iter().map(|word| format!("<{word}>")).collect();
        assert_eq!(sorted(&pages[0].base), sorted(&all), "seed {seed}: all of it, once: {}", pages[0].base);
        // A merge by comparison may have put a word into another one.
        let is_exact = pages.iter().all(|page| page.inexact == 0);
        exact += usize::from(is_exact);
        let is_there = |word: &String| pages[0].base.contains(&format!("<{word}>"));
        assert!(!is_exact || words.iter().all(is_there), "seed {seed}: {}", pages[0].base);
    }
    assert!(exact > 20, "{exact}");
}

#[test]
fn a_late_page_gets_the_whole_text_and_keeps_its_edits() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let mut pages = pages(2, "hall", &mut sim);
    pages[0].write(0, "begin end");
    settle_all(&mut sim, &mut pages);
    let away = &mut pages[1];
    away.peer = None;
    away.write(5, ", written far away,");
    // More edits than the server remembers.
    for _ in 0..17 {
        pages[0].write(9, &"x".repeat(4_000));
        let text = pages[0].text();
        pages[0].edit(change(&text, 9, 3_999, ""));
        settle_all(&mut sim, &mut pages[..1]);
    }
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "in the end");
    assert_eq!(pages[0].base, format!("begin, written far away, end{}", "x".repeat(17)));
    assert_eq!((pages[0].inexact, pages[1].inexact), (0, 1));
    // A page that is in the document but too slow also gets the whole text.
    let old = json!({"edit": {"by": 2, "n": 99, "operation": ["late "], "revision": 0, "selection": null}});
    pages[1].send(&old);
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after an edit of long ago");
    assert!(!pages[0].base.contains("late"), "it is the page's to send again");
}

#[test]
fn documents_are_separate_and_selections_move_with_the_text() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let mut pages = pages(3, "hall", &mut sim);
    pages[2].document = "attic";
    pages[2].join();
    pages[0].write(0, "some words 👋");
    settle_all(&mut sim, &mut pages);
    assert_eq!((pages[1].base.as_str(), pages[2].base.as_str()), ("some words 👋", ""));
    assert_eq!(pages[2].documents, [("attic".to_owned(), 1), ("hall".to_owned(), 2)]);
    assert_eq!((pages[0].people.len(), pages[2].people.len()), (2, 1));
    pages[1].send(&json!({"select": {"revision": 1, "selection": [5, 10]}}));
    settle(&mut sim, &mut pages);
    let selected = |page: &Page, who: u32| page.people[&who].1;
    let who = pages[1].you;
    assert_eq!(selected(&pages[0], who), Some((5, 10)));
    pages[0].write(0, "but ");
    settle(&mut sim, &mut pages);
    assert_eq!(selected(&pages[0], who), Some((9, 14)));
    // A new page that has not seen the selection move, and a page that sends its selection from
    // before the text moved.
    let mut late = Page::new(9, "hall");
    late.connect(&mut sim);
    settle(&mut sim, &mut pages);
    late.listen();
    assert_eq!(selected(&late, who), Some((9, 14)));
    pages[1].send(&json!({"select": {"revision": 1, "selection": [1u64 << 40, 0]}}));
    settle(&mut sim, &mut pages);
    assert_eq!(selected(&pages[0], who), Some((17, 0)), "not beyond the end");
    // The same page over a second connection replaces the first.
    let first = pages[1].peer.take();
    pages[1].connect(&mut sim);
    settle_all(&mut sim, &mut pages);
    assert!(first.is_some_and(|peer| !peer.is_open()));
    assert_eq!(pages[0].people.len(), 3);
}

#[test]
fn nonsense_is_refused_and_all_limits_hold() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    for nonsense in [
        "",
        "{}",
        "[1]",
        "{\"join\":1}",
        "{\"edit\":{\"by\":1}}",
        "{\"restore\":{\"text\":\"\",\"authors\":[],\"edits\":[]}}",
    ] {
        let peer = sim.connect("/editor");
        peer.send(nonsense);
        sim.run_for(SECOND);
        assert!(!peer.is_open(), "{nonsense}");
    }
    let mut pages = pages(2, "hall", &mut sim);
    pages[0].write(0, &"é".repeat(65_536));
    settle_all(&mut sim, &mut pages);
    assert_eq!(units(&pages[1].base).len(), 65_536);
    pages[1].write(7, "x");
    pages[1].edit(operation(json!([-9, 65_528])));
    settle_all(&mut sim, &mut pages);
    assert_eq!(pages[1].refused, ["The text would become too long."]);
    pages[1].refused.clear();
    assert_agree(&pages, "what was refused is taken back, and what followed it goes on");
    assert_eq!(units(&pages[0].base).len(), 65_528);
    // For another text, splitting a character, at too many places at once: none of them has an
    // effect.
    let many: Vec<Value> = (0..1_000).flat_map(|_| [json!(1), json!("x")]).chain([json!(64_528)]).collect();
    for (n, nonsense) in [(90, json!([1])), (91, json!(many))] {
        pages[1].send(&json!({"edit": {"by": 2, "n": n, "operation": nonsense, "revision": 2, "selection": null}}));
    }
    pages[1].send(
        &json!({"edit": {"by": 2, "n": 92, "operation": ["x", 65_528], "revision": 99, "selection": [99_999_999, 1]}}),
    );
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after nonsense");
    assert_eq!(pages[0].revision, 2);
}

#[test]
fn a_restored_document_is_checked() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let join = json!({"join": {"document": "hall", "name": "", "author": 1, "lineage": [[5, 3]]}});
    for (text, is_taken) in [("x".repeat(65_537), false), ("a\rb".into(), false), ("text".to_owned(), true)] {
        let peer = sim.connect("/editor");
        peer.send(&join.to_string());
        sim.run_for(SECOND);
        assert_eq!(peer.received_text(), ["\"lost\""]);
        // The first edit does not lead to the second.
        let edits = json!([{"by": 7, "n": 1, "operation": ["zz"]}, {"by": 7, "n": 2, "operation": [3, "t"]}]);
        peer.send(&json!({"restore": {"text": text, "authors": [[7, 2]], "edits": edits}}).to_string());
        sim.run_for(SECOND);
        let told = peer.received_text().concat();
        assert_eq!(told.contains("\"since\":3,\"edits\":[]"), is_taken, "{told}");
        assert_eq!(told.contains("\"full\""), !is_taken, "{told}");
    }
    let mut page = Page::new(3, "hall");
    (page.lineage, page.revision, page.base) = (vec![(5, 2)], 2, "tex".into());
    page.connect(&mut sim);
    sim.run_for(SECOND);
    page.listen();
    assert_eq!((page.base.as_str(), page.revision, page.history.len()), ("text", 3, 1), "by the one edit that fits");
}

#[test]
fn there_are_64_documents_and_empty_ones_are_removed() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let join = |sim: &mut Simulation<Editor>, document: &str| {
        let peer = sim.connect("/editor");
        peer.send(&json!({"join": {"document": document, "name": "", "author": 1, "lineage": []}}).to_string());
        sim.run_for(SECOND);
        peer
    };
    let mut peers: Vec<Peer> = (0..64).map(|number| join(&mut sim, &format!(" document {number:02}\n"))).collect();
    let refused = join(&mut sim, "one more");
    assert_eq!(refused.received_text(), ["{\"full\":\"There are too many documents already.\"}"]);
    // An empty document makes place for a new one.
    drop(peers.swap_remove(0));
    sim.run_for(SECOND);
    let peer = join(&mut sim, "one more");
    let told = peer.received_text().concat();
    assert!(told.contains("[\"one more\",1]") && !told.contains("document 00"), "{told}");
    assert!(told.contains("document 63"), "{told}");
    drop((peers, peer, refused));
    sim.run_for(59 * 60 * SECOND);
    let again = join(&mut sim, "document 01");
    assert!(again.received_text().concat().contains("document 02"));
    drop(again);
    sim.run_for(2 * 60 * 60 * SECOND);
    let turns = sim.turns();
    sim.run_for(60 * 60 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}
