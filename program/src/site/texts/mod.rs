//! The texts of the pages, in each language. They are in `en.json` and `zh.json`, and nowhere else.
//!
//! The first level of a file is `shell`, which all pages have in common, or a page. A leaf is a
//! text, or a plural such as `{"one": "{count} line", "other": "{count} lines"}`. A script replaces
//! `{name}` by a value. A text that stands in a page's fragment, as `{{t:loop.title}}`, is HTML.
//! All others are plain text.
//!
//! | file | question |
//! |---|---|
//! | `language` | which language does a visitor read? |
//! | `catalogue` | which text is it? |

mod catalogue;
mod language;

pub use catalogue::{fill, for_scripts, keys, text};
pub use language::{Choice, Language, choose};
