//! Texts with parts that differ from one connection or message to the next.

use super::rows::Rows;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt, SeedableRng};
use std::fmt::Write as _;

/// A text, some parts of which are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The number of the connection.
    Id,
    /// The number of messages that the connection has sent before.
    Seq,
    /// The intended time, in microseconds since the run began.
    Time,
    /// A UUID of version 4, the same for all texts of a connection.
    Uuid,
    /// A whole number from the first to the last, another one for each message.
    Random(u64, u64),
    /// A column of `--data`.
    Column(usize),
    /// A value that a scenario has captured.
    Variable(usize),
}

/// The names that a text may use beside those that always have a meaning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) variables: &'a [String],
}

/// For whom, and when, a text is filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// The number of the connection.
    pub(crate) id: u32,
    /// The number of the message on it.
    pub(crate) seq: u32,
    /// Its intended time, in nanoseconds since the run began.
    pub(crate) time: u64,
    pub(crate) seed: u64,
    pub(crate) rows: &'a Rows,
    pub(crate) variables: &'a [Box<str>],
}

/// What a value keeps in a URL: the unreserved characters (RFC 3986 §2.3).
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Template {
    /// Reads a text. Braces around something that is no name stay as they are.
    ///
    /// # Errors
    ///
    /// A range of random numbers that makes no sense.
    pub(crate) fn new(text: &str, names: Names<'_>) -> Result<Template, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(open) = rest.find('{') {
            let end = rest[open..].find('}').map(|length| open + length);
            let part = end.map(|end| part(&rest[open + 1..end], names)).transpose()?.flatten();
            let (Some(part), Some(end)) = (part, end) else {
                literal.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            };
            literal.push_str(&rest[..open]);
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Template { parts })
    }

    /// Returns a text in which nothing is filled in.
    pub(crate) fn literal(text: String) -> Template {
        Template { parts: vec![Part::Literal(text)] }
    }

    /// Returns the text, if it is the same for all.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the number of the first variable that it uses and that is not among the first
    /// `known`.
    pub(crate) fn unknown_variable(&self, known: impl Fn(usize) -> bool) -> Option<usize> {
        let variables = self.parts.iter().filter_map(|part| match part {
            Part::Variable(number) => Some(*number),
            _ => None,
        });
        variables.into_iter().find(|number| !known(*number))
    }

    /// Fills the text in. What `buffer` had before is dropped.
    #[inline]
    pub(crate) fn fill<'a>(&'a self, buffer: &'a mut String, who: &Who<'_>) -> &'a str {
        if let Some(plain) = self.plain() {
            return plain;
        }
        self.fill_with(buffer, who, |buffer, value| buffer.push_str(value));
        buffer
    }

    /// Fills a URL in. Values of `--data` are percent-encoded.
    pub(crate) fn fill_url<'a>(&'a self, buffer: &'a mut String, who: &Who<'_>) -> &'a str {
        if let Some(plain) = self.plain() {
            return plain;
        }
        self.fill_with(buffer, who, |buffer, value| buffer.extend(utf8_percent_encode(value, IN_URL)));
        buffer
    }

    fn fill_with(&self, buffer: &mut String, who: &Who<'_>, mut put: impl FnMut(&mut String, &str)) {
        buffer.clear();
        for (place, part) in self.parts.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Literal(text) => buffer.write_str(text),
                Part::Id => write!(buffer, "{}", who.id),
                Part::Seq => write!(buffer, "{}", who.seq),
                Part::Time => write!(buffer, "{}", who.time / 1_000),
                Part::Uuid => write!(buffer, "{}", uuid(who)),
                Part::Random(first, last) => write!(buffer, "{}", number(who, place, *first, *last)),
                Part::Column(column) => {
                    put(buffer, who.rows.value(who.id, *column));
                    Ok(())
                }
                Part::Variable(number) => {
                    put(buffer, who.variables.get(*number).map_or("", |value| value));
                    Ok(())
                }
            };
        }
    }
}

/// Returns what a name in braces means. `None`: nothing, so it stays.
fn part(name: &str, names: Names<'_>) -> Result<Option<Part>, String> {
    let place = |names: &[String]| names.iter().position(|known| known == name);
    Ok(match name {
        "id" => Some(Part::Id),
        "seq" => Some(Part::Seq),
        "time" => Some(Part::Time),
        "uuid" => Some(Part::Uuid),
        _ => match name.strip_prefix("random:") {
            Some(range) => Some(random(range)?),
            None => place(names.variables).map(Part::Variable).or_else(|| place(names.columns).map(Part::Column)),
        },
    })
}

fn random(range: &str) -> Result<Part, String> {
    let ends = range.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let ends = ends.filter(|(first, last)| first <= last);
    let wrong = || format!("{{random:{range}}} is no range: write two whole numbers, like {{random:1-100}}");
    ends.map(|(first, last)| Part::Random(first, last)).ok_or_else(wrong)
}

/// Returns a source of random numbers that is the same whenever the same text is filled in again:
/// an echo is compared with the text that was sent.
fn source(who: &Who<'_>, more: u64) -> StdRng {
    let mut seed = [0; 32];
    for (eight, number) in seed.chunks_exact_mut(8).zip([who.seed, who.id.into(), more, 0x6c61_7269_6174]) {
        eight.copy_from_slice(&number.to_le_bytes());
    }
    StdRng::from_seed(seed)
}

fn uuid(who: &Who<'_>) -> uuid::Uuid {
    let mut bytes = [0; 16];
    source(who, u64::MAX).fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn number(who: &Who<'_>, place: usize, first: u64, last: u64) -> u64 {
    source(who, u64::from(who.seq) << 16 | place as u64 & 0xffff).random_range(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(columns: &'a [String], variables: &'a [String]) -> Names<'a> {
        Names { columns, variables }
    }

    fn filled(text: &str, who: &Who<'_>) -> String {
        let variables = ["token".to_owned()];
        let template = Template::new(text, names(who.rows.names(), &variables)).expect("a text");
        template.fill(&mut String::from("old"), who).to_owned()
    }

    fn who(rows: &Rows) -> Who<'_> {
        Who { id: 7, seq: 3, time: 12_345_678, seed: 1, rows, variables: &[] }
    }

    #[test]
    fn names_in_braces_are_filled_in_and_others_stay() {
        let rows = Rows::default();
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{id}", "7"),
            ("{\"id\":{id},\"n\":{seq},\"t\":{time}}", "{\"id\":7,\"n\":3,\"t\":12345}"),
            ("{{id}{}{other}{seq", "{7{}{other}{seq"),
            ("{token}", "secret"),
            ("{random:5-5}", "5"),
            ("query{viewer{login}}", "query{viewer{login}}"),
        ] {
            let variables = [Box::from("secret")];
            assert_eq!(filled(template, &Who { variables: &variables, ..who(&rows) }), expected, "{template}");
        }
    }

    #[test]
    fn random_parts_are_the_same_for_the_same_message_and_differ_between_others() {
        let rows = Rows::default();
        let text = "{uuid} {random:0-18446744073709551615} {random:0-18446744073709551615}";
        let first = filled(text, &who(&rows));
        assert_eq!(first, filled(text, &who(&rows)));
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let [first, next, other] = [
            words(&first),
            words(&filled(text, &Who { seq: 4, ..who(&rows) })),
            words(&filled(text, &Who { id: 8, ..who(&rows) })),
        ];
        assert!(first[0] == next[0] && first[1] != next[1], "a UUID is that of the connection");
        assert!(first[0] != other[0] && first[1] != other[1] && first[1] != first[2]);
        assert_eq!((first[0].len(), &first[0][14..15]), (36, "4"));
        for seq in 0..1_000 {
            let number: u64 = filled("{random:10-12}", &Who { seq, ..who(&rows) }).parse().expect("a number");
            assert!((10..=12).contains(&number));
        }
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        for range in ["", "1", "2-1", "a-b", "-1-5", "1-99999999999999999999"] {
            assert!(Template::new(&format!("x{{random:{range}}}"), Names::default()).is_err(), "{range}");
        }
    }

    #[test]
    fn values_in_a_url_are_encoded() {
        let variables = ["name".to_owned()];
        let template = Template::new("ws://host/{id}?a=1&name={name}", names(&[], &variables)).expect("a text");
        let rows = Rows::default();
        let values = [Box::from("a b&c/é~")];
        let filled = template.fill_url(&mut String::new(), &Who { variables: &values, ..who(&rows) }).to_owned();
        assert_eq!(filled, "ws://host/7?a=1&name=a%20b%26c%2F%C3%A9~");
    }
}
