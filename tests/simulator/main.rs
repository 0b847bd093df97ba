//! Compares the server with a model, with random peers, applications and network faults: thousands
//! of runs, each from one seed.
//!
//! `LARIAT_SEED=7 cargo test --test simulator -- --nocapture` replays one run and prints its
//! events. `LARIAT_SIM_SECONDS=3600 cargo test --release --test simulator -- --nocapture` runs new
//! seeds for this many seconds and counts them.

#![allow(missing_docs)]

mod application;
mod bugs;
mod fairness;
mod held;
mod run;

use run::run;
use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

/// As many runs as take a few seconds.
const SEEDS: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

fn from_environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn every_run_agrees_with_the_model() {
    if let Some(seed) = from_environment("LARIAT_SEED") {
        let verdict = run(seed, true);
        println!("{verdict:#?}");
        assert!(verdict.wrongs.is_empty(), "seed {seed}");
        return;
    }
    let (start, limit) = (Instant::now(), from_environment("LARIAT_SIM_SECONDS").map(Duration::from_secs));
    let first = if limit.is_some() { u64::from(std::process::id()) << 32 } else { 0 };
    let (mut seeds, mut opened, mut messages) = (0, 0, 0);
    let mut defences: BTreeMap<&str, u64> = BTreeMap::new();
    while limit.map_or(seeds < SEEDS, |limit| start.elapsed() < limit) {
        let seed = first + seeds;
        let verdict = run(seed, false);
        assert!(verdict.wrongs.is_empty(), "LARIAT_SEED={seed} replays this: {:#?}", verdict.wrongs);
        seeds += 1;
        opened += verdict.opened;
        messages += verdict.messages;
        for (defence, count) in verdict.defences {
            *defences.entry(defence).or_default() += count;
        }
    }
    let rate = seeds as f64 / start.elapsed().as_secs_f64();
    println!("{seeds} seeds from {first}, {rate:.0} a second: {opened} conversations, {messages} messages");
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
