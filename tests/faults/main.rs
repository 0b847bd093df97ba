//! Promises under load: memory is bounded, nobody suffers for others, everything ends, nothing is
//! lost silently, and all of it is counted. ARCHITECTURE.md has the table of promises, mechanisms
//! and these tests.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod admission;
mod conflation;
mod deadlines;
mod fairness;
mod kernel;
mod kit;
mod memory;
mod metrics;
mod pressure;
mod rates;
mod slow;
