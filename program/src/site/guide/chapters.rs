//! The chapters, and their titles from the table of the introduction.

use super::markdown::{Html, Section, render};
use crate::site::texts::{Language, text};
use lariat::guide::texts::{CHAPTERS, CHINESE_WORDS, Chapter, INTRODUCTION};

/// The path of the introduction.
pub const PATH: &str = "/guide";

/// Returns the path of a chapter's page.
pub(super) fn page_path(chapter: &Chapter) -> String {
    format!("{PATH}/{}", chapter.name)
}

/// The chapters, in order.
pub(super) fn all() -> impl Iterator<Item = &'static Chapter> {
    CHAPTERS.iter()
}

/// The words for a chapter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) title: String,
    /// The question that it answers.
    pub(super) question: String,
}

/// Returns the title of a chapter and its question, as the introduction has them.
pub(super) fn named(chapter: &Chapter, language: Language) -> Named {
    let mark = format!("]({})", chapter.name);
    let rows = source(&INTRODUCTION, language).0.lines().filter(|line| line.starts_with('|'));
    let row = rows
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .find(|row| row.iter().any(|cell| cell.ends_with(&mark)));
    let cell = |at: usize| row.as_ref().and_then(|row| row.get(at)).copied().unwrap_or_default();
    Named { title: cell(2).trim_start_matches('[').trim_end_matches(&mark).to_owned(), question: cell(3).to_owned() }
}

/// Returns the text in a language, and whether it is in this language: a chapter that is not
/// translated is in English.
pub(super) fn source(chapter: &Chapter, language: Language) -> (&'static str, bool) {
    match (language, chapter.chinese) {
        (Language::Chinese, Some(chinese)) => (chinese, true),
        (language, _) => (chapter.english, language == Language::English),
    }
}

/// Renders a chapter. Its sections have the same ids in each language.
pub(super) fn rendered(chapter: &Chapter, language: Language) -> Html {
    let anchor = text(language, "guide.anchor");
    let english = render(chapter.english, None, &anchor, "");
    match source(chapter, language) {
        (markdown, true) if language != Language::English => {
            let ids: Vec<String> = english.sections.into_iter().skip(1).map(|section: Section| section.id).collect();
            render(markdown, Some(&ids), &anchor, CHINESE_WORDS)
        }
        _ => english,
    }
}
