//! Who is in the class, and what each learner expects and has seen. Everything is bounded.

use super::messages::{Answered, Person, Said};
use lariat::ClientId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most learners. Who has gone makes room for who comes.
pub(super) const MOST_LEARNERS: usize = 100;

/// The most answers of a learner.
pub(super) const MOST_ANSWERS: usize = 64;

/// The most characters of a name.
pub(super) const LONGEST_NAME: usize = 32;

/// The longest word: a lesson, a question, a choice.
pub(super) const LONGEST_WORD: usize = 24;

/// The lengths of keys.
pub(super) const KEY: usize = 32;

/// A learner.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Learner {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) lesson: String,
    /// The page, while it is open.
    pub(super) page: Option<ClientId>,
    /// By lesson and question.
    pub(super) answers: BTreeMap<(String, String), Answer>,
}

/// What a learner expects, and what happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    pub(super) expected: String,
    pub(super) happened: Option<String>,
}

/// All learners by their numbers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Roll {
    pub(super) learners: BTreeMap<u64, Learner>,
    /// The number of the next one.
    pub(super) next: u64,
}

/// What joining led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) number: u64,
    /// Who was forgotten for it.
    pub(super) forgotten: Option<u64>,
    /// The other page of the same learner.
    pub(super) before: Option<ClientId>,
}

/// Returns a name as it is shown, or `None` if nothing of it can be.
pub(super) fn name(text: &str) -> Option<String> {
    // Neither control characters nor those that turn the direction of what follows.
    let is_shown = |one: &char| {
        !one.is_control()
            && !matches!(*one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let shown: String = text.chars().filter(is_shown).collect();
    let name: String = shown.trim().chars().take(LONGEST_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Returns whether this may be the name of a lesson, of a question or of a choice.
pub(super) fn is_word(text: &str) -> bool {
    (1..=LONGEST_WORD).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Returns whether this may be a key.
pub(super) fn is_key(text: &str) -> bool {
    text.len() == KEY && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Roll {
    /// Somebody comes, or comes back. `None`: the class is full.
    pub(super) fn join(&mut self, page: ClientId, key: String, name: String, lesson: String) -> Option<Joined> {
        if let Some((number, learner)) = self.learners.iter_mut().find(|(_, learner)| learner.key == key) {
            let before = learner.page.replace(page).filter(|before| *before != page);
            (learner.name, learner.lesson) = (name, lesson);
            return Some(Joined { number: *number, forgotten: None, before });
        }
        let mut forgotten = None;
        if self.learners.len() >= MOST_LEARNERS {
            forgotten = Some(*self.learners.iter().find(|(_, learner)| learner.page.is_none())?.0);
            forgotten.and_then(|number| self.learners.remove(&number));
        }
        let number = self.next;
        self.next += 1;
        self.learners.insert(number, Learner { key, name, lesson, page: Some(page), answers: BTreeMap::new() });
        Some(Joined { number, forgotten, before: None })
    }

    pub(super) fn of_page(&self, page: ClientId) -> Option<u64> {
        self.learners.iter().find(|(_, learner)| learner.page == Some(page)).map(|(number, _)| *number)
    }

    /// Notes a prediction, or what happened. Returns whether this is new. The first result counts.
    pub(super) fn note(&mut self, number: u64, said: &Said, is_result: bool) -> bool {
        let Some(learner) = self.learners.get_mut(&number) else { return false };
        let key = (said.lesson.clone(), said.question.clone());
        let has_room = learner.answers.len() < MOST_ANSWERS;
        match (learner.answers.get_mut(&key), is_result) {
            (Some(answer), true) if answer.happened.is_none() => answer.happened = Some(said.choice.clone()),
            (Some(answer), false) if answer.happened.is_none() && answer.expected != said.choice => {
                answer.expected.clone_from(&said.choice);
            }
            (None, false) if has_room => {
                learner.answers.insert(key, Answer { expected: said.choice.clone(), happened: None });
            }
            _ => return false,
        }
        true
    }

    pub(super) fn person(&self, number: u64) -> Option<Person<'_>> {
        let learner = self.learners.get(&number)?;
        Some(Person { number, name: &learner.name, lesson: &learner.lesson, here: learner.page.is_some() })
    }

    pub(super) fn answered(&self, number: u64, lesson: &str, question: &str) -> Option<Answered<'_>> {
        let answers = &self.learners.get(&number)?.answers;
        let (key, answer) = answers.get_key_value(&(lesson.to_owned(), question.to_owned()))?;
        Some(answered(number, key, answer))
    }

    pub(super) fn everybody(&self) -> Vec<(Person<'_>, Vec<Answered<'_>>)> {
        let everybody = self.learners.iter().filter_map(|(number, learner)| {
            let answers = learner.answers.iter().map(|(key, answer)| answered(*number, key, answer));
            Some((self.person(*number)?, answers.collect()))
        });
        everybody.collect()
    }
}

fn answered<'a>(number: u64, (lesson, question): &'a (String, String), answer: &'a Answer) -> Answered<'a> {
    Answered { number, lesson, question, expected: &answer.expected, happened: answer.happened.as_deref() }
}
