//! Compares our implementation with tungstenite.
//!
//! A seed creates a conversation: messages, fragments, control frames, and mostly a violation at
//! its end. The same bytes, cut at random, go through tungstenite's `WebSocketContext` and through
//! our `Connection`. Both have the same role. The events before the end must be those of the
//! generator. The output and the failure must be the same (see `code_of`). Where the
//! implementations differ, they must differ exactly as [`Difference`](conversation::Difference)
//! says.
//!
//! `conversation` creates conversations. `judges` runs both implementations. `received` compares
//! what they receive and `sending` what they send. `opening` compares the servers that they accept
//! as clients, with `answers` from a seed. `regressions` has a test for each bug found.
//!
//! `LARIAT_SEED=7 cargo test --test oracle -- --nocapture` replays one conversation of each test
//! and prints it.

mod answers;
mod conversation;
mod judges;
#[path = "../kit/mod.rs"]
mod kit;
mod opening;
mod received;
mod regressions;
mod sending;

use lariat::protocol::Role;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Returns the seeds to run: the one from the environment, or else `0..count`.
fn seeds(count: u64) -> std::ops::Range<u64> {
    match replayed() {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// Returns the seed from the environment.
fn replayed() -> Option<u64> {
    let seed = std::env::var("LARIAT_SEED").ok()?;
    Some(seed.parse().expect("LARIAT_SEED is a number"))
}

/// Runs a test with a seed. If the test fails, this prints how to replay it.
fn with_seed(seed: u64, conversation: &dyn std::fmt::Display, test: impl FnOnce()) {
    if replayed().is_some() {
        println!("{conversation}");
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(test)) {
        eprintln!("LARIAT_SEED={seed} replays this conversation:\n{conversation}");
        resume_unwind(panic);
    }
}
