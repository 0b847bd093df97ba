//! `/chat`: rooms in which no message is lost and none appears twice.
//!
//! | file | question |
//! |---|---|
//! | `page` | what do a page and the server say to each other? |
//! | `script` | how does a script say something? |
//! | `room` | who is in a room, and what was said there? |
//! | `shared` | how do several servers have the same rooms? |
//! | `handler` | which rooms are there, and which client is in which? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

mod handler;
mod page;
mod room;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;
mod script;
mod shared;

pub use handler::Chat;
pub(super) use page::PATH;
pub(super) use script::is_room;
