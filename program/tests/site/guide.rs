//! The guide: every chapter is a page in both languages, every link leads somewhere, and nothing
//! that is meant for rustdoc is left.

use crate::common::{Running, Wire, serve_made};
use lariat_cli::site::{Options, Site, page_paths};
use regex_lite::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

/// Returns the bodies of all pages of the guide in a language, by their paths.
fn pages(server: &Running, language: &str) -> BTreeMap<String, String> {
    let paths = page_paths().filter(|path| path.starts_with("/guide"));
    paths.map(|path| (path.clone(), get(server, &path, language))).collect()
}

fn get(server: &Running, path: &str, language: &str) -> String {
    let mut wire = Wire::connect(server.addr);
    let headers = format!("Host: localhost\r\nAccept-Language: {language}");
    wire.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes());
    let response = wire.response();
    assert_eq!(response.status(), 200, "{path}");
    String::from_utf8(response.body).expect("text")
}

/// Returns the content of all attributes with this name.
fn values(page: &str, attribute: &str) -> Vec<String> {
    let attribute = pattern(&format!(" {attribute}=\"([^\"]*)\""));
    attribute.captures_iter(page).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_chapter_is_a_page_with_text_pictures_and_exercises() {
    let server = serve_made(|| Site::new(&Options::default()));
    for language in ["en", "zh"] {
        let pages = pages(&server, language);
        assert_eq!(pages.len(), 16, "an introduction and fifteen chapters");
        let titles: BTreeSet<&str> =
            pages.values().filter_map(|page| page.split("<title>").nth(1)?.split('<').next()).collect();
        assert_eq!(titles.len(), 16, "{titles:?}");
        for (path, page) in &pages {
            assert_eq!(page.matches("<h1>").count(), 1, "{path}");
            let text = page.split("<div class=\"text\"").nth(1).expect("the text");
            assert!(text.len() > 2_000, "{path}");
            if path != "/guide" {
                assert!(
                    text.contains("<figure tabindex=\"0\"><svg aria-label=\"")
                        && text.contains("<h2 id=\"exercises\">"),
                    "{path}, {language}"
                );
                assert!(
                    text.contains(&format!("cargo test -p lariat-exercises {}", &path[7..11])),
                    "{path}, {language}"
                );
            }
            assert!(!text.contains("<use"), "{path} has a picture that was not found");
        }
    }
}

#[test]
fn every_link_and_every_anchor_leads_somewhere() {
    let server = serve_made(|| Site::new(&Options::default()));
    let others: BTreeSet<String> = page_paths().chain(["/echo", "/broadcast", "/metrics"].map(str::to_owned)).collect();
    for language in ["en", "zh"] {
        let pages = pages(&server, language);
        let mut between_chapters = 0;
        for (path, page) in &pages {
            let ids = values(page, "id");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{path} has an id twice: {ids:?}");
            for link in values(page, "href") {
                let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
                if target.starts_with("/assets/") || target.starts_with("?lang=") || target.starts_with("https://") {
                    continue;
                }
                let target = if target.is_empty() { path } else { target };
                if let Some(other) = pages.get(target) {
                    let is_there = anchor.is_empty() || values(other, "id").iter().any(|id| id == anchor);
                    assert!(is_there, "{path} leads to {link}");
                    between_chapters += usize::from(target != path);
                } else {
                    assert!(others.contains(target), "{path} leads to {link}");
                }
            }
        }
        assert!(between_chapters > 300, "{between_chapters} links");
    }
}

/// A page in one language and the same in the other have the same sections, so a link to a section
/// works in both.
#[test]
fn sections_have_the_same_places_in_both_languages() {
    let server = serve_made(|| Site::new(&Options::default()));
    let (english, chinese) = (pages(&server, "en"), pages(&server, "zh"));
    for (path, page) in &english {
        assert_eq!(values(page, "id"), values(&chinese[path], "id"), "{path}");
    }
}

#[test]
fn nothing_is_left_that_only_rustdoc_understands() {
    let server = serve_made(|| Site::new(&Options::default()));
    let hidden = pattern(r"(?m)(^|<code>)\s*# ");
    let markdown = pattern(r"\]\(|\*\*|```");
    let code = pattern(r"(?s)<pre.*?</pre>");
    let rust = pattern(r"(?s)<pre[^>]*><code>(.*?)</code></pre>");
    for (path, page) in pages(&server, "en").into_iter().chain(pages(&server, "zh")) {
        let text = page.split("<div class=\"text\"").nth(1).expect("the text").split("<nav").next().expect("its end");
        for found in rust.captures_iter(text).filter(|found| found[1].contains("<i class=\"k\">")) {
            assert!(!hidden.is_match(&found[1]), "{path} has a hidden line: {}", &found[1]);
        }
        let prose = code.replace_all(text, "");
        assert!(!markdown.is_match(&prose), "{path} has Markdown: {:?}", markdown.find(&prose));
        for left in ["crate::", "../../", ".rs.html", "style=", "<title>"] {
            assert!(!text.contains(left), "{path} has {left}");
        }
    }
}

#[test]
fn the_search_knows_every_section_and_its_place() {
    let server = serve_made(|| Site::new(&Options::default()));
    for language in ["en", "zh"] {
        let pages = pages(&server, language);
        let index: Value =
            serde_json::from_str(&get(&server, &format!("/guide/search.{language}.json"), language)).expect("JSON");
        let entries = index.as_array().expect("a list");
        let field = |entry: &Value, name: &str| entry[name].as_str().expect("a text").to_owned();
        for entry in entries {
            let path = field(entry, "path");
            let (target, anchor) = path.split_once('#').unwrap_or((&path, ""));
            assert!(anchor.is_empty() || values(&pages[target], "id").iter().any(|id| id == anchor), "{path}");
            assert!(!field(entry, "chapter").is_empty(), "{path}");
            for left in ["<svg", "](", "```", "# use"] {
                assert!(!field(entry, "text").contains(left), "{path} has {left}");
            }
        }
        let known: BTreeSet<String> = entries.iter().map(|entry| field(entry, "path")).collect();
        for (path, page) in &pages {
            let text = page.split("<div class=\"text\"").nth(1).expect("the text");
            let heading = pattern("<h[23] id=\"([^\"]*)\"");
            for found in heading.captures_iter(text) {
                assert!(known.contains(&format!("{path}#{}", &found[1])), "{path}#{}", &found[1]);
            }
        }
        let finds = |word: &str| entries.iter().any(|entry| field(entry, "text").contains(word));
        assert!(finds("send_latest") && finds("Sec-WebSocket-Accept") && finds("StatusCode::FORBIDDEN"), "{language}");
        assert!(!finds("fn opened(shared"), "hidden lines are not found");
    }
}

#[test]
fn a_chapter_that_is_not_translated_says_so_and_is_in_english() {
    let server = serve_made(|| Site::new(&Options::default()));
    for (path, page) in pages(&server, "zh") {
        let is_translated = page.contains("<div class=\"text\" lang=\"zh-Hans\">");
        assert_ne!(is_translated, page.contains("<div class=\"text\" lang=\"en\">"), "{path}");
        assert_eq!(is_translated, page.contains("<p class=\"note\">本译文"), "{path}");
        assert_ne!(is_translated, page.contains("<p class=\"note\">本章"), "{path}");
    }
    for (path, page) in pages(&server, "en") {
        assert!(!page.contains("class=\"note\""), "{path}");
    }
}
