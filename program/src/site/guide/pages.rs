//! The pages of the guide.

use super::chapters::{Named, PATH, all, named, page_path, rendered, source};
use super::code::escaped;
use crate::site::assets::{File, Reach};
use crate::site::page::{Content, Page};
use crate::site::texts::{Language, fill, text};
use lariat::guide::texts::{Chapter, INTRODUCTION};

/// Returns all pages: the introduction, and one for each chapter. All have these files.
pub fn pages(files: &[File]) -> Vec<Page> {
    let introduction = page(PATH.to_owned(), None, files);
    std::iter::once(introduction).chain(all().map(|chapter| page(page_path(chapter), Some(chapter), files))).collect()
}

fn page(path: String, chapter: Option<&'static Chapter>, files: &[File]) -> Page {
    Page {
        path,
        app: PATH,
        files: files.to_vec(),
        texts: vec!["guide"],
        reach: Reach::Here,
        content: Box::new(move |language| content(chapter, language)),
    }
}

fn content(chapter: Option<&'static Chapter>, language: Language) -> Content {
    let words = match chapter {
        Some(chapter) => named(chapter, language),
        None => Named { title: text(language, "guide.title"), question: text(language, "guide.sentence") },
    };
    let shown = chapter.unwrap_or(&INTRODUCTION);
    let body = rendered(shown, language);
    let (_, is_translated) = source(shown, language);
    let note = match (language, is_translated) {
        (Language::English, _) => None,
        (Language::Chinese, true) => Some("guide.unreviewed"),
        (Language::Chinese, false) => Some("guide.untranslated"),
    };
    let note = note.map_or(String::new(), |key| format!("<p class=\"note\">{}</p>\n", text(language, key)));
    let sections = body
        .sections
        .iter()
        .skip(1)
        .map(|section| format!("<li><a href=\"#{}\">{}</a></li>\n", escaped(&section.id), escaped(&section.title)));
    let main = fill(language, include_str!("../pages/guide.html"))
        .replace("{{chapters}}", &all().map(|other| entry(other, chapter, language)).collect::<String>())
        .replace("{{sections}}", &sections.collect::<String>())
        .replace("{{heading}}", &heading(chapter, &words.title))
        .replace("{{neighbours}}", &neighbours(chapter, language))
        .replace("{{text_lang}}", if is_translated { language.tag() } else { Language::English.tag() })
        .replace("{{note}}", &note)
        .replace("{{text}}", &body.html);
    Content { title: words.title, description: words.question, main }
}

/// Returns the number and the title as HTML.
fn heading(chapter: Option<&Chapter>, title: &str) -> String {
    let number = chapter.and_then(|chapter| all().position(|other| other.name == chapter.name));
    let number = number.map_or(String::new(), |at| format!("<span class=\"chapter-number\">{}</span> ", at + 1));
    format!("{number}{}", escaped(title))
}

/// Returns the entry of a chapter in the list of all.
fn entry(chapter: &Chapter, current: Option<&Chapter>, language: Language) -> String {
    let is_current = current.is_some_and(|current| current.name == chapter.name);
    let current = if is_current { " aria-current=\"true\"" } else { "" };
    let title = escaped(&named(chapter, language).title);
    format!("<li><a href=\"{}\"{current}>{title}</a></li>\n", page_path(chapter))
}

/// Returns the links to the page before and the page after.
fn neighbours(chapter: Option<&Chapter>, language: Language) -> String {
    let chapters: Vec<&Chapter> = all().collect();
    let at = chapter.and_then(|chapter| chapters.iter().position(|other| other.name == chapter.name));
    let before = match at {
        Some(0) => Some((PATH.to_owned(), text(language, "guide.title"))),
        Some(at) => chapters.get(at - 1).map(|before| (page_path(before), named(before, language).title)),
        None => None,
    };
    let next = chapters.get(at.map_or(0, |at| at + 1)).map(|next| (page_path(next), named(next, language).title));
    let link = |neighbour: Option<(String, String)>, rel: &str, key: &str| {
        neighbour.map_or("<span></span>\n".to_owned(), |(path, title)| {
            format!("<a rel=\"{rel}\" href=\"{path}\"><span>{}</span> {}</a>\n", text(language, key), escaped(&title))
        })
    };
    link(before, "prev", "guide.previous") + &link(next, "next", "guide.next")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_without_translation_is_in_english_and_says_so() {
        let mut chapter = *all().next().expect("a chapter");
        chapter.chinese = None;
        let chapter: &'static Chapter = Box::leak(Box::new(chapter));
        let note = format!("<p class=\"note\">{}</p>", text(Language::Chinese, "guide.untranslated"));
        let sentence = "A program that offers a service";
        let chinese = content(Some(chapter), Language::Chinese).main;
        assert!(chinese.contains("<div class=\"text\" lang=\"en\">") && chinese.contains(&note), "{chinese}");
        assert!(chinese.contains(sentence) && chinese.contains(&text(Language::Chinese, "guide.contents")));

        let translated = content(all().next(), Language::Chinese).main;
        assert!(!translated.contains(sentence) && !translated.contains(&note));
        let english = content(Some(chapter), Language::English).main;
        assert!(english.contains(sentence) && !english.contains("class=\"note\""));
    }
}
