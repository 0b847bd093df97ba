//! What an application can do with its clients.
//!
//! Everything here only queues: bytes into outboxes, clients into the queues of the loop. The end
//! of the turn writes and removes. That is why every method can be called from every callback.
//!
//! | file | question |
//! |---|---|
//! | `clients` | what is there for all clients, and how does the loop keep it up to date? |
//! | `one` | what can be done with one client? |
//! | `many` | what can be done with many clients at once? |
//! | `slow` | what about clients that read more slowly than they are sent to? |
//! | `time` | what can be done later? |
//! | `connect` | how does a loop connect to other servers? |
//! | `admission` | who may come in, and how much may they say? |
//! | `pressure` | what if memory runs short? |
//! | `shutdown` | how does a server stop? |
//! | `remote` | how does another thread reach the loop? |
//! | `trace` | who is told a client's story? |
//! | `watch` | who is told what the loop does, and can it be slowed down? |
//! | `stats` | what has the server done so far? |
//! | `fast` | which of these have a fast path? |

mod admission;
mod clients;
mod connect;
#[cfg(not(lariat_plain))]
mod fast;
mod many;
mod one;
mod pressure;
mod remote;
mod shutdown;
mod slow;
mod stats;
mod time;
mod trace;
mod watch;

pub(crate) use admission::Verdict;
pub use clients::Clients;
pub use connect::ConnectOptions;
pub(crate) use remote::Queue;
pub use remote::{NotRun, Remote, RemoteError};
pub use shutdown::Outcome;
pub use slow::SlowConsumer;
