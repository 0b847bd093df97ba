//! The connections of a run, and what they do.
//!
//! ```text
//!  Opening ─► Opened ─► Holding ─► Awaiting ─► Held ─► Closing
//!     all      (others   sends,     what is     (read    closes
//!   attempts    start    churns     still on     what     all
//!   settled    as well)             the way      was used)
//! ```
//!
//! A [`Handler`](lariat::Handler) whose clients are connections to servers. It opens and holds
//! them, sends, and counts what comes back.
//!
//! | file | question |
//! |---|---|
//! | `pacer` | when is the next thing due, at a given rate? |
//! | `pending` | which messages have not come back yet? |
//! | `publications` | who has received what was published? |
//! | `follower` | which positions has a subscriber received? |
//! | `walker` | where is a connection in its scenario? |
//! | `search` | what is the highest rate that keeps a bound? |
//! | `conn` | what is known of one connection? |
//! | `states` | where does a run stand, and how did it end? |
//! | `machine` | what does the driver know, and what is due next? |
//! | `tallies` | what has become of the steps of a scenario? |
//! | `walks` | what do connections do in the scenario? |
//! | `hearing` | what do walkers do with messages? |
//! | `opening` | how are connections begun and closed? |
//! | `holding` | what is due while connections are held? |
//! | `ending` | what happens when sending ends? |
//! | `messages` | what is sent, and what comes back of it? |
//! | `storms` | which connections are cut at once, and when are they back? |
//! | `walking` | what happens to a connection that walks through a scenario? |
//! | `handler` | what happens when the loop reports an event? |

mod conn;
mod ending;
mod follower;
mod handler;
mod hearing;
mod holding;
mod machine;
mod messages;
mod opening;
mod pacer;
mod pending;
mod publications;
mod search;
mod states;
mod storms;
mod tallies;
mod walker;
mod walking;
mod walks;

pub(crate) use conn::Conn;
pub(crate) use machine::Driver;
pub(crate) use states::{Ended, RunState};
