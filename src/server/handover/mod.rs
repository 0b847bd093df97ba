//! What one process tells the next one, so that it takes over all connections.
//!
//! ```text
//!  new                               old
//!   │ Hello: versions, parts ────────►│ prepare: serves as before
//!   │◄── Offer: listening sockets ─────│
//!   │ Ready: its handlers exist ──────►│ freeze, at the end of a turn
//!   │◄── Loop, Shared, Clients.. ──────│ transfer: descriptors in batches
//!   │ Received, for each batch ───────►│
//!   │◄── End: the token ───────────────│ may still go on as if nothing had happened
//!   │ takes the token ─ commit         │
//!   │ Taken ──────────────────────────►│ drains what has stayed behind, and exits
//! ```
//!
//! The token is a byte in a pipe that both processes can read. Whoever reads it owns all
//! connections. So at no time do both serve them, and at no time neither: a process that hears
//! nothing from the other one tries to read the token itself.
//!
//! | file | question |
//! |---|---|
//! | `error` | why did a handover fail? |
//! | `format` | what is in the messages? |
//! | `link` | how do messages and descriptors cross a Unix socket? |
//! | `token` | who owns the connections? |
//! | `giving` | how does the old process hand over, with all its loops? |
//! | `taking` | how does the new process take over, with all its loops? |

mod error;
mod format;
mod giving;
mod link;
mod taking;
mod token;

pub use error::HandoverError;
pub(crate) use format::{
    ClientRecord, ConflatedRecord, CountersRecord, FlowRecord, HistogramRecord, LoopEnd, LoopHead, Message, RareRecord,
    RatesRecord, SavedRoutes, TimerRecord, TopicRecord,
};
pub(crate) use giving::{Batches, Counts, Giving, Offered, Verdict, meet};
#[cfg(feature = "sim")]
pub(crate) use link::decode;
pub(crate) use link::{BATCH, Link};
pub use taking::Predecessor;
pub(crate) use taking::{Inherited, Taking};
