//! One connection: the state machine, and what it needs.
//!
//! | file | question |
//! |---|---|
//! | `machine` | which transitions lead from state to state? |
//! | `state` | which states are there? |
//! | `modes` | which flags change how messages are received and sent? |
//! | `rare` | which state do only few connections need? |
//! | `reserved` | what is reserved for a fixed number of connections? |
//! | `status` | what can a driver ask about a connection? |
//! | `event` | what has been received, for the application? |
//! | `receive` | how do bytes from the peer become events? |
//! | `handshake` | how is the opening handshake received? |
//! | `http` | how are several requests answered, and long responses sent? |
//! | `undecided` | what travels with a request that another driver answers? |
//! | `pause` | which bytes does the application get later? |
//! | `inbox` | what has arrived of something incomplete? |
//! | `partial_message` | how do fragments become a message? |
//! | `inflate` | how is a compressed message delivered in pieces? |
//! | `send` | how do messages become bytes to the peer? |
//! | `compress` | which messages are compressed? |
//! | `prepared` | how is a message for many receivers encoded once? |
//! | `outbox` | which bytes are unsent? |
//! | `byte_queue` | how are the bytes of an outbox stored? |
//! | `deadlines` | when is something due, and what happens then? |
//! | `message` | what is a message? |
//! | `error` | why is a send refused, and why does a connection end? |
//! | `trace` | how is recorded what happens in a connection? |
//! | `fast` | how are short messages received and sent faster? |
//! | `shared` | what do all connections of a loop share? |
//! | `byte_string` | how are vectors of bytes written for another process? |
//! | `carried` | what goes to another process of an open connection? |
//! | `pools` | which buffers are kept for reuse? |
//! | `budget` | how much memory may all connections hold together? |
//! | `growing` | when does the budget count an inbox or outbox again? |
//! | `shared_bytes` | how are bytes counted that several outboxes hold? |
//! | `counters` | how much has been sent and received? |
//! | `random` | where do random numbers come from? |
//!
//! `fast_tests` has the unit tests of `fast`. Miri leaves them out: they take minutes there.

mod budget;
mod byte_queue;
#[cfg(feature = "handover")]
pub(crate) mod byte_string;
#[cfg(feature = "handover")]
mod carried;
mod compress;
mod counters;
mod deadlines;
mod error;
mod event;
#[cfg(not(lariat_plain))]
mod fast;
#[cfg(all(test, not(lariat_plain), not(miri)))]
mod fast_tests;
mod growing;
mod handshake;
mod http;
mod inbox;
mod inflate;
mod machine;
mod message;
mod modes;
mod outbox;
mod partial_message;
mod pause;
mod pools;
mod prepared;
mod random;
mod rare;
mod receive;
mod reserved;
mod send;
mod shared;
mod shared_bytes;
mod state;
mod status;
mod trace;
mod undecided;

pub use budget::Mark;
#[cfg(feature = "handover")]
pub use carried::{Carried, CarriedReason, Malformed};
pub use counters::{Counters, Flow, Traffic};
pub use error::{CloseReason, SendError, Timeout};
pub use event::Event;
#[cfg(not(lariat_plain))]
pub use fast::{LONGEST_RUN, Run};
pub use machine::Connection;
pub(crate) use machine::check_close;
pub use message::{Message, OwnedMessage, Position};
use modes::Modes;
pub use outbox::JOINED;
use outbox::SHARE_FROM;
pub use prepared::Prepared;
pub(crate) use reserved::{Reserved, reserved_memory};
pub use shared::Shared;
pub use shared_bytes::SharedBytes;
pub use state::{ReadyState, State};
pub use trace::{Side, Trace};
pub use undecided::Undecided;
