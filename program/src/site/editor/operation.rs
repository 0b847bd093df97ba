//! How can two people change the same text at the same time, and both see the same afterwards?
//!
//! An [`Operation`] goes through a text from its start to its end and says of each stretch whether
//! it stays, what is put in between, and what is taken out. [`transform`](Operation::transform) is
//! all there is to it: of two operations on the same text it makes two that follow the other one
//! each, so that both ways lead to the same text.
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
//! One party orders all operations: here the server does, as they arrive. So this one property is
//! enough for any number of people (Ellis and Gibbs, 1989; with a central order, Nichols and
//! others, 1995). `pages/operation.js` is the same for pages.
//!
//! Lengths are counted in UTF-16 code units, as JavaScript and the selection of a text field count
//! them. An operation that would take a character of two units apart is not applied.

use serde::{Deserialize, Serialize};

/// No text, and no stretch of one, has more UTF-16 code units than this.
const MAX_UNITS: usize = 1 << 24;

/// What happens to one stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Retain(usize),
    Insert(Vec<u16>),
    Delete(usize),
}

/// A change of a whole text: of each stretch in turn, whether it stays (a length), is put in (a
/// text) or taken out (a negative length). In JSON, `[5,"word",-3,7]`.
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
                Stretch::Length(0) => return Err("a stretch of no length"),
                Stretch::Length(length) if length.unsigned_abs() > MAX_UNITS as u64 => return Err("too long"),
                Stretch::Length(length) if length > 0 => operation.retain(length as usize),
                Stretch::Length(length) => operation.delete(-length as usize),
                // A text field would make a line feed of it, and count differently from then on.
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
    /// Code units of the text that it can be applied to.
    pub const fn len_before(&self) -> usize {
        self.before
    }

    /// Code units of the text that comes out.
    pub const fn len_after(&self) -> usize {
        self.after
    }

    /// How many stretches it has: what it costs to handle it.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Code units that it puts in: what it costs to keep it, beside its parts.
    pub fn inserted(&self) -> usize {
        let inserted = |part: &Part| if let Part::Insert(text) = part { text.len() } else { 0 };
        self.parts.iter().map(inserted).sum()
    }

    /// Goes on with a stretch that stays.
    pub fn retain(&mut self, length: usize) {
        (self.before, self.after) = (self.before + length, self.after + length);
        match self.parts.last_mut() {
            _ if length == 0 => {}
            Some(Part::Retain(last)) => *last += length,
            _ => self.parts.push(Part::Retain(length)),
        }
    }

    /// Goes on with something that is put in. Where something is taken out, too, this comes first,
    /// so that equal changes are equal operations.
    pub fn insert(&mut self, text: &[u16]) {
        self.after += text.len();
        let end = self.parts.len() - usize::from(matches!(self.parts.last(), Some(Part::Delete(_))));
        match self.parts[..end].last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Insert(last)) => last.extend(text),
            _ => self.parts.insert(end, Part::Insert(text.to_vec())),
        }
    }

    /// Goes on with a stretch that is taken out.
    pub fn delete(&mut self, length: usize) {
        self.before += length;
        match self.parts.last_mut() {
            _ if length == 0 => {}
            Some(Part::Delete(last)) => *last += length,
            _ => self.parts.push(Part::Delete(length)),
        }
    }

    /// The text afterwards; `None` if the operation is for a text of another length, or would take
    /// a character apart.
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

    /// What `self` is after `second`, and `second` after `self`. Where both put something in, what
    /// `self` puts in comes first. `None` if they are for texts of different lengths.
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
                // Taken out by both, or nothing any more.
                _ => {}
            }
            ours.pass(length);
            theirs.pass(length);
        }
    }

    /// Where a place in the text is afterwards. What is put in at that very place comes behind it.
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
    /// Code units of the text before that it goes past.
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

/// What is left of an operation's parts.
struct Rest<'a> {
    parts: std::slice::Iter<'a, Part>,
    head: Option<&'a Part>,
    /// How much of the head has been handled.
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

    /// Code units that the head has left.
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
