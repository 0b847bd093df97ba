//! Tests of the promises under load: memory is bounded, no client suffers because of others,
//! everything ends, nothing is lost silently, and everything is counted. `docs/promises.md` has a
//! table of promises, mechanisms and tests.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod admission;
mod conflation;
mod deadlines;
mod fairness;
mod held_back;
mod http;
mod kernel;
mod kit;
mod memory;
mod metrics;
mod pause;
mod pressure;
mod rates;
mod responses;
mod slow;
mod small;
