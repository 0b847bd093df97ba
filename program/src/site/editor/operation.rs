//! Operations on a text. Two people can change the same text at the same time, and both see the
//! same text afterwards.
//!
//! An [`Operation`] goes through a text from start to end: it retains, inserts or deletes one part
//! after another. [`transform`](Operation::transform) takes two operations on the same text, and
//! returns each as it is after the other one. So both orders lead to the same text.
//!
//! ```text
//!            text
//!    first  ╱    ╲  second
//!          ╱      ╲
//!          ╲      ╱
//!   second' ╲    ╱  first'
//!            both
//! ```
//!
//! The server orders all operations by their arrival. So this property is enough for any number of
//! people (Ellis and Gibbs, 1989; with a central order, Nichols and others, 1995).
//! `pages/operation.js` is the same code for pages.
//!
//! Lengths are in UTF-16 code units, as in JavaScript and in the selection of a text field. An
//! operation that would split a character of two units is not applied.

use serde::{Deserialize, Serialize};

/// The most UTF-16 code units of a text or a part.
const MAX_UNITS: usize = 1 << 24;

/// What happens to one part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Retain(usize),
    Insert(Vec<u16>),
    Delete(usize),
}

/// A change of a whole text. Each part in turn is retained (a length), inserted (a text) or deleted
/// (a negative length). In JSON: `[5,"word",-3,7]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<Stretch>", into = "Vec<Stretch>")]
pub struct Operation {
    parts: Vec<Part>,
    before: usize,
    after: usize,
}

/// A part in JSON.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
enum Stretch {
    Length(i64),
    Text(String),
}

impl TryFrom<Vec<Stretch>> for Operation {
    type Error = &'static str;

    fn try_from(stretches: Vec<Stretch>) -> Result<Operation, &'static str> {
        let mut operation = Operation::default();
        for stretch in stretches {
            match stretch {
                Stretch::Length(0) => return Err("a part without length"),
                Stretch::Length(length) if length.unsigned_abs() > MAX_UNITS as u64 => return Err("too long"),
                Stretch::Length(length) if length > 0 => operation.retain(length as usize),
                Stretch::Length(length) => operation.delete(-length as usize),
                // A text field would change it to a line feed, and then count differently.
                Stretch::Text(text) if text.contains('\r') => return Err("a carriage return"),
                Stretch::Text(text) => operation.insert(&text.encode_utf16().collect::<Vec<u16>>()),
            }
            if operation.before.max(operation.after) > MAX_UNITS {
                return Err("too long");
            }
        }
        Ok(operation)
    }
}

impl From<Operation> for Vec<Stretch> {
    fn from(operation: Operation) -> Vec<Stretch> {
        let stretch = |part| match part {
            Part::Retain(length) => Stretch::Length(length as i64),
            Part::Insert(text) => Stretch::Text(String::from_utf16_lossy(&text)),
            Part::Delete(length) => Stretch::Length(-(length as i64)),
        };
        operation.parts.into_iter().map(stretch).collect()
    }
}

impl Operation {
    /// Returns the code units of the text that it applies to.
    pub const fn len_before(&self) -> usize {
        self.before
    }

    /// Returns the code units of the resulting text.
    pub const fn len_after(&self) -> usize {
        self.after
    }

    /// Returns the number of parts, which is the cost of handling it.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Returns the inserted code units, which are a cost of keeping it, besides its parts.
    pub fn inserted(&self) -> usize {
        let inserted = |part: &Part| if let Part::Insert(text) = part { text.len() } else { 0 };
        self.parts.iter().map(inserted).sum()
    }

    /// Appends a part that is retained.
    pub fn retain(&mut self, length: usize) {
        (self.before, self.after) = (self.before + length, self.after + length);
        match self.parts.last_mut() {
            _ if length == 0 => {}
            Some(Part::Retain(last)) => *last += length,
            _ => self.parts.push(Part::Retain(length)),
        }
    }

    /// Appends a text that is inserted. It comes before a deletion at the same place, so that equal
    /// changes are equal operations.
    pub fn insert(&mut self, text: &[u16]) {
        self.after += text.len();
        let end = self.parts.len() - usize::from(matches!(self.parts.last(), Some(Part::Delete(_))));
        match self.parts[..end].last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Insert(last)) => last.extend(text),
            _ => self.parts.insert(end, Part::Insert(text.to_vec())),
        }
    }

    /// Appends a part that is deleted.
    pub fn delete(&mut self, length: usize) {
        self.before += length;
        match self.parts.last_mut() {
            _ if length == 0 => {}
            Some(Part::Delete(last)) => *last += length,
            _ => self.parts.push(Part::Delete(length)),
        }
    }

    /// Returns the resulting text, or `None` if the operation is for a text of another length or
    /// would split a character.
    pub fn apply(&self, text: &[u16]) -> Option<Vec<u16>> {
        let is_between = |at: usize| !text.get(at).is_some_and(|unit| (0xDC00..0xE000).contains(unit));
        if text.len() != self.before {
            return None;
        }
        let (mut at, mut after) = (0, Vec::with_capacity(self.after));
        for part in &self.parts {
            match part {
                Part::Retain(length) => after.extend(&text[at..at + length]),
                Part::Insert(inserted) => after.extend(inserted),
                Part::Delete(_) => {}
            }
            at += part.consumed();
            if !is_between(at) {
                return None;
            }
        }
        Some(after)
    }

    /// Returns `self` as it is after `second`, and `second` as it is after `self`. Where both
    /// insert, the text of `self` comes first. Returns `None` if they are for texts of different
    /// lengths.
    pub fn transform(&self, second: &Operation) -> Option<(Operation, Operation)> {
        if self.before != second.before {
            return None;
        }
        let (mut ours, mut theirs) = (Rest::new(&self.parts), Rest::new(&second.parts));
        let (mut first_after, mut second_after) = (Operation::default(), Operation::default());
        loop {
            let length = match (ours.head(), theirs.head()) {
                (Some(Part::Insert(text)), _) => {
                    first_after.insert(text);
                    second_after.retain(text.len());
                    ours.pass(text.len());
                    continue;
                }
                (_, Some(Part::Insert(text))) => {
                    first_after.retain(text.len());
                    second_after.insert(text);
                    theirs.pass(text.len());
                    continue;
                }
                (Some(_), Some(_)) => ours.length().min(theirs.length()),
                (None, _) | (_, None) => return Some((first_after, second_after)),
            };
            match (ours.head(), theirs.head()) {
                (Some(Part::Retain(_)), Some(Part::Retain(_))) => {
                    first_after.retain(length);
                    second_after.retain(length);
                }
                (Some(Part::Delete(_)), Some(Part::Retain(_))) => first_after.delete(length),
                (Some(Part::Retain(_)), Some(Part::Delete(_))) => second_after.delete(length),
                // Deleted by both.
                _ => {}
            }
            ours.pass(length);
            theirs.pass(length);
        }
    }

    /// Returns where a place of the text is afterwards. A text that is inserted exactly there comes
    /// after it.
    pub fn transform_place(&self, place: usize) -> usize {
        let (mut at, mut moved) = (0, place);
        for part in &self.parts {
            match part {
                _ if at > place => break,
                Part::Insert(text) if at < place => moved += text.len(),
                Part::Delete(length) => moved -= (*length).min(place - at),
                Part::Retain(_) | Part::Insert(_) => {}
            }
            at += part.consumed();
        }
        moved
    }
}

impl Part {
    /// Returns the code units of the old text that the part covers.
    fn consumed(&self) -> usize {
        match self {
            Part::Retain(length) | Part::Delete(length) => *length,
            Part::Insert(_) => 0,
        }
    }

    fn length(&self) -> usize {
        match self {
            Part::Retain(length) | Part::Delete(length) => *length,
            Part::Insert(text) => text.len(),
        }
    }
}

/// The remaining parts of an operation.
struct Rest<'a> {
    parts: std::slice::Iter<'a, Part>,
    head: Option<&'a Part>,
    /// The code units of the head that have been handled.
    passed: usize,
}

impl<'a> Rest<'a> {
    fn new(parts: &'a [Part]) -> Rest<'a> {
        let mut parts = parts.iter();
        Rest { head: parts.next(), parts, passed: 0 }
    }

    const fn head(&self) -> Option<&'a Part> {
        self.head
    }

    /// Returns the remaining code units of the head.
    fn length(&self) -> usize {
        self.head.map_or(0, |part| part.length() - self.passed)
    }

    fn pass(&mut self, length: usize) {
        self.passed += length;
        if self.head.is_some_and(|part| part.length() == self.passed) {
            (self.head, self.passed) = (self.parts.next(), 0);
        }
    }
}
