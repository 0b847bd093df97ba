//! What an application can do with its clients.
//!
//! All calls only queue: bytes into outboxes, clients into the queues of the loop. The end of the
//! turn writes and removes. So every method can be called in every callback.
//!
//! | file | question |
//! |---|---|
//! | `clients` | what belongs to all clients? |
//! | `one` | what can be done with one client? |
//! | `handle` | how is one client used with its data? |
//! | `many` | what can be done with many clients at once? |
//! | `memberships` | who has joined and left topics? |
//! | `slow` | what happens to clients that read too slowly? |
//! | `time` | how are timers set? |
//! | `http` | how is a response streamed? |
//! | `connect` | how does a loop connect to other servers? |
//! | `adopt` | how is a stream served that the application has accepted? |
//! | `peers` | what do the loops of a server share? |
//! | `handed` | how does a connection get from one loop to another? |
//! | `beyond` | what does a loop keep of other loops and servers? |
//! | `hub` | what do a server's loops and its backplane tell each other? |
//! | `log` | which messages of a topic does this server know? |
//! | `kept` | what does a loop know of topics with a history, and who waits for them? |
//! | `servers` | what can be done with topics of several servers? |
//! | `ask` | how are all loops asked? |
//! | `pause` | how is a client held back? |
//! | `reserved` | which memory is reserved for clients? |
//! | `admission` | who may connect? |
//! | `rates` | how much may a client send in a second? |
//! | `bucket` | what is a token bucket? |
//! | `pressure` | what happens when memory runs short? |
//! | `shutdown` | how does a server stop? |
//! | `remote` | how does another thread reach the loop? |
//! | `event` | what does another thread tell the handler? |
//! | `queue` | what waits until the loop runs it? |
//! | `trace` | how is a connection traced? |
//! | `watch` | how is the loop watched and slowed down? |
//! | `stats` | what has the server done so far? |
//! | `carried` | what has another process to know of a client? |
//! | `fast` | which of these calls have a fast path? |

mod admission;
mod adopt;
mod ask;
mod beyond;
mod bucket;
#[cfg(all(unix, feature = "handover"))]
mod carried;
mod clients;
mod connect;
mod event;
#[cfg(not(lariat_plain))]
mod fast;
mod handed;
mod handle;
mod http;
mod hub;
mod kept;
mod log;
mod many;
mod memberships;
mod one;
mod pause;
mod peers;
mod pressure;
mod queue;
mod rates;
mod remote;
mod reserved;
mod servers;
mod shutdown;
mod slow;
mod stats;
mod time;
mod trace;
mod watch;

pub(crate) use admission::Verdict;
pub use adopt::Adopted;
#[cfg(all(unix, feature = "handover"))]
pub(crate) use carried::{Known, Told};
pub use clients::Clients;
pub use connect::ConnectOptions;
pub use event::Event;
pub(crate) use handed::{Asking, Handed, Leaving, OwnedRequest};
pub use handle::ClientHandle;
pub use hub::BackplaneStatus;
pub(crate) use hub::{Heard, KeepAlive};
pub(crate) use kept::Replay;
pub use kept::{Audience, Since};
pub(crate) use peers::{MOST_LOOPS, Peers};
pub use queue::RemoteError;
pub(crate) use queue::{Act, Call, Queue};
pub use remote::{NotPosted, NotRun, Remote};
pub use shutdown::Outcome;
pub use slow::SlowConsumer;
