//! The site of `lariat serve`: pages, and behind each a small [`Handler`](lariat::Handler) on the
//! public API of the library.
//!
//! A page and its socket have the same path: a request for an upgrade gets the socket. The handlers
//! share `Data = ()`. What a handler knows of its clients is in a map of its own, so that an idle
//! connection costs no more than its slab entry.
//!
//! Each room imports only from those above it. The pages are in `pages/`.
//!
//! | room | question |
//! |---|---|
//! | `origin` | whose pages may open a socket? |
//! | `hosts` | which hosts may a request name? |
//! | `options` | what can be chosen? |
//! | `texts` | what do the pages say, and in which language? |
//! | `assets` | how do pages, scripts and styles get to the browser? |
//! | `page` | what does a page consist of? |
//! | `guide` | what does the guide of the library say? |
//! | `carried` | does it make sense what another process has saved? |
//! | `all_loops` | how is a request answered for all loops? |
//! | `echo` | how are messages sent back? |
//! | `broadcast` | how are messages sent to everybody? |
//! | `health` | is the server alive, and is it ready? |
//! | `metrics` | what does Prometheus read? |
//! | `index` | how many clients does each app have? |
//! | `secured` | what was agreed in the TLS handshake of a connection? |
//! | `told` | how are pages told what a trace says? |
//! | `traced` | what does a page get of the trace of a connection? |
//! | `local` | does a request come from this host? |
//! | `console` | what went over the wire of a page's socket? |
//! | `learn` | what happens on the wire if a client sends these bytes? |
//! | `slot` | in which slot is this connection? |
//! | `slow` | what becomes of what is sent if the other side does not read? |
//! | `measure` | what does this host allow, and what does a thread for each client need? |
//! | `class` | who learns in a class, and what does the teacher see? |
//! | `others` | what do servers know of each other that share rooms? |
//! | `chat` | who is in a room, and what is said there? |
//! | `editor` | how do several people write one text? |
//! | `arena` | where is everybody in the game? |
//! | `ticker` | what are the prices, and what do pushing and polling cost? |
//! | `watch` | what does the event loop do? |
//! | `lessons` | which lessons are there? |
//! | `apps` | which apps are on the site? A new app is a line there |
//! | `shell` | what do all apps have in common? |

mod all_loops;
mod apps;
mod arena;
mod assets;
mod broadcast;
#[cfg(unix)]
mod carried;
#[cfg(all(test, unix))]
mod carried_tests;
mod chat;
mod class;
mod console;
mod echo;
mod editor;
mod guide;
mod health;
mod hosts;
mod index;
mod learn;
mod lessons;
mod local;
mod measure;
mod metrics;
mod options;
mod origin;
mod others;
mod page;
mod secured;
mod shell;
mod slot;
mod slow;
mod texts;
mod ticker;
mod told;
mod traced;
mod watch;

pub use apps::{app_paths, file_names, page_paths};
pub use arena::Arena;
pub use broadcast::Broadcast;
pub use chat::Chat;
pub use class::Class;
pub use console::Console;
pub use echo::Echo;
pub use editor::{Editor, Operation};
pub use health::{Health, Readiness};
pub use index::Index;
pub use learn::Learn;
pub use lessons::{chapters_of_lessons, code_of_lessons};
pub use measure::Measure;
pub use metrics::Metrics;
pub use options::{MoreMetrics, Options};
pub use origin::{Origin, OriginError, Origins};
pub use shell::Site;
pub use slot::Slot;
pub use slow::Slow;
pub use ticker::Ticker;
pub use watch::Loop;
