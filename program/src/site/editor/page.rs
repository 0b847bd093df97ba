//! The messages between a page and the server.
//!
//! The server orders the edits. An edit names the revision of the text that it belongs to. The
//! server rebases it over what has happened since, applies it, numbers it, and sends it to
//! everybody. A page shows its own edits at once, and rebases those that have not come back over
//! the edits before them ([`Operation::transform`](super::Operation::transform)). So all pages have
//! the same text as soon as no edit is in flight.
//!
//! Edits have an author (a random number of the page) and a number, so none is applied twice,
//! however often it is sent. A page that was away sends its revision, and gets what has happened
//! since. After a restart, the server asks the first page that comes back for the text. Another
//! page that has seen more sends those edits again, its own and those of others; their numbers show
//! which are known. So nothing needs to be written to a disk.
//!
//! If several servers share the documents, an engine between them orders the edits, and all servers
//! apply them in this order (`feed`). Pages do not notice: all servers have the same revisions.
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"join":{"document","name","author","lineage"}}` | enters a document, or enters it again |
//! | `{"restore":{"text","authors","edits"}}` | the page's copy, after `"lost"` |
//! | `{"edit":{"by","n","operation","revision","selection"}}` | an edit of this revision |
//! | `{"select":{"revision","selection"}}` | the page's selection: `[anchor, head]` |
//!
//! `lineage` is `[[life, revision], …]`: the one of the last welcome, with the revision that the
//! page has now. `authors` is `[[by, n], …]`: the last edit of each author. An edit is nearly
//! always the page's own. After `"lost"`, a page also sends edits of others.
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"welcome":{"you","people","lineage","since","edits"}}` | the page has entered |
//! | `{"welcome":{"you","people","lineage","text","kin","authors"}}` | the page has entered |
//! | `"lost"` | the server does not know this document |
//! | `{"edit":{"by","n","operation","who","selection"}}` | an edit, which makes a new revision |
//! | `{"people":{"came","left","moved"}}` | who has entered, left, and changed the selection |
//! | `{"documents":[["notes",3]]}` | all documents, with the number of people in each |
//! | `{"refused":{"by","n","why"}}` | this edit cannot be applied |
//! | `{"full":"why"}` | the page cannot enter |
//!
//! The first welcome says how the page gets from its copy to the present text: it goes back to the
//! revision `since`, and applies `edits`. The second one brings the whole text. `kin` says whether
//! the page's text has the same origin.

use super::document::{Edit, Kept, Lineage, Selection};
use lariat::{ClientId, Clients};
use serde::{Deserialize, Serialize};

/// The path of the page and of its sockets.
pub(in crate::site) const PATH: &str = "/editor";

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromPage {
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

/// A page that enters a document.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Join {
    pub(super) document: String,
    pub(super) name: String,
    pub(super) author: u64,
    pub(super) lineage: Lineage,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    Welcome {
        you: u64,
        people: Vec<Shown<'a>>,
        lineage: Lineage,
        #[serde(flatten)]
        catch: Caught<'a>,
    },
    Lost,
    Edit {
        #[serde(flatten)]
        edit: &'a Edit,
        who: u64,
        selection: Option<Selection>,
    },
    People {
        came: Vec<Shown<'a>>,
        left: Vec<u64>,
        moved: Vec<(u64, Selection)>,
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
pub(super) type Shown<'a> = (u64, &'a str, Option<Selection>);

/// How a page gets from what it has to the present text.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Caught<'a> {
    Edits { since: u64, edits: Vec<&'a Edit> },
    Text { text: String, kin: bool, authors: Vec<(u64, u64)> },
}

impl ToPage<'_> {
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and lists: JSON can express all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // If this fails, the client is closed. Its page comes back and sends the revision that it
        // has.
        let _ = clients.send(to, &self.to_json());
    }
}
