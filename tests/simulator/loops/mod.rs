//! One server with several loops. Clients ask for loops, publish, and leave; and a model says what
//! each of them must hear.
//!
//! `LARIAT_LOOPS_SEED=7 cargo test --test simulator loops -- --nocapture` replays one run and
//! prints its events.
//!
//! | file | question |
//! |---|---|
//! | `app` | what does the application do? |
//! | `person` | what does a client say, and what may it hear next? |
//! | `world` | what happens at random? |
//! | `judge` | what must be true when everything has arrived? |
//! | `simulated` | what does a simulated server promise beside that? |

mod app;
mod judge;
mod person;
mod simulated;
mod world;

use crate::seeds::each_seed_tests;
use world::run;

#[test]
fn every_run_of_several_loops_agrees_with_the_model() {
    each_seed_tests("LARIAT_LOOPS_SEED", run, &WHAT);
}

/// What must have happened.
const WHAT: [&str; 21] = [
    "phases of connects",
    "requests that move",
    "requests that stay",
    "upgrades that move",
    "upgrades that stay",
    "messages behind an upgrade that moves",
    "messages",
    "publications on the loop",
    "publications across loops",
    "broadcasts on the loop",
    "broadcasts across loops",
    "letters",
    "full queues",
    "full",
    "resets",
    "hang-ups",
    "closes",
    "half-closes",
    "slow consumers",
    "members that were told of a loss",
    "shutdowns",
];

#[test]
fn the_same_seed_gives_the_same_run_of_several_loops() {
    for seed in 0..50 {
        assert_eq!(run(seed, false), run(seed, false));
    }
    assert_ne!(run(1, false).fingerprint, run(2, false).fingerprint);
}
