//! Whether a message matches, and what is in it.

use super::hex::Hex;
use crate::load::content::{Names, Template, Who};
use crate::terminal::{quoted, quoted_bytes};
use lariat::Message;
use regex_lite::Regex;
use serde_json::Value;

/// What a message must be like.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Any,
    Exact(Template),
    Contains(Template),
    Starts(Template),
    Regex(Regex),
    /// JSON has something at this pointer (RFC 6901), or this value.
    Json(String, Option<Template>),
    Bytes(Hex),
    FirstBytes(Hex),
}

/// What is kept of a message.
#[derive(Clone, Debug)]
pub(crate) enum Capture {
    Whole,
    /// The value at this pointer. A text without its quotes.
    Json(String),
    /// What the first group of this expression matches, or all of it.
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A sentence that says what to write.
    pub(super) fn read(text: &str, names: Names<'_>) -> Result<Pattern, String> {
        let (word, rest) = super::parse::word(text);
        let template = || match rest {
            "" => Err(format!("write a text after {word:?}")),
            text => Template::new(text, names),
        };
        match word {
            "any" if rest.is_empty() => Ok(Pattern::Any),
            "exact" => template().map(Pattern::Exact),
            "contains" => template().map(Pattern::Contains),
            "starts" => template().map(Pattern::Starts),
            "regex" => regex(rest).map(Pattern::Regex),
            "json" => {
                // The pointer to all of it is empty.
                let split = rest.strip_prefix("= ").map(|value| ("", value)).or_else(|| rest.split_once(" = "));
                let (pointer, value) = match split {
                    Some((pointer, value)) => (pointer.trim(), Some(Template::new(value.trim(), names)?)),
                    None => (rest, None),
                };
                self::pointer(pointer).map(|pointer| Pattern::Json(pointer, value))
            }
            "hex" => match rest.strip_suffix("..") {
                Some(first) => Hex::read(first, names).map(Pattern::FirstBytes),
                None => Hex::read(rest, names).map(Pattern::Bytes),
            },
            _ => Err(format!(
                "{word:?} is no pattern: write any, exact TEXT, contains TEXT, starts TEXT, regex TEXT, json /POINTER, json /POINTER = VALUE or hex BYTES"
            )),
        }
    }

    /// Returns whether a message matches.
    pub(crate) fn matches(&self, message: Message<'_>, buffer: &mut String, who: &Who<'_>) -> bool {
        let bytes = message.as_bytes();
        let text = || std::str::from_utf8(bytes).ok();
        match self {
            Pattern::Any => true,
            Pattern::Exact(template) => bytes == template.fill(buffer, who).as_bytes(),
            Pattern::Contains(template) => {
                let part = template.fill(buffer, who);
                text().map_or_else(|| contains(bytes, part.as_bytes()), |text| text.contains(part))
            }
            Pattern::Starts(template) => bytes.starts_with(template.fill(buffer, who).as_bytes()),
            Pattern::Regex(regex) => text().is_some_and(|text| regex.is_match(text)),
            Pattern::Json(pointer, expected) => {
                let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return false };
                let Some(found) = json.pointer(pointer) else { return false };
                expected.as_ref().is_none_or(|expected| equals(found, expected.fill(buffer, who)))
            }
            Pattern::Bytes(expected) => bytes == &*expected.fill(buffer, who),
            Pattern::FirstBytes(first) => bytes.starts_with(&first.fill(buffer, who)),
        }
    }

    /// Returns the texts in it that are filled in.
    pub(super) fn templates(&self) -> Vec<&Template> {
        match self {
            Pattern::Exact(template) | Pattern::Contains(template) | Pattern::Starts(template) => vec![template],
            Pattern::Json(_, expected) => expected.iter().collect(),
            Pattern::Bytes(hex) | Pattern::FirstBytes(hex) => hex.templates(),
            Pattern::Any | Pattern::Regex(_) => Vec::new(),
        }
    }
}

impl Capture {
    /// Reads what is to be kept.
    ///
    /// # Errors
    ///
    /// A sentence that says what to write.
    pub(super) fn read(text: &str) -> Result<Capture, String> {
        match super::parse::word(text) {
            ("", _) => Ok(Capture::Whole),
            ("json", rest) => pointer(rest).map(Capture::Json),
            ("regex", rest) => regex(rest).map(Capture::Regex),
            (word, _) => Err(format!(
                "{word:?} cannot be captured: write capture NAME, capture NAME json /POINTER or capture NAME regex TEXT"
            )),
        }
    }

    /// Returns the value in a message.
    ///
    /// # Errors
    ///
    /// A sentence: it is not there.
    pub(crate) fn of(&self, message: Message<'_>) -> Result<Box<str>, String> {
        let text = message.as_text().or_else(|| std::str::from_utf8(message.as_bytes()).ok());
        let Some(text) = text else { return Err("the message is not text".to_owned()) };
        match self {
            Capture::Whole => Ok(text.into()),
            Capture::Json(pointer) => {
                let json: Value = serde_json::from_str(text).map_err(|_| format!("{} is not JSON", shown(message)))?;
                match json.pointer(pointer) {
                    Some(Value::String(text)) => Ok(text.as_str().into()),
                    Some(value) => Ok(value.to_string().into()),
                    None => Err(format!("{} has nothing at {pointer}", shown(message))),
                }
            }
            Capture::Regex(regex) => {
                let found = regex.captures(text).and_then(|groups| groups.get(1).or_else(|| groups.get(0)));
                found.map(|found| found.as_str().into()).ok_or_else(|| format!("{} does not match", shown(message)))
            }
        }
    }
}

/// Returns a message for a report: its beginning.
pub(crate) fn shown(message: Message<'_>) -> String {
    const MOST: usize = 80;
    match message.as_text() {
        Some(text) => {
            let short: String = text.chars().take(MOST).collect();
            let more = if short.len() < text.len() { " .." } else { "" };
            format!("{}{more}", quoted(&short))
        }
        None => quoted_bytes(&message.as_bytes()[..message.as_bytes().len().min(MOST)]),
    }
}

/// Compares a value with a text: JSON, or a string without quotes. Numbers are compared as numbers.
fn equals(found: &Value, expected: &str) -> bool {
    match (found, serde_json::from_str::<Value>(expected)) {
        (Value::Number(found), Ok(Value::Number(expected))) => {
            *found == expected || found.as_f64() == expected.as_f64() && found.is_f64() | expected.is_f64()
        }
        (found, Ok(expected)) if *found == expected => true,
        (Value::String(found), _) => found == expected,
        _ => false,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn regex(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("write a regular expression after \"regex\"".to_owned());
    }
    Regex::new(text).map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

fn pointer(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no JSON pointer: write /a/b for the value b of the object a, and /0 for the first one of an array"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::content::Rows;

    fn matches(pattern: &str, message: Message<'_>) -> bool {
        let pattern = Pattern::read(pattern, Names::default()).expect("a pattern");
        let rows = Rows::default();
        let who = Who { id: 7, seq: 0, time: 0, seed: 0, rows: &rows, variables: &[] };
        pattern.matches(message, &mut String::new(), &who)
    }

    #[test]
    fn patterns_match_what_they_say() {
        let json = r#"{"id":7,"a":[{"b/c":"x"},null,1.5,true],"big":9007199254740993,"s":"7"}"#;
        for (pattern, message, expected) in [
            ("any", "", true),
            ("exact a b", "a b", true),
            ("exact a b", "a b ", false),
            ("exact {id}", "7", true),
            ("contains {id}", "x7x", true),
            ("contains x", "", false),
            ("starts ab", "abc", true),
            ("starts ab", "a", false),
            (r"regex ^ok \d+$", "ok 17", true),
            (r"regex ^ok \d+$", "ok", false),
            ("json /a/0/b~1c", json, true),
            ("json /a/0/b~1c = x", json, true),
            ("json /a/0/b~1c = \"x\"", json, true),
            ("json /a/1 = null", json, true),
            ("json /a/2 = 1.50", json, true),
            ("json /a/3 = true", json, true),
            ("json /a/4", json, false),
            ("json /id = {id}", json, true),
            ("json /id = 7.0", json, true),
            ("json /id = 8", json, false),
            ("json /big = 9007199254740992", json, false),
            ("json /s = 7", json, true),
            ("json  = 7", "7", true),
            ("json /a", "no JSON", false),
            ("hex 61 62", "ab", true),
            ("hex 61 ..", "ab", true),
            ("hex 62..", "ab", false),
        ] {
            assert_eq!(matches(pattern, Message::Text(message)), expected, "{pattern} and {message}");
        }
        assert!(matches("contains b", Message::Binary(b"\xffb")) && !matches("regex .", Message::Binary(b"\xff")));
    }

    #[test]
    fn values_are_captured() {
        let of = |capture: &str, text| Capture::read(capture).expect("a capture").of(Message::Text(text));
        assert_eq!(of("", "all"), Ok("all".into()));
        assert_eq!(of("json /a", r#"{"a":"b c"}"#), Ok("b c".into()));
        assert_eq!(of("json /a", r#"{"a":[1,2]}"#), Ok("[1,2]".into()));
        assert_eq!(of(r#"regex sid":"([^"]+)"#, r#"0{"sid":"xyz"}"#), Ok("xyz".into()));
        assert_eq!(of("regex b.", "abc"), Ok("bc".into()));
        assert!(of("json /b", r#"{"a":1}"#).unwrap_err().contains("nothing at /b"));
        assert!(of("json /b", "x").unwrap_err().contains("not JSON"));
        assert!(of("regex x", "abc").is_err());
    }

    #[test]
    fn patterns_that_make_no_sense_say_what_to_write() {
        for (pattern, expected) in [
            ("", "is no pattern"),
            ("like x", "\"like\" is no pattern"),
            ("exact", "write a text"),
            ("regex", "regular expression"),
            ("regex (", "no regular expression"),
            ("json a", "no JSON pointer"),
            ("hex", "not hexadecimal"),
            ("hex 1", "not hexadecimal"),
            ("hex xy", "not hexadecimal"),
        ] {
            let error = Pattern::read(pattern, Names::default()).expect_err("it makes no sense");
            assert!(error.contains(expected), "{pattern}: {error}");
        }
        assert!(Capture::read("xml /a").is_err());
    }
}
