//! What pages and the class say to each other.
//!
//! A learner opens `/learn/class`, and the teacher's page `/learn/class?teach`.
//!
//! | from a learner | meaning |
//! |---|---|
//! | `{"join":{"name":"Ada","key":"…","lesson":"mask"}}` | who is in which lesson |
//! | `{"expect":{"lesson":"mask","question":"same","choice":"different"}}` | the prediction |
//! | `{"saw":{"lesson":"mask","question":"same","choice":"different"}}` | what really happened |
//!
//! | from the teacher | meaning |
//! |---|---|
//! | `"hold"`, `"step"`, `"free"` | hold the loop, turn it once, let it go |
//!
//! | to a learner | meaning |
//! |---|---|
//! | `{"pace":{"held":true,"steps":2}}` | is the loop held, and how often has it turned since? |
//! | `{"number":7}` | joined, as this number |
//!
//! | to the teacher | meaning |
//! |---|---|
//! | `{"class":{"learners":[],"most":100}}` | everybody, and how many there may be |
//! | `{"learner":{"number":7,"name":"Ada","lesson":"mask","here":true}}` | who came, or went |
//! | `{"answer":{"number":7,"lesson":"mask","expected":"same",..}}` | a prediction, or its result |
//! | `{"forgotten":7}` | somebody who had gone was forgotten, to make room |
//! | `{"pace":{"held":true,"steps":2}}` | as for learners |
//!
//! A page that may not do this is closed with the reason `not here` (there is no class, or the page
//! is not on the server's host), `not understood`, `full` or `too much`.

use serde::{Deserialize, Serialize};

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromPage {
    Join { name: String, key: String, lesson: String },
    Expect(Said),
    Saw(Said),
    Hold,
    Step,
    Free,
}

/// A choice of a question.
#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) lesson: String,
    pub(super) question: String,
    pub(super) choice: String,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    Pace { held: bool, steps: u32 },
    Number(u64),
    Class { learners: Vec<(Person<'a>, Vec<Answered<'a>>)>, most: usize },
    Learner(Person<'a>),
    Answer(Answered<'a>),
    Forgotten(u64),
}

/// A learner.
#[derive(Serialize)]
pub(super) struct Person<'a> {
    pub(super) number: u64,
    pub(super) name: &'a str,
    pub(super) lesson: &'a str,
    pub(super) here: bool,
}

/// A prediction, and its result if there is one.
#[derive(Serialize)]
pub(super) struct Answered<'a> {
    pub(super) number: u64,
    pub(super) lesson: &'a str,
    pub(super) question: &'a str,
    pub(super) expected: &'a str,
    pub(super) happened: Option<&'a str>,
}

impl ToPage<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
