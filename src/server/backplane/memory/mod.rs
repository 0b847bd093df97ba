//! An engine in memory, for servers of one process: for tests, for simulations, and for the history
//! of a server that stands alone.
//!
//! No threads and no clock. A request goes from a link to the engine, and messages and answers come
//! back, through queues that belong to the link. Usually all queues are emptied in the call that
//! fills them. A simulation empties them step by step.
//!
//! ```text
//!           requests              live messages
//!    link ───────────► engine ───────────────────► link ──► outbox ──► events
//!                             ───────────────────►
//!                              pages and answers
//! ```
//!
//! | file | question |
//! |---|---|
//! | `engine` | what can a program do with the engine? |
//! | `state` | what do requests do, and in which order? |
//! | `history` | what is kept of a topic? |
//! | `link` | what lies between the engine and a link, and what does the link report? |
//! | `outbox` | how are events reported in order, without a lock? |

mod engine;
mod history;
mod link;
mod outbox;
mod state;

pub use engine::{MemoryBackplane, MemoryEngine};
