//! How one process turns its loop, and how several share the work.
//!
//! | file | question |
//! |---|---|
//! | `turns` | how does one process do its part of a run? |
//! | `seconds` | what did all processes do in one second? |
//! | `workers` | how do several processes share one run? |
//! | `progress` | how far has the run come, and what has happened? |

mod progress;
mod seconds;
mod turns;
mod workers;

pub(crate) use progress::{PHASES, Progress};
pub(crate) use turns::{Watcher, run_part};
pub(crate) use workers::{Worker, interrupt, run_workers};
