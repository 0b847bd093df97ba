//! `/chat`: rooms in which no message is lost and none appears twice.
//!
//! | file | question |
//! |---|---|
//! | `page` | what do a page and the server say to each other? |
//! | `room` | who is in a room, and what was said there? |
//! | `handler` | which rooms are there, and which client is in which? |

mod handler;
mod page;
mod room;

pub use handler::Chat;
