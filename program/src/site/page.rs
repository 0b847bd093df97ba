//! What a page consists of. An app has one, and may have more, below the path of the app.

use super::assets::{File, Reach};
use super::texts::Language;

/// A page of the site. The frame around it comes from `shell.html`.
pub(super) struct Page {
    pub(super) path: String,
    /// The path of the app to which the page belongs. The header marks its link.
    pub(super) app: &'static str,
    /// The files of the page. The first script is loaded as a module, and the styles after those of
    /// the site.
    pub(super) files: Vec<File>,
    /// The groups of texts that its scripts get besides `shell`: `loop`, or `learn.frames`.
    pub(super) texts: Vec<&'static str>,
    pub(super) reach: Reach,
    /// Makes the content, when the page is first requested in a language.
    pub(super) content: Box<dyn Fn(Language) -> Content + Send>,
}

/// The content of a page in one language.
pub(super) struct Content {
    /// The title, as text.
    pub(super) title: String,
    /// A sentence for search engines, as text.
    pub(super) description: String,
    /// The content of `<main>`, as HTML.
    pub(super) main: String,
}
