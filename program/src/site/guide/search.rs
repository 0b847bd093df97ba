//! What the search of the guide looks through.

use super::chapters::{self, PATH, page_path};
use crate::site::texts::{Language, text};
use lariat::guide::texts::INTRODUCTION;
use serde::Serialize;

/// A section, as the script of the search gets it.
#[derive(Serialize)]
struct Entry {
    /// Where it is.
    path: String,
    /// The title of its chapter.
    chapter: String,
    /// Its own title. Empty for what stands before the first heading.
    title: String,
    text: String,
}

/// Returns where the sections of the guide in a language are.
pub fn index_path(language: Language) -> String {
    format!("{PATH}/search.{}.json", language.name())
}

/// Returns all sections of the guide in a language, as JSON.
pub fn index(language: Language) -> String {
    let introduction = (&INTRODUCTION, PATH.to_owned(), text(language, "guide.title"));
    let chapters =
        chapters::all().map(|chapter| (chapter, page_path(chapter), chapters::named(chapter, language).title));
    let mut entries = Vec::new();
    for (chapter, path, title) in std::iter::once(introduction).chain(chapters) {
        for section in chapters::rendered(chapter, language).sections {
            let anchor = if section.id.is_empty() { String::new() } else { format!("#{}", section.id) };
            entries.push(Entry {
                path: format!("{path}{anchor}"),
                chapter: title.clone(),
                title: section.title,
                text: section.text,
            });
        }
    }
    serde_json::to_string(&entries).unwrap_or_default()
}
