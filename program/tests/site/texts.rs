//! The texts of the pages: both languages say the same, each text is used, and no page and no
//! script has a text of its own.

use regex_lite::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The languages, English first.
const LANGUAGES: [&str; 2] = ["en", "zh"];

/// The texts that are the same in both languages: terms of the protocol.
const SAME: [&str; 1] = ["console.ping"];

/// A text, or the forms of a plural.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

fn site() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/site")
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

/// Returns the files of the site with this ending, by their paths below the site.
fn files(ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&site(), &mut paths);
    paths.sort();
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(site()).expect("below the site").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("text"))
    };
    paths.into_iter().filter(is_wanted).map(read).collect()
}

fn texts(language: &str) -> Texts {
    fn add(into: &mut Texts, key: &str, value: &Value) {
        let inner = match value {
            Value::String(text) => {
                into.insert(key.to_owned(), [(String::new(), text.clone())].into());
                return;
            }
            Value::Object(inner) => inner,
            other => panic!("{key} is {other}"),
        };
        if inner.contains_key("other") {
            let form = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a form of {key}")).to_owned();
            into.insert(key.to_owned(), inner.iter().map(|(name, value)| (name.clone(), form(value))).collect());
            return;
        }
        for (name, value) in inner {
            assert!(pattern("^[a-z0-9_]+$").is_match(name), "{key}.{name}");
            add(into, format!("{key}.{name}").trim_start_matches('.'), value);
        }
    }
    let json = std::fs::read_to_string(site().join(format!("texts/{language}.json"))).expect("a file");
    let mut texts = Texts::new();
    add(&mut texts, "", &serde_json::from_str(&json).expect("JSON"));
    texts
}

/// Returns the text, or the form of a plural for most numbers.
fn general(forms: &BTreeMap<String, String>) -> &str {
    forms.get("other").or_else(|| forms.get("")).expect("a text")
}

/// Returns everything in a text that fits the pattern, in order, since languages differ in theirs.
fn all(text: &str, pattern: &Regex) -> Vec<String> {
    let mut found: Vec<String> = pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect();
    found.sort();
    found
}

#[test]
fn both_languages_have_the_same_keys_placeholders_and_markup() {
    let [english, chinese] = LANGUAGES.map(texts);
    assert_eq!(english.keys().collect::<Vec<_>>(), chinese.keys().collect::<Vec<_>>());
    let (placeholder, tag) = (pattern(r"\{\w+\}"), pattern("</?[a-z][^>]*>"));
    for (key, forms) in &english {
        // In Chinese, one form is enough for all numbers.
        let (most, other) = (general(forms), general(&chinese[key]));
        assert_eq!(all(most, &placeholder), all(other, &placeholder), "placeholders of {key}");
        assert_eq!(all(most, &tag), all(other, &tag), "markup of {key}");
        assert_eq!(forms.len() > 1, chinese[key].contains_key("other"), "{key} is a plural in both, or in none");
        // "1 line" may also be "one line".
        let is_known = |found: &String| all(most, &placeholder).contains(found);
        assert!(forms.values().all(|form| all(form, &placeholder).iter().all(is_known)), "placeholders of {key}");
    }
}

#[test]
fn each_text_is_translated_and_clean() {
    let [english, chinese] = LANGUAGES.map(texts);
    let (letters, han) = (pattern("[A-Za-z]{2}"), pattern("[\u{4e00}-\u{9fff}]"));
    let names = pattern(r"<[^>]*>|\{\w+\}|\b[A-Z]{2,}\b|Lariat|WebSocket");
    for (key, forms) in &english {
        for text in forms.values() {
            let is_words = letters.is_match(&names.replace_all(text, ""));
            let is_translated = !is_words || chinese[key].values().all(|text| han.is_match(text));
            assert_ne!(is_translated, SAME.contains(&key.as_str()), "{key} is not translated, or need not be the same");
            assert!(!han.is_match(text), "{key} is not English");
        }
    }
    for (key, text) in
        english.iter().chain(&chinese).flat_map(|(key, forms)| forms.values().map(move |text| (key, text)))
    {
        assert!(!text.contains('\n') && !text.contains("  ") && !text.contains("{{"), "{key}: {text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{key}: {text}");
        // A bare Debian has no font for them.
        assert!(text.chars().all(|one| (one as u32) < 0x1_0000), "{key} has characters that many fonts lack: {text}");
    }
    for (key, forms) in &chinese {
        let is_bad =
            |text: &String| pattern("[\u{4e00}-\u{9fff}][,;:?!]( |$)|[\u{4e00}-\u{9fff}]\\.( |$)").is_match(text);
        assert!(!forms.values().any(is_bad), "{key} has punctuation of another script: {forms:?}");
    }
}

/// Returns the lines of a script that are not comments.
fn without_comments(script: &str) -> String {
    let is_comment = |line: &&str| ["//", "/*", "*"].iter().any(|start| line.trim_start().starts_with(start));
    script.lines().filter(|line| !is_comment(line)).fold(String::new(), |text, line| text + line + "\n")
}

/// The keys that something names.
#[derive(Default)]
struct Named {
    /// Each key, and where it is named.
    keys: BTreeMap<String, String>,
    /// Keys with a part that is computed, and where they are named.
    patterns: Vec<(String, String, Regex)>,
}

impl Named {
    /// Returns the keys that fragments, scripts and handlers name.
    fn read(tops: &BTreeSet<&str>) -> Named {
        let mut named = Named::default();
        let in_fragment = pattern(r"\{\{t:([^}]*)\}\}");
        for (file, text) in files("html") {
            named.keys.extend(in_fragment.captures_iter(&text).map(|found| (found[1].to_owned(), file.clone())));
        }
        // A literal is a key if it begins like one.
        let literal = pattern("[\"`]([a-z][a-z0-9_]*)((?:\\.(?:[A-Za-z0-9_]|\\$?\\{[^}\"`]*\\})+)+)[\"`]");
        for (file, text) in files("js") {
            for found in literal.captures_iter(&without_comments(&text)).filter(|found| tops.contains(&found[1])) {
                named.add(&file, &found[0][1..found[0].len() - 1], r"\$\{[^}]*\}");
            }
        }
        let in_rust = pattern("\"((?:[a-z][a-z0-9_]*|\\{[a-z_]*\\})(?:\\.(?:[a-z0-9_]|\\{[a-z_]*\\})+)+)\"");
        for (file, text) in files("rs").into_iter().filter(|(file, _)| !file.starts_with("texts/")) {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for found in in_rust.captures_iter(text) {
                let is_file = found[1].ends_with(".js") || found[1].ends_with(".css") || found[1].ends_with(".html");
                let top = found[1].split('.').next().unwrap_or_default();
                if !is_file && (tops.contains(top) || found[1].starts_with('{')) {
                    named.add(&file, &found[1], r"\{[a-z_]*\}");
                }
            }
        }
        named
    }

    fn add(&mut self, file: &str, key: &str, computed: &str) {
        let computed = pattern(computed);
        if computed.is_match(key) {
            let fixed: Vec<&str> = computed.split(key).collect();
            assert!(fixed.iter().any(|part| part.len() > 2), "{file}: {key} says too little");
            let fixed: Vec<String> = fixed.iter().map(|part| part.replace('.', r"\.")).collect();
            self.patterns.push((key.to_owned(), file.to_owned(), pattern(&format!("^{}$", fixed.join("[^.]+")))));
        } else {
            self.keys.insert(key.to_owned(), file.to_owned());
        }
    }
}

#[test]
fn each_key_that_is_used_exists_and_each_text_is_used() {
    let texts = texts("en");
    let tops: BTreeSet<&str> = texts.keys().filter_map(|key| key.split('.').next()).collect();
    let named = Named::read(&tops);
    // A page names groups of texts for its scripts.
    let is_group =
        |key: &str| texts.keys().any(|text| text.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
    let exists = |key: &str, file: &str| texts.contains_key(key) || file.ends_with(".rs") && is_group(key);
    let missing: Vec<_> = named.keys.iter().filter(|(key, file)| !exists(key, file)).collect();
    assert!(missing.is_empty(), "no such texts: {missing:#?}");
    for (key, file, pattern) in &named.patterns {
        assert!(texts.keys().any(|text| pattern.is_match(text)), "{file} computes {key}, and no text fits");
    }
    let is_used =
        |key: &str| named.keys.contains_key(key) || named.patterns.iter().any(|(_, _, pattern)| pattern.is_match(key));
    let unused: Vec<&String> = texts.keys().filter(|key| !is_used(key)).collect();
    assert!(unused.is_empty(), "nothing uses {unused:#?}");
}

#[test]
fn a_text_in_an_attribute_has_no_markup() {
    let in_attribute = pattern("=\"\\{\\{t:([^}]*)\\}\\}\"");
    for (language, (file, fragment)) in
        LANGUAGES.iter().flat_map(|language| files("html").into_iter().map(move |file| (language, file)))
    {
        let texts = texts(language);
        for found in in_attribute.captures_iter(&fragment) {
            let text = general(&texts[&found[1]]);
            assert!(!text.contains(['<', '>', '"', '&']), "{file}: {} is {text}", &found[1]);
        }
    }
}

/// Returns a fragment without what is not for translation: code, and elements that say so.
fn for_translation(fragment: &str) -> String {
    let code = pattern("(?s)<(code|kbd|pre)[ >].*?</(?:code|kbd|pre)>");
    let marked =
        pattern("(?s)<([a-z0-9]+)[^>]*translate=\"no\"[^>]*>.*?</[a-z0-9]+>|<input[^>]*translate=\"no\"[^>]*>");
    let text = code.replace_all(fragment, " ");
    marked.replace_all(&text, " ").into_owned()
}

/// Returns the words that readers get from a fragment, without its texts.
fn words_of_fragment(fragment: &str) -> Vec<String> {
    let fragment = for_translation(&pattern(r"\{\{[^}]*\}\}").replace_all(fragment, ""));
    let attribute = pattern("(?:aria-label|placeholder|title|alt|value|content)=\"([^\"]*[A-Za-z]{3}[^\"]*)\"");
    let meta = pattern("<meta[^>]*>");
    let attributes = meta.replace_all(&fragment, "").into_owned();
    let mut words: Vec<String> = attribute.captures_iter(&attributes).map(|found| found[1].to_owned()).collect();
    let text = pattern("(?s)<!--.*?-->|<[^>]*>").replace_all(&fragment, " ").into_owned();
    words.extend(all(&text, &pattern("[A-Za-z]{2,}")));
    words
}

/// What scripts put on the wire, whatever the page's language: headers, and messages to try.
const ON_THE_WIRE: [&str; 7] = ["Host", "Upgrade", "Connection", "Hello", "Hel", "Hi", "one, two, three"];

/// Returns whether this goes over the wire, or is a command of the program.
fn is_for_machines(literal: &str) -> bool {
    ON_THE_WIRE.contains(&literal) || literal.starts_with("GET ") || literal.starts_with("lariat ")
}

/// Returns the literals of a script that look like sentences.
fn sentences_of_script(script: &str) -> Vec<String> {
    let literal = pattern(r#""(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`"#);
    let sentence = pattern("[A-Za-z]{2,}[,.:;]? [A-Za-z]{2,}|^[A-Z][a-z]+[.!?]?$");
    let internal = pattern(
        r#"(class: [^,}]*|"class", [^)]*|[!=]== |(matchMedia|matches|closest|querySelector\w*|Error|console\.error)\()$"#,
    );
    let mut found = Vec::new();
    for line in without_comments(script).lines() {
        // Not seen by readers, or not translated: classes, names of keys, media queries, errors for
        // developers, names of headers.
        for at in literal.find_iter(line) {
            let inner = &at.as_str()[1..at.len() - 1];
            let inner = pattern(r"\$\{[^}]*\}|^Lariat$").replace_all(inner, "").into_owned();
            if sentence.is_match(&inner) && !internal.is_match(&line[..at.start()]) && !is_for_machines(&inner) {
                found.push(inner);
            }
        }
    }
    found
}

#[test]
fn pages_and_scripts_have_no_text_of_their_own() {
    let in_fragments = files("html").into_iter().map(|(file, text)| (file, words_of_fragment(&text)));
    let in_scripts = files("js").into_iter().map(|(file, text)| (file, sentences_of_script(&text)));
    let found: Vec<_> = in_fragments.chain(in_scripts).filter(|(_, found)| !found.is_empty()).collect();
    assert!(found.is_empty(), "these belong to the texts: {found:#?}");
}

#[test]
fn a_text_of_their_own_is_found() {
    for (fragment, words) in [
        ("<p>{{t:a.b}}</p>", 0),
        ("<p>Hello</p>", 1),
        ("<p title=\"Some words\"></p>", 1),
        ("<p><code>GET /</code> <span translate=\"no\">Lariat</span></p>", 0),
        ("<input placeholder=\"{{t:a.b}}\">", 0),
    ] {
        assert_eq!(words_of_fragment(fragment).len(), words, "{fragment}");
    }
    for (script, sentences) in [
        ("setText(node, \"Not connected yet.\");", 1),
        ("setText(node, `${count} messages are lost`);", 1),
        ("setText(node, \"Closed\");", 1),
        ("setText(node, t(\"chat.closed\")); // Not for readers.", 0),
        ("// \"Not connected yet.\"", 0),
        ("element(\"p\", { class: \"soft tiny\" })", 0),
        ("throw new RangeError(\"a number is too long\");", 0),
    ] {
        assert_eq!(sentences_of_script(script).len(), sentences, "{script}");
    }
}
