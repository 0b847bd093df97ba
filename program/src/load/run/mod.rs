//! How one process turns its loop, and how several share the work.
//!
//! | file | question |
//! |---|---|
//! | `turns` | how does one process do its part of a run? |
//! | `seconds` | what did all processes do in one second? |
//! | `worker` | what does a worker tell its parent? |
//! | `workers` | how do several workers share one run? |
//! | `children` | how are workers processes of this host? |
//! | `progress` | how far has the run come, and what has happened? |

mod children;
mod progress;
mod seconds;
mod turns;
mod worker;
mod workers;

pub(crate) use children::{ChildWorker, interrupt, run_processes, thread};
pub(crate) use progress::{PHASES, Progress};
pub(crate) use turns::{Watcher, run_part};
pub(crate) use worker::{FromWorker, Worker};
pub(crate) use workers::{Heard, Link, run_workers};
