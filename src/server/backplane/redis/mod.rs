//! Redis as the engine between servers.
//!
//! A server has two connections, each with a thread of its own: one for commands, one for what it
//! has subscribed to. They live and end together; the pair is a session. The loops only put into a
//! queue.
//!
//! ```text
//!  loops ──► link ──► queue ──► writer ══► Redis ══► reader ──► events
//!                       ▲          │ pages               │
//!                       │          └──────► topics ◄─────┘
//!                       └──── reads that they need ──┘
//! ```
//!
//! | file | question |
//! |---|---|
//! | `options` | which Redis, and within which limits? |
//! | `clock` | what time is it for the threads, and may a warning be logged again? |
//! | `reconnect` | after how long is a connection tried again? |
//! | `wire` | how do messages look on a channel and in a stream? |
//! | `commands` | how are commands and names of keys written, and what do replies say? |
//! | `scripts` | what does Redis do with a topic that has a history? |
//! | `link` | what do loops and threads share? |
//! | `topics` | which topics are followed, and what is reported? |
//! | `presence` | who is present here, and what does Redis not know of it yet? |
//! | `members` | who is present on all servers? |
//! | `batch` | which commands are sent together, and what are their replies for? |
//! | `publishing` | how are messages published, and histories read? |
//! | `session` | what happens on the command connection? |
//! | `replies` | what do the replies of Redis change? |
//! | `writer` | how is a session begun, ended and begun again? |
//! | `reader` | what comes on the subscription connection? |

mod batch;
mod clock;
mod commands;
mod link;
mod members;
mod options;
mod presence;
mod publishing;
mod reader;
mod reconnect;
mod replies;
mod scripts;
mod session;
mod topics;
mod wire;
mod writer;

pub use options::RedisBackplane;
