//! Experiments with bytes: a client that does what a list of steps says, and reports what comes
//! back.
//!
//! | file | question |
//! |---|---|
//! | `experiment` | what does an experiment do, and what may it cost? |
//! | `report` | what has happened in an experiment? |
//! | `running` | how far is an experiment? |
//! | `worker` | who runs all experiments? |
//! | `aside` | who does what a handler must not wait for? |
//! | `threads` | what does a server with a thread for each client need? |
//! | `elsewhere` | what if the platform has no socket pairs? |
//!
//! `running_tests` has the unit tests of `running`.

mod aside;
#[cfg(not(unix))]
mod elsewhere;
mod experiment;
mod report;
#[cfg(unix)]
mod running;
#[cfg(all(test, unix))]
mod running_tests;
#[cfg(unix)]
mod threads;
#[cfg(unix)]
mod worker;

pub(crate) use aside::aside;
#[cfg(not(unix))]
pub(crate) use elsewhere::Lab;
pub(crate) use experiment::{Experiment, MOST_BYTES, MOST_RUNNING, Step, Unfit};
pub(crate) use report::{Report, Seen};
#[cfg(unix)]
pub(crate) use threads::{Clients as ManyClients, Comparison, MOST_CLIENTS, thread_number};
#[cfg(unix)]
pub(crate) use worker::Lab;
