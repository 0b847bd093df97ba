//! Compares the server with a model, with random peers, applications and network faults: thousands
//! of runs, each from one seed. One of four is over TLS.
//!
//! `LARIAT_SEED=7 cargo test --test simulator -- --nocapture` replays one run and prints its
//! events. `LARIAT_SIM_SECONDS=3600 cargo test --release --test simulator -- --nocapture` runs new
//! seeds for this many seconds and counts them. `servers` does the same with several servers that
//! share topics; `LARIAT_SERVERS_SEED=7` replays one of its runs. `loops` does it with one server
//! that has several loops; `LARIAT_LOOPS_SEED=7` replays one of its runs.

#![allow(missing_docs)]

mod application;
mod bugs;
mod fairness;
mod held;
mod judge;
mod loops;
mod run;
mod secured;
mod seeds;
mod servers;

use run::{Verdict, run};
use seeds::{Outcome, SEEDS, each_seed};
use std::collections::BTreeMap;
use std::env;

impl Outcome for Verdict {
    fn wrongs(&self) -> &[String] {
        &self.wrongs
    }
}

#[test]
fn every_run_agrees_with_the_model() {
    let (mut secured, mut opened, mut messages) = (0, 0, 0);
    let mut defences: BTreeMap<&str, u64> = BTreeMap::new();
    let seeds = each_seed("LARIAT_SEED", run, |verdict| {
        secured += u64::from(verdict.is_secured);
        opened += verdict.opened;
        messages += verdict.messages;
        for (defence, count) in verdict.defences {
            *defences.entry(defence).or_default() += count;
        }
    });
    if seeds == 0 {
        return;
    }
    println!("{opened} conversations, {messages} messages; {secured} seeds over TLS");
    println!("{defences:?}");
    assert!(defences.values().all(|count| *count > 0), "not all defences were tested: {defences:?}");
    assert!(opened as u64 > seeds && messages as u64 > 10 * seeds, "the runs have become too short to show anything");
}

/// Writes the fingerprint of each run to the file that `LARIAT_FINGERPRINTS` names. A build with
/// the fast paths and one without them (`--cfg lariat_plain`) must write the same file: the server
/// then read and wrote the same bytes at the same times.
#[test]
fn fingerprints() {
    let Ok(path) = env::var("LARIAT_FINGERPRINTS") else { return };
    let lines: Vec<String> = (0..SEEDS).map(|seed| format!("{seed} {:016x}\n", run(seed, false).fingerprint)).collect();
    std::fs::write(path, lines.concat()).expect("a file");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..50 {
        assert_eq!(run(seed, false), run(seed, false));
    }
    assert_ne!(run(1, false).fingerprint, run(2, false).fingerprint);
}
