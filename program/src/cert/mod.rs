//! A certificate for development, and the CA that signs it.
//!
//! | file | question |
//! |---|---|
//! | `names` | for which names is a certificate? |
//! | `der` | what does a certificate of the CA say? |
//! | `dates` | when is a certificate valid? |
//! | `authority` | how does the CA begin, and what does it sign? |
//! | `files` | how does a file get to a folder whole, or not at all? |
//! | `advice` | what does the user do with the files? |
//! | `command` | what does `lariat cert` do? |

mod advice;
mod authority;
mod command;
mod dates;
mod der;
mod files;
mod names;

pub(crate) use command::{Options, run};
pub(crate) use dates::{Validity, date, now};
