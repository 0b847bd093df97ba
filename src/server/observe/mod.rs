//! What is counted and measured. Data and formats only.
//!
//! | file | question |
//! |---|---|
//! | `stats` | what has the server done so far, and how is it? |
//! | `logged` | what does the log say of a connection when it closes? |
//! | `prometheus` | how does a monitoring system read that? |
//! | `reports` | when may something be reported that anybody can cause? |
//! | `sum` | what have several loops done together? |
//! | `carried` | how do counters get to another process? |
//! | `watch` | what does the loop do, turn by turn? |

#[cfg(all(unix, feature = "handover"))]
mod carried;
mod logged;
mod prometheus;
mod reports;
mod stats;
mod sum;
mod watch;

pub(crate) use logged::Logged;
pub(crate) use reports::{Refusals, Reports};
#[cfg(feature = "handover")]
pub use stats::Handovers;
pub(crate) use stats::LoopCounters;
pub use stats::{Cause, Connections, Histogram, Stats};
pub(crate) use watch::{Aside, STEP, Watch};
pub use watch::{Glance, Pace, Phase, Turn, Turns, Waiting};
