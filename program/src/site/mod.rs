//! What `lariat serve` shows: pages, and behind each a small [`Handler`](lariat::Handler) on the
//! public API, such as an embedder would write.
//!
//! | file | what is in it |
//! |---|---|
//! | `apps` | the table of all apps: a new one is a line there |
//! | `shell` | [`Site`]: pages over HTTP, sockets to the router, who may open one |
//! | `assets` | files within the program: coding, tags, Content-Security-Policy |
//! | `origin` | whose pages may open a socket |
//! | the others | an app each; its page is in `pages/` |
//!
//! A page and its socket have the same path: whoever asks for an upgrade gets the socket. The
//! handlers share `Data = ()`; what one knows of its clients it keeps in a map of its own, so that
//! an idle connection stays at 64 bytes.

mod apps;
mod arena;
mod assets;
mod broadcast;
mod chat;
mod console;
mod echo;
mod editor;
mod health;
mod index;
mod metrics;
mod origin;
mod shell;
mod ticker;
mod watch;

pub use arena::Arena;
pub use broadcast::Broadcast;
pub use chat::Chat;
pub use console::Console;
pub use echo::Echo;
pub use editor::{Editor, Operation};
pub use health::{Health, Readiness};
pub use index::Index;
pub use metrics::Metrics;
pub use origin::{Origin, OriginError, Origins};
pub use shell::Site;
pub use ticker::Ticker;
pub use watch::Loop;

/// What can be chosen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Pages from elsewhere that may open sockets, beside those of the site itself. `/echo` and
    /// `/broadcast` are for everybody.
    pub allowed_origins: Vec<Origin>,
    /// Pages on this host may slow the loop down, hold it and read along: for teaching. Messages
    /// are not compressed then.
    pub teach: bool,
}
