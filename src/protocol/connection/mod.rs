//! One conversation: the state machine, and what it needs.
//!
//! | file | question |
//! |---|---|
//! | `machine` | which way leads from state to state? |
//! | `state` | where can a conversation stand? |
//! | `modes` | what is unusual about it? |
//! | `event` | what has a driver to tell the application? |
//! | `receive` | how do bytes from the peer become events? |
//! | `handshake` | and in the opening handshake? |
//! | `send` | how do messages become bytes to the peer? |
//! | `prepared` | and a message for many? |
//! | `deadlines` | when is something due, and what? |
//! | `compress` | which messages travel compressed? |
//! | `inflate` | and how is one handed out as it arrives? |
//! | `status` | where does it stand, and what does it hold? |
//! | `message` | what is a message? |
//! | `inbox` | what has arrived of something incomplete? |
//! | `partial_message` | how do fragments become messages? |
//! | `outbox` | what waits to be sent? |
//! | `byte_queue` | how are its bytes kept? |
//! | `rare` | what do few need, or only for a while? |
//! | `fast` | how are short messages received and sent faster? |
//! | `error` | who erred, and what is the answer? |
//! | `trace` | what happened, as it happened? |
//! | `shared` | what do all conversations of a loop share? |
//! | `pools` | which buffers are kept for reuse? |
//! | `budget` | how much memory may they hold together? |
//! | `growing` | when are inboxes and outboxes counted again? |
//! | `shared_bytes` | how are bytes counted that several of them hold? |
//! | `counters` | what have they sent and received? |
//! | `random` | what must a peer not foresee? |
//!
//! `fast_tests` has the unit tests of `fast`.

mod budget;
mod byte_queue;
mod compress;
mod counters;
mod deadlines;
mod error;
mod event;
#[cfg(not(lariat_plain))]
mod fast;
#[cfg(all(test, not(lariat_plain)))]
mod fast_tests;
mod growing;
mod handshake;
mod inbox;
mod inflate;
mod machine;
mod message;
mod modes;
mod outbox;
mod partial_message;
mod pools;
mod prepared;
mod random;
mod rare;
mod receive;
mod send;
mod shared;
mod shared_bytes;
mod state;
mod status;
mod trace;

pub use budget::Mark;
pub use counters::{Counters, Flow, Traffic};
pub use error::{CloseReason, SendError, Timeout};
pub use event::Event;
#[cfg(not(lariat_plain))]
pub use fast::{LONGEST_RUN, Run};
pub use machine::Connection;
pub(crate) use machine::check_close;
pub use message::{Gathered, Message, NotData, Position};
use modes::Modes;
pub use outbox::JOINED;
pub use prepared::Prepared;
pub use shared::Shared;
pub use shared_bytes::SharedBytes;
pub use state::{ReadyState, State};
pub use trace::{Side, Trace};
