//! All texts by key and language.

use super::Language;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The texts of a language by key, such as `loop.title`. Plurals are objects.
type Catalogue = BTreeMap<String, Value>;

static ENGLISH: LazyLock<Catalogue> = LazyLock::new(|| read(include_str!("en.json")));
static CHINESE: LazyLock<Catalogue> = LazyLock::new(|| read(include_str!("zh.json")));

fn catalogue(language: Language) -> &'static Catalogue {
    match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    }
}

fn read(json: &str) -> Catalogue {
    fn add(into: &mut Catalogue, key: &str, value: Value) {
        match value {
            Value::Object(inner) if !inner.contains_key("other") => {
                let keys = inner.into_iter().map(|(name, value)| match key {
                    "" => (name, value),
                    _ => (format!("{key}.{name}"), value),
                });
                keys.for_each(|(key, value)| add(into, &key, value));
            }
            leaf => drop(into.insert(key.to_owned(), leaf)),
        }
    }
    let mut catalogue = Catalogue::new();
    add(&mut catalogue, "", serde_json::from_str(json).expect("the tests have read this file"));
    catalogue
}

fn find(language: Language, key: &str) -> Option<&'static Value> {
    catalogue(language).get(key).or_else(|| ENGLISH.get(key))
}

/// Returns a text, in English if there is none in this language. An unknown key stands for itself.
pub fn text(language: Language, key: &str) -> String {
    find(language, key).and_then(Value::as_str).unwrap_or(key).to_owned()
}

/// Returns all keys with this beginning, without it.
pub fn keys<'a>(beginning: &'a str) -> impl Iterator<Item = &'static str> + use<'a> {
    ENGLISH.keys().filter_map(move |key| key.strip_prefix(beginning))
}

/// Replaces each `{{t:KEY}}` in a fragment by the text.
pub fn fill(language: Language, fragment: &str) -> String {
    let mut parts = fragment.split("{{t:");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (key, rest) = part.split_once("}}").unwrap_or((part, ""));
        filled.push_str(&text(language, key));
        filled.push_str(rest);
    }
    filled
}

/// Returns the texts below some keys for a script, as JSON that can stand in a `<script>` element:
/// an object of all texts by key.
pub fn for_scripts(language: Language, groups: &[&str]) -> String {
    let is_in = |key: &str, group: &str| key.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'));
    let keys = ENGLISH.keys().filter(|key| groups.iter().any(|group| is_in(key, group)));
    let texts: Map<String, Value> = keys.filter_map(|key| Some((key.clone(), find(language, key)?.clone()))).collect();
    // A text with "</script>" would end the element.
    Value::Object(texts).to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths_and_plurals_are_leaves() {
        let read = read(r#"{"a":{"b":"x","c":{"one":"1","other":"2"},"d":{"one":"y"}}}"#);
        let keys: Vec<&str> = read.keys().map(String::as_str).collect();
        assert_eq!(keys, ["a.b", "a.c", "a.d.one"]);
    }

    #[test]
    fn fragments_get_their_texts() {
        let link = text(Language::Chinese, "shell.skip");
        assert!(link != text(Language::English, "shell.skip") && link != "shell.skip");
        assert_eq!(
            fill(Language::Chinese, "<a>{{t:shell.skip}}</a> {t:x} {{t:no.such}}"),
            format!("<a>{link}</a> {{t:x}} no.such")
        );
        assert_eq!(fill(Language::English, "{{t:no.end"), "no.end");
    }

    #[test]
    fn scripts_get_whole_groups_and_no_markup() {
        let json = for_scripts(Language::Chinese, &["shell", "no"]);
        let texts: BTreeMap<String, Value> = serde_json::from_str(&json).expect("JSON");
        assert!(texts.keys().all(|key| key.starts_with("shell.")) && texts.contains_key("shell.skip"), "{json}");
        assert!(!for_scripts(Language::English, &["index"]).contains('<'));
        assert_eq!(for_scripts(Language::English, &["shel", "shell.skip"]), "{}");
    }
}
