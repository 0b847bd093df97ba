//! What goes along to the process that takes over: the whole class, but not the pace.

use super::handler::{Class, Page};
use super::roll::{MOST_ANSWERS, MOST_LEARNERS, Roll, is_key, is_word, name};
use crate::site::carried::{MOST, check};
use lariat::{ClientId, RestoreError, TimerId, saved};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize, Serialize)]
struct SavedClass {
    opening: Option<(ClientId, bool)>,
    /// The pages of learners, and how many messages each has sent.
    pages: BTreeMap<ClientId, u32>,
    teachers: Vec<ClientId>,
    roll: Roll,
    look: Option<TimerId>,
}

impl Class {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        saved::to_bytes(&SavedClass {
            opening: self.opening,
            pages: self.pages.iter().map(|(id, page)| (*id, page.messages)).collect(),
            teachers: self.teachers.clone(),
            roll: self.roll.clone(),
            look: self.look,
        })
    }

    /// Restores what was saved. Only this process decides whether there is a class.
    pub(super) fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let saved: SavedClass = saved::from_bytes(bytes)?;
        let Roll { learners, next } = &saved.roll;
        check(*next < MOST && learners.keys().all(|number| number < next), "a learner's number")?;
        check(learners.len() <= MOST_LEARNERS && saved.pages.values().all(|count| *count < u32::MAX / 2), "a number")?;
        for learner in learners.values() {
            let is_named = name(&learner.name).as_ref() == Some(&learner.name);
            check(is_named && is_key(&learner.key) && is_word(&learner.lesson), "a learner")?;
            check(learner.answers.len() <= MOST_ANSWERS, "a number of answers")?;
            for ((lesson, question), answer) in &learner.answers {
                let words = [lesson, question, &answer.expected].into_iter().chain(&answer.happened);
                check(words.into_iter().all(|word| is_word(word)), "an answer")?;
            }
        }
        self.opening = saved.opening.filter(|_| self.is_on);
        self.pages = saved.pages.into_iter().map(|(id, messages)| (id, Page { messages })).collect();
        if self.is_on {
            self.teachers = saved.teachers;
        }
        (self.roll, self.look) = (saved.roll, saved.look);
        Ok(())
    }
}
