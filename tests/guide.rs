//! Tests that the files, chapters, pictures, exercises and page labels that the guide names exist.
//! The examples of the guide are doctests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names and texts of the chapters, in order.
fn chapters() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join("src/guide")).expect("the guide");
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let is_chapter =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md") && name(path).starts_with("ch");
    paths.into_iter().filter(is_chapter).map(|path| (name(&path), read(&path))).collect()
}

/// Returns all parts of `text` between `start` and the next `end`.
fn between<'t>(text: &'t str, start: &str, end: char) -> Vec<&'t str> {
    let parts = text.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap_or_default()).collect()
}

#[test]
fn every_named_file_exists() {
    let mut named = 0;
    for (chapter, text) in chapters() {
        for folder in ["src/", "tests/", "examples/", "benches/", "program/", "exercises/"] {
            for path in between(&text, &format!("`{folder}"), '`') {
                assert!(root().join(folder).join(path).exists(), "{chapter} names {folder}{path}");
                named += 1;
            }
        }
        // Links to the source pages of rustdoc.
        for page in between(&text, "(../../../src/lariat/", ')') {
            let source = page.strip_suffix(".html").expect("a page");
            assert!(root().join("src").join(source).exists(), "{chapter} links to {page}");
            assert!(text.contains(&format!("[`src/{source}`](../../../src/lariat/{page})")), "{chapter}: {page}");
        }
    }
    assert!(named > 40, "only {named} files are named");
}

/// All texts of the site: its pages, and what their handlers send to them.
fn site() -> String {
    let mut folders = vec![root().join("program/src/site")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.extension().and_then(|extension| extension.to_str()) {
                _ if entry.is_dir() => folders.push(entry),
                Some("html" | "js") => all += &read(&entry),
                Some("json") if entry.ends_with("en.json") => all += &read(&entry),
                _ => {}
            }
        }
    }
    all
}

#[test]
fn every_named_label_is_on_the_pages() {
    let (site, mut named) = (site(), 0);
    for (chapter, text) in chapters() {
        let part = text.split("# Try it").nth(1).and_then(|rest| rest.split("# ").next()).expect("a part to try");
        let prose: String = part.split("```").step_by(2).collect::<Vec<_>>().join("");
        for label in prose.split('"').skip(1).step_by(2) {
            let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(site.contains(&label), "{chapter} names the label {label:?}");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} labels are named");
}

#[test]
fn every_chapter_is_listed_and_leads_to_the_next() {
    let [map, index, texts] =
        ["mod.rs", "introduction.md", "texts.rs"].map(|file| read(&root().join("src/guide").join(file)));
    let chapters = chapters();
    assert_eq!(between(&map, "include_str!(\"ch", '"').len(), chapters.len());
    assert_eq!(
        between(&texts, "    chapter!(\"", '"'),
        chapters.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    );
    let all_pictures: Vec<String> =
        chapters.iter().flat_map(|(_, text)| pictures(text)).map(|picture| picture.name).collect();
    assert_eq!(between(&texts, "    picture!(\"", '"'), all_pictures);
    for (at, (name, text)) in chapters.iter().enumerate() {
        assert!(index.contains(&format!("\n| {} | [", at + 1)), "{name} is not in the table");
        assert!(index.contains(&format!("]({name}) |")), "{name} is not in the table");
        let pictures: Vec<String> = pictures(text).iter().map(|picture| format!("{:?}", picture.name)).collect();
        let text_and_pictures =
            format!("#[doc = include_str!(\"{name}.md\")]\n#[doc = pictures!({})]", pictures.join(", "));
        assert!(map.contains(&format!("{text_and_pictures}\npub mod {name} {{}}")), "{name}");
        if let Some((next, _)) = chapters.get(at + 1) {
            assert!(text.contains(&format!("(crate::guide::{next})")), "{name} does not lead to {next}");
        }
        for part in ["# In the source", "# Try it", "# Exercises"] {
            assert!(text.contains(part), "{name} has no {part:?}");
        }
    }
}

#[test]
fn every_rust_example_is_a_test() {
    const { assert!(cfg!(feature = "guide"), "rustdoc skips what a feature excludes, although `doctest` includes it") };
    for (chapter, text) in chapters() {
        let fences: Vec<&str> = text.lines().filter(|line| line.starts_with("```")).collect();
        for fence in fences.chunks(2) {
            assert!(matches!(fence, ["```" | "```text" | "```toml", "```"]), "{chapter}: {fence:?}");
        }
    }
}

/// A place for a picture in a chapter.
struct Picture {
    name: String,
    size: String,
    /// What it shows, for those who do not see it.
    label: String,
}

/// Returns the places for pictures of a chapter, in order.
fn pictures(text: &str) -> Vec<Picture> {
    let part =
        |place: &str, start: &str| between(place, start, '"').first().map_or(String::new(), |part| part.to_string());
    let places = text.split("<div>").skip(1).map(|place| place.split("</div>").next().unwrap_or_default());
    let places = places.map(|place| place.split_whitespace().collect::<Vec<_>>().join(" "));
    let picture = |place: String| {
        let picture = Picture {
            name: part(&place, "href=\"#"),
            size: part(&place, "viewBox=\"0 0 "),
            label: part(&place, "aria-label=\""),
        };
        let width = picture.size.split(' ').next().unwrap_or_default();
        let expected = format!(
            "<svg viewBox=\"0 0 {}\" style=\"max-width: {width}px\" role=\"img\" aria-label=\"{}\"><use href=\"#{}\"/></svg>",
            picture.size, picture.label, picture.name
        );
        assert_eq!(place, expected);
        picture
    };
    places.map(picture).collect()
}

#[test]
fn every_chapter_has_pictures() {
    let folder = root().join("src/guide/pictures");
    let mut files: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("pictures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    for (chapter, text) in chapters() {
        let pictures = pictures(&text);
        assert!(!pictures.is_empty(), "{chapter} has no picture");
        for picture in pictures {
            let file = format!("{}.svg", picture.name);
            let svg = read(&folder.join(&file));
            assert!(
                svg.contains(&format!("id=\"{}\" viewBox=\"0 0 {}\"", picture.name, picture.size)),
                "{chapter}: {file}"
            );
            assert!(picture.label.len() > 40, "{chapter}: {file}");
            assert!(files.remove(&file), "{file} is in two places");
        }
        assert!(!text.contains(['│', '─', '►', '▲']), "{chapter} has a drawing of characters");
    }
    assert_eq!(files, BTreeSet::new(), "pictures in no chapter");
}

/// A picture lies in the page of rustdoc and in that of the site. Colours of its own must suit a
/// light and a dark page, and styles in it would concern the whole page.
#[test]
fn pictures_suit_every_page() {
    let paint = ["currentColor", "none", "#3a7fc4", "#c9731f", "#3c9257", "#cf4f4a"];
    for entry in std::fs::read_dir(root().join("src/guide/pictures")).expect("pictures") {
        let path = entry.expect("an entry").path();
        let (svg, name) = (read(&path), path.display());
        let root = svg.lines().next().unwrap_or_default();
        for attribute in ["xmlns=\"http://www.w3.org/2000/svg\"", "role=\"img\""] {
            assert!(root.starts_with("<svg ") && root.contains(attribute), "{name}: {root}");
        }
        assert!(svg.lines().nth(1).is_some_and(|line| line.trim().starts_with("<title>")), "{name} has no title");
        assert_eq!(svg.matches(" id=").count(), 1, "{name}: ids of two pictures in one page must differ");
        // An empty line ends the HTML in Markdown.
        assert!(svg.lines().all(|line| !line.trim().is_empty()), "{name} has an empty line");
        for forbidden in ["<style", "style=", "class=", "<script", "href", "url(", "<image", "<foreignObject"] {
            assert!(!svg.contains(forbidden), "{name} has {forbidden}");
        }
        for attribute in [" fill=\"", " stroke=\""] {
            for value in between(&svg, attribute, '"') {
                assert!(paint.contains(&value), "{name} has the colour {value}");
            }
        }
    }
}

#[test]
fn every_chapter_has_three_exercises() {
    for (chapter, text) in chapters() {
        let number = &chapter[..4];
        let part = text.split("# Exercises").nth(1).expect("exercises");
        assert!(part.contains(&format!("```text\ncargo test -p lariat-exercises {number}\n```")), "{chapter}");
        let source = read(&root().join(format!("exercises/src/{number}.rs")));
        let solutions = read(&root().join(format!("exercises/solutions/{number}.rs")));
        let (stubs, tests) = source.split_once("#[cfg(test)]").expect("tests");
        let checked = between(tests, &format!("answers!({number}: "), ')');
        assert_eq!(checked.len(), 1, "{chapter}");
        let mut checked = checked[0].split(", ");
        for exercise in 1..=3 {
            let item = part.lines().find(|line| line.starts_with(&format!("{exercise}. `"))).expect("an exercise");
            let named = item.split(':').next().unwrap_or_default();
            for name in named.split('`').skip(1).step_by(2) {
                assert_eq!(checked.next(), Some(name), "{chapter}");
                for code in [stubs, &solutions] {
                    let is_there = ["fn", "struct"].iter().any(|kind| code.contains(&format!("pub {kind} {name}")));
                    assert!(is_there, "{chapter}: {name}");
                }
            }
            assert!(stubs.contains(&format!("/// Exercise {exercise}. ")), "{chapter}: {exercise}");
            assert!(tests.contains(&format!("fn ex{exercise}_")), "{chapter}: {exercise}");
        }
        assert_eq!(checked.next(), None, "{chapter}");
        assert!(!part.contains("\n4. "), "{chapter}");
        let asks = part.contains("a question that has no test");
        assert_eq!(asks, solutions.contains("//! The question of the chapter: "), "{chapter}");
    }
}

/// Returns the translated texts with their names, and the English ones.
fn translations() -> Vec<(String, String, String)> {
    let names = ["introduction".to_owned()].into_iter().chain(chapters().into_iter().map(|(name, _)| name));
    let both = |name: String| {
        let english = root().join(format!("src/guide/{name}.md"));
        let chinese = root().join(format!("src/guide/zh/{name}.md"));
        chinese.exists().then(|| (name, read(&chinese), read(&english)))
    };
    names.filter_map(both).collect()
}

/// Returns a text as alternating prose and code blocks.
fn prose_and_code(text: &str) -> (String, Vec<&str>) {
    let parts: Vec<&str> = text.split("```").collect();
    (parts.iter().step_by(2).copied().collect(), parts.into_iter().skip(1).step_by(2).collect())
}

#[test]
fn a_translation_has_the_same_code_pictures_links_and_sections() {
    let texts = read(&root().join("src/guide/texts.rs"));
    let translations = translations();
    assert_eq!(texts.matches("\", translated)").count(), translations.len());
    let files = std::fs::read_dir(root().join("src/guide/zh")).expect("a folder").count();
    assert_eq!(files, translations.len() + 1, "a translation of no chapter");
    for (name, chinese, english) in translations {
        assert!(texts.contains(&format!("chapter!(\"{name}\", translated)")), "{name}");
        let ((prose, code), (english_prose, english_code)) = (prose_and_code(&chinese), prose_and_code(&english));
        assert_eq!(code, english_code, "{name}");
        let links = |prose: &str| {
            let prose: String = prose.split_whitespace().collect();
            let mut links: Vec<String> = between(&prose, "](", ')').into_iter().map(str::to_owned).collect();
            links.sort();
            links
        };
        assert_eq!(links(&prose), links(&english_prose), "{name}");
        let levels = |prose: &str| -> Vec<usize> {
            let headings = prose.lines().filter(|line| line.starts_with('#'));
            headings.map(|heading| heading.chars().take_while(|one| *one == '#').count()).collect()
        };
        assert_eq!(levels(&prose), levels(&english_prose), "{name}");
        let of =
            |text: &str| pictures(text).into_iter().map(|picture| (picture.name, picture.size)).collect::<Vec<_>>();
        assert_eq!(of(&chinese), of(&english), "{name}");
        let rows = |prose: &str| prose.lines().filter(|line| line.starts_with('|')).count();
        assert_eq!(rows(&prose), rows(&english_prose), "{name}");
        let items =
            |prose: &str| prose.lines().filter(|line| line.starts_with("* ") || line.starts_with("1. ")).count();
        assert_eq!(items(&prose), items(&english_prose), "{name}");
    }
}

/// Numbers are facts, and a translation has the same.
#[test]
fn a_translation_has_the_same_numbers() {
    let numbers = |text: &str| -> BTreeSet<String> {
        let (prose, _) = prose_and_code(text);
        let digits = |one: char| one.is_ascii_digit() || one == ',' || one == '.';
        let words = prose.split(|one: char| !digits(one)).map(|word| word.trim_matches([',', '.']).to_owned());
        // Small numbers may be words in one of the languages.
        words.filter(|word| word.len() >= 3).collect()
    };
    for (name, chinese, english) in translations() {
        assert_eq!(numbers(&chinese), numbers(&english), "{name}");
    }
}

/// Returns the texts of the site by their keys.
fn texts_of_the_site(language: &str) -> serde_json::Value {
    let path = root().join(format!("program/src/site/texts/{language}.json"));
    serde_json::from_str(&read(&path)).expect("JSON")
}

/// Returns all pairs of a text in English and the same in Chinese.
fn pairs(english: &serde_json::Value, chinese: &serde_json::Value, into: &mut Vec<(String, String)>) {
    match (english, chinese) {
        (serde_json::Value::Object(english), chinese) => {
            english.iter().for_each(|(key, value)| pairs(value, &chinese[key], into));
        }
        (english, chinese) => {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            into.push((text(english), text(chinese)));
        }
    }
}

#[test]
fn a_translation_names_the_labels_of_the_chinese_pages() {
    let mut labels = Vec::new();
    pairs(&texts_of_the_site("en"), &texts_of_the_site("zh"), &mut labels);
    let mut named = 0;
    for (name, chinese, english) in translations() {
        let part = |text: &str, title: &str| {
            let rest = text.split(&format!("# {title}\n")).nth(1).unwrap_or_default().to_owned();
            prose_and_code(rest.split("\n# ").next().unwrap_or_default()).0
        };
        let (english, chinese) = (part(&english, "Try it"), part(&chinese, "动手试试"));
        let chinese: String = chinese.split_whitespace().collect();
        for label in english.split('"').skip(1).step_by(2) {
            let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
            // Not every page has its texts in these files.
            let translated: Vec<&String> =
                labels.iter().filter(|(text, _)| *text == label).map(|(_, text)| text).collect();
            let is_named = |text: &&String| chinese.contains(&format!("“{}”", text.replace(' ', "")));
            assert!(translated.is_empty() || translated.iter().any(is_named), "{name}: {label} is {translated:?}");
            named += translated.len();
        }
    }
    assert!(named > 1, "only {named} labels");
}

#[test]
fn the_words_of_the_pictures_are_translated() {
    let words = read(&root().join("src/guide/zh/pictures.txt"));
    let mut translated: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for part in words.split('[').skip(1) {
        let (name, lines) = part.split_once("]\n").expect("a name");
        let pairs = lines.trim_end().lines().map(|line| line.split_once(" = ").expect("a pair")).collect();
        assert!(translated.insert(name, pairs).is_none(), "{name} is there twice");
    }
    for (chapter, text) in chapters() {
        for picture in pictures(&text) {
            let svg = read(&root().join(format!("src/guide/pictures/{}.svg", picture.name)));
            let mut pairs = translated.remove(&*picture.name).unwrap_or_default();
            for line in svg.lines().filter(|line| line.contains("<text ") && !line.contains("monospace")) {
                let words = line.split('>').nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
                let is_sentence =
                    words.split(' ').filter(|word| word.chars().all(|one| one.is_ascii_lowercase())).count() > 1;
                let is_translated = pairs.contains_key(words);
                assert!(!is_sentence || is_translated, "{chapter}: {}: {words}", picture.name);
            }
            pairs.retain(|english, _| !svg.contains(&format!(">{english}</text>")));
            assert!(pairs.is_empty(), "{} has none of these words: {pairs:?}", picture.name);
        }
    }
    assert!(translated.is_empty(), "words of no picture: {translated:?}");
}
