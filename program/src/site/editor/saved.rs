//! What the editor keeps, for the process that takes over.
//!
//! The edits that pages may still refer to go along, so a page goes on at its revision. Documents
//! of several servers are in the engine between them; such servers do not hand over.

use super::document::{Document, Person, Selection, State};
use super::handler::{Editor, FORGET_AFTER_MINUTES, Place};
use super::page::Join;
use crate::site::carried::{MOST, check};
use lariat::{ClientId, RestoreError, TimerId, saved};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The handler. In which document a client is follows from the people of the documents.
#[derive(Deserialize, Serialize)]
struct SavedEditor<'a> {
    server: u64,
    people: u64,
    life: u64,
    sending: Option<TimerId>,
    ticking: Option<TimerId>,
    documents_changed: bool,
    documents: BTreeMap<Cow<'a, str>, SavedDocument<'a>>,
    /// The pages that were asked for their copy.
    asked: BTreeMap<ClientId, Cow<'a, Join>>,
}

#[derive(Deserialize, Serialize)]
struct SavedDocument<'a> {
    state: State,
    people: Vec<SavedPerson<'a>>,
    came: Cow<'a, BTreeSet<u64>>,
    left: Cow<'a, BTreeSet<u64>>,
    moved: Cow<'a, VecDeque<u64>>,
    empty_for: u32,
}

#[derive(Deserialize, Serialize)]
struct SavedPerson<'a> {
    number: u64,
    name: Cow<'a, str>,
    author: u64,
    client: ClientId,
    selection: Option<Selection>,
}

impl Editor {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        saved::to_bytes(&SavedEditor {
            server: self.server,
            people: self.people,
            life: self.life,
            sending: self.sending,
            ticking: self.ticking,
            documents_changed: self.documents_changed,
            documents: self.documents.iter().map(|(name, document)| (name.into(), document.saved())).collect(),
            asked: self.asked.iter().map(|(id, join)| (*id, Cow::Borrowed(join))).collect(),
        })
    }

    pub(super) fn restored(bytes: &[u8]) -> Result<Editor, RestoreError> {
        let saved: SavedEditor<'_> = saved::from_bytes(bytes)?;
        check(saved.people < MOST && saved.life < MOST, "a number of the editor")?;
        let mut editor = Editor::new(saved.server);
        (editor.people, editor.life) = (saved.people, saved.life);
        (editor.sending, editor.ticking) = (saved.sending, saved.ticking);
        editor.documents_changed = saved.documents_changed;
        editor.asked = saved.asked.into_iter().map(|(id, join)| (id, join.into_owned())).collect();
        for (name, document) in saved.documents {
            let document = Document::restored(document)?;
            for (number, person) in &document.people {
                let lineage = Vec::new();
                let join =
                    Join { document: name.to_string(), name: person.name.clone(), author: person.author, lineage };
                let before = editor.places.insert(person.client, Place { join, person: *number });
                check(before.is_none(), "a client in two documents")?;
            }
            editor.documents.insert(name.into_owned(), document);
        }
        Ok(editor)
    }
}

impl Document {
    fn saved(&self) -> SavedDocument<'_> {
        let people = self.people.iter().map(|(number, Person { name, author, client, selection })| SavedPerson {
            number: *number,
            name: name.into(),
            author: *author,
            client: *client,
            selection: *selection,
        });
        SavedDocument {
            // All edits that are kept.
            state: self.state(0),
            people: people.collect(),
            came: Cow::Borrowed(&self.came),
            left: Cow::Borrowed(&self.left),
            moved: Cow::Borrowed(&self.moved),
            empty_for: self.empty_for,
        }
    }

    fn restored(saved: SavedDocument<'_>) -> Result<Document, RestoreError> {
        check(saved.state.is_consistent(), "a text and its edits")?;
        let mut document = Document::new(0);
        check(document.set_state(saved.state), "the state of a document")?;
        for SavedPerson { number, name, author, client, selection } in saved.people {
            let person = Person { name: name.into_owned(), author, client, selection: None };
            check(document.people.insert(number, person).is_none(), "a person who is there twice")?;
            document.place(number, selection);
        }
        (document.came, document.left) = (saved.came.into_owned(), saved.left.into_owned());
        document.moved = saved.moved.into_owned();
        document.empty_for = saved.empty_for.min(FORGET_AFTER_MINUTES);
        Ok(document)
    }
}

impl State {
    /// Returns whether each edit leads to the next one, and the last one to the text.
    fn is_consistent(&self) -> bool {
        let mut length = self.text.encode_utf16().count();
        let mut edits = self.edits.iter().rev().map(|edit| &edit.operation);
        let leads = |edit: &super::Operation| std::mem::replace(&mut length, edit.len_before()) == edit.len_after();
        self.edits.len() as u64 <= self.revision && !self.text.contains('\r') && edits.all(leads)
    }
}
