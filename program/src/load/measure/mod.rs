//! What happened in a run, and what client and server used.
//!
//! | file | question |
//! |---|---|
//! | `latency` | how long did things take? |
//! | `buckets` | how many times lie between fixed bounds? |
//! | `problems` | what went wrong, how often, and what does it mean? |
//! | `measurements` | what has one process measured so far? |
//! | `process` | what does a process on this host use, and which process is the server? |
//! | `record` | what did one process measure, or several together? |
//! | `report` | what is in the report? |
//!
//! `schema_tests` compares `report` with docs/load-report.schema.json.

mod buckets;
mod latency;
mod measurements;
mod problems;
pub(crate) mod process;
mod record;
mod report;

pub(crate) use buckets::{BOUNDS_US, Buckets};
pub(crate) use latency::{Latency, Summary};
pub(crate) use measurements::Measurements;
pub(crate) use problems::Problem;
pub(crate) use process::own_memory;
pub(crate) use record::{NONE_OPENED, Record};
pub(crate) use report::{
    Asked, Client, Compression, Detail, ErrorCount, Expected, Histograms, Latencies, Limit, Malformed, Pairs, Report,
    ScenarioStep, Search, Second, Server, Step, Storm, Walked,
};

#[cfg(test)]
mod schema_tests;
