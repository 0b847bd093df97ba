//! `/arena`: a game. Riders close loops of rope around strays.
//!
//! | file | question |
//! |---|---|
//! | `plane` | which lines cross, and which points are near? |
//! | `rider` | how does a rider move, and what is behind it? |
//! | `world` | what are the rules? |
//! | `snapshot` | what does a page see of a tick, in bytes? |
//! | `page` | what do a page and the server say to each other? |
//! | `handler` | who rides, and what does each page get? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

mod handler;
mod page;
mod plane;
mod rider;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;
mod snapshot;
mod world;

pub use handler::Arena;
