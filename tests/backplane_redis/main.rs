//! Topics that servers share through Redis, with a real `redis-server`.
//!
//! Where there is none, the tests say so and pass, unless `LARIAT_REDIS_SERVER` is set.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod foreign;
mod history;
mod large;
mod losses;
mod plain;
mod presence;
mod refusals;
#[cfg(feature = "tls-ring")]
mod secured;
