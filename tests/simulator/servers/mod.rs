//! Several servers with one engine between them. Connections, messages, servers and the engine's
//! memory are lost, and a model says what every client must hear.
//!
//! `LARIAT_SERVERS_SEED=7 cargo test --test simulator servers -- --nocapture` replays one run and
//! prints its events.
//!
//! | file | question |
//! |---|---|
//! | `room` | what does the application do? |
//! | `truth` | what is known of all servers together? |
//! | `person` | what must a client hear next? |
//! | `world` | what happens at random? |
//! | `acts` | what do people do at random? |
//! | `settle` | what must be true when everything has arrived? |
//! | `bugs` | what has gone wrong once? |

mod acts;
mod bugs;
mod person;
mod room;
mod settle;
mod truth;
mod world;

use crate::seeds::each_seed_tests;
use settle::run;

#[test]
fn every_run_of_several_servers_agrees_with_the_model() {
    each_seed_tests("LARIAT_SERVERS_SEED", run, &WHAT);
}

/// What must have happened.
const WHAT: [&str; 20] = [
    "starts",
    "kills",
    "cuts",
    "restores",
    "loses",
    "doubles",
    "forgets",
    "leaves",
    "moved",
    "came back",
    "confirmed",
    "confirmed again",
    "unknown",
    "away",
    "kept",
    "gaps, lost",
    "gaps, forgotten",
    "gaps, made up",
    "plain",
    "plain gaps",
];

#[test]
fn the_same_seed_gives_the_same_run_of_several_servers() {
    for seed in 0..50 {
        assert_eq!(run(seed, false), run(seed, false));
    }
    assert_ne!(run(1, false).fingerprint, run(2, false).fingerprint);
}
