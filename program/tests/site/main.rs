//! The handlers of the site in the simulator, with a thousand users, and what the site serves over
//! real sockets.

#[path = "../common/mod.rs"]
mod common;

mod arena;
mod chat;
mod class;
mod console;
mod editor;
mod guide;
mod host;
mod learn;
mod metrics;
mod pages;
mod scripts;
mod servers;
mod slow;
mod texts;
mod ticker;
mod watch;
