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
//! | `assets` | how do pages, scripts and styles get to the browser? |
//! | `carried` | does it make sense what another process has saved? |
//! | `all_loops` | how is a request answered for all loops? |
//! | `echo` | how are messages sent back? |
//! | `broadcast` | how are messages sent to everybody? |
//! | `health` | is the server alive, and is it ready? |
//! | `metrics` | what does Prometheus read? |
//! | `index` | how many clients does each app have? |
//! | `secured` | what was agreed in the TLS handshake of a connection? |
//! | `console` | what went over the wire of a page's socket? |
//! | `others` | what do servers know of each other that share rooms? |
//! | `chat` | who is in a room, and what is said there? |
//! | `editor` | how do several people write one text? |
//! | `arena` | where is everybody in the game? |
//! | `ticker` | what are the prices, and what do pushing and polling cost? |
//! | `watch` | what does the event loop do? |
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
mod console;
mod echo;
mod editor;
mod health;
mod hosts;
mod index;
mod metrics;
mod options;
mod origin;
mod others;
mod secured;
mod shell;
mod ticker;
mod watch;

pub use apps::{file_names, page_paths};
pub use arena::Arena;
pub use broadcast::Broadcast;
pub use chat::Chat;
pub use console::Console;
pub use echo::Echo;
pub use editor::{Editor, Operation};
pub use health::{Health, Readiness};
pub use index::Index;
pub use metrics::Metrics;
pub use options::{MoreMetrics, Options};
pub use origin::{Origin, OriginError, Origins};
pub use shell::Site;
pub use ticker::Ticker;
pub use watch::Loop;
