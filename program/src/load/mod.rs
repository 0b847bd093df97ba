//! How a server behaves under load: how many connections it holds, how fast it answers, and what
//! limits it.
//!
//! Latencies count from the intended time of a message. So if a server stalls for a second, its
//! percentiles show a second, and not a pause in the measurement.
//! `measure/report.rs` documents what `--json` writes.
//!
//! Each room imports only from those above it.
//!
//! | room | question |
//! |---|---|
//! | `measure` | what has happened, and what did client and server use? |
//! | `plan` | what do the options ask for, and what follows from them? |
//! | `driver` | what do the connections do? |
//! | `run` | how does one process turn its loop, and how do several share the work? |
//! | `output` | how is the report shown, and what limited the run? |
//! | `observer` | how do measurements become a report? |
//! | `command` | what does `lariat load` do, from its options to its exit code? |

mod command;
mod driver;
mod measure;
mod observer;
mod output;
mod plan;
mod run;

pub(crate) use command::run;
pub(crate) use measure::Problem;
pub(crate) use plan::Options;
