//! Bytes that are written in hexadecimal.

use crate::load::content::{Names, Template, Who};
use std::borrow::Cow;

/// Bytes, some of which are those of a text that is filled in.
#[derive(Clone, Debug)]
pub(crate) struct Hex {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Bytes(Vec<u8>),
    Text(Template),
}

impl Hex {
    /// Reads bytes, with or without spaces between them, and names in braces.
    ///
    /// # Errors
    ///
    /// A sentence that says what to write.
    pub(super) fn read(text: &str, names: Names<'_>) -> Result<Hex, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong(text))?;
            let filled = Template::new(&format!("{{{name}}}"), names)?;
            if filled.plain().is_some() {
                return Err(format!(
                    "{{{name}}} has no value here: use {{id}}, {{seq}}, {{time}}, {{uuid}}, {{random:A-B}}, a column of --data or a captured name"
                ));
            }
            parts.extend(bytes(before, text)?.map(Part::Bytes));
            parts.push(Part::Text(filled));
            rest = after;
        }
        parts.extend(bytes(rest, text)?.map(Part::Bytes));
        if parts.is_empty() { Err(wrong(text)) } else { Ok(Hex { parts }) }
    }

    /// Fills the texts in. What `buffer` had before is dropped.
    pub(crate) fn fill(&self, buffer: &mut String, who: &Who<'_>) -> Cow<'_, [u8]> {
        if let [Part::Bytes(bytes)] = &self.parts[..] {
            return Cow::Borrowed(bytes);
        }
        let mut all = Vec::new();
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => all.extend_from_slice(bytes),
                Part::Text(template) => all.extend_from_slice(template.fill(buffer, who).as_bytes()),
            }
        }
        Cow::Owned(all)
    }

    /// Returns the texts in it that are filled in.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Bytes(_) => None,
            Part::Text(template) => Some(template),
        });
        texts.collect()
    }
}

/// Reads the bytes of a part, if it has any.
fn bytes(part: &str, whole: &str) -> Result<Option<Vec<u8>>, String> {
    let digits: String = part.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| wrong(whole))?;
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

fn wrong(text: &str) -> String {
    format!("{text:?} is not hexadecimal: write bytes like 10 0c ff")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::content::Rows;

    fn filled(text: &str) -> Vec<u8> {
        let hex = Hex::read(text, Names::default()).expect("it makes sense");
        let rows = Rows::default();
        let who = Who { id: 12, seq: 3, time: 0, seed: 0, rows: &rows, variables: &[] };
        hex.fill(&mut String::new(), &who).into_owned()
    }

    #[test]
    fn names_become_the_bytes_of_their_text() {
        assert_eq!(filled("10 0C ff"), [0x10, 0x0c, 0xff]);
        assert_eq!(filled("00 02 {id}00{seq}"), b"\0\x0212\x003");
        assert_eq!(filled("{id}"), b"12");
        assert_eq!(filled("00 24 {uuid}").len(), 2 + 36);
    }

    #[test]
    fn what_is_no_byte_is_refused() {
        for (text, expected) in [
            ("", "not hexadecimal"),
            ("1", "not hexadecimal"),
            ("1{id}1", "not hexadecimal"),
            ("10 {id", "not hexadecimal"),
            ("10 {nobody}", "{nobody} has no value here"),
            ("{random:3-1}", "is no range"),
        ] {
            let error = Hex::read(text, Names::default()).map(|_| ()).expect_err("it is wrong");
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
