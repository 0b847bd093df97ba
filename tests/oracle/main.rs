//! Is our judgement that of tungstenite?
//!
//! A seed makes a conversation: messages, fragments, control frames, and most often a violation at
//! its end. The same bytes, cut at random, go through tungstenite's `WebSocketContext` and through
//! our `Connection`, both as the server or both as the client. What comes out before the end must
//! be what the generator put in, what is sent must be the same, and the failure must be the same
//! too, by `code_of`. Where the two differ they must differ in exactly the way that
//! [`Difference`](conversation::Difference) says.
//!
//! `conversation` makes conversations, `judges` are the two through whom they go, `received`
//! compares them; `sending` compares what both say; `opening` whom they believe as clients, with
//! `answers` from a seed; `regressions` has what was found.
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

/// The seeds to run: one, if the environment names it, else `0..count`.
fn seeds(count: u64) -> std::ops::Range<u64> {
    match replayed() {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// The seed that the environment names.
fn replayed() -> Option<u64> {
    let seed = std::env::var("LARIAT_SEED").ok()?;
    Some(seed.parse().expect("LARIAT_SEED is a number"))
}

/// Runs a test with a seed, and prints what replays it if it fails.
fn with_seed(seed: u64, conversation: &dyn std::fmt::Display, test: impl FnOnce()) {
    if replayed().is_some() {
        println!("{conversation}");
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(test)) {
        eprintln!("LARIAT_SEED={seed} replays this conversation:\n{conversation}");
        resume_unwind(panic);
    }
}
