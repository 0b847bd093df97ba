//! The guide of the library, as pages: `/guide` and one page for each chapter.
//!
//! The texts and pictures are those of rustdoc ([`lariat::guide::texts`]). A page is made when it
//! is first requested.
//!
//! | room | question |
//! |---|---|
//! | `code` | what do the colours of Rust code say? |
//! | `markdown` | how does Markdown for rustdoc become HTML for the site? |
//! | `chapters` | which chapters are there, and what are they called? |
//! | `search` | where do words stand in the guide? |
//! | `pages` | what does a page consist of? |

mod chapters;
mod code;
mod markdown;
mod pages;
mod search;

pub(super) use chapters::PATH;
pub(super) use pages::pages;
pub(super) use search::{index, index_path};
