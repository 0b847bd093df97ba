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
//! | `content` | what do connections say, and how does it differ? |
//! | `scenario` | what does each connection do, step by step? |
//! | `plan` | what do the options ask for, and what follows from them? |
//! | `driver` | what do the connections do? |
//! | `hostile` | what does the server do with clients that break the rules? |
//! | `run` | how does one process turn its loop, and how do several share the work? |
//! | `agents` | how do several hosts share the work? |
//! | `metrics` | what do other programs see of it meanwhile? |
//! | `ui` | what does a person see of it meanwhile? |
//! | `output` | how is the report shown, and what limited the run? |
//! | `compose` | how do measurements become a report, and a report measurements? |
//! | `observer` | what is seen of a run while it goes on? |
//! | `read` | is this file a report? |
//! | `merge` | what do the reports of several machines add up to? |
//! | `compare` | is a server better or worse than before, beyond noise? |
//! | `command` | what does `lariat load` do, from its options to its exit code? |

mod agents;
mod command;
mod compare;
mod compose;
mod content;
mod driver;
mod hostile;
mod measure;
mod merge;
mod metrics;
mod observer;
mod output;
mod plan;
mod read;
mod run;
mod scenario;
mod ui;

pub(crate) use command::{Arguments, run};
pub(crate) use measure::Problem;
