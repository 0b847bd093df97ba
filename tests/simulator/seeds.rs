//! Which seeds are run, and has enough been tested?

use std::collections::BTreeMap;
use std::env;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// As many runs as take a few seconds.
pub const SEEDS: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

/// What has come of a run.
pub trait Outcome: Debug {
    /// Where it differs from the model.
    fn wrongs(&self) -> &[String];
}

/// What has come of a run that counts what it has tested.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub fingerprint: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub wrongs: Vec<String>,
}

impl Outcome for Verdict {
    fn wrongs(&self) -> &[String] {
        &self.wrongs
    }
}

pub fn from_environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

/// Runs all seeds, and notes what has come of each. Returns their number. If the variable names a
/// seed, it alone is run, and its events are printed. The result is 0 then.
#[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
pub fn each_seed<V: Outcome>(variable: &'static str, run: impl Fn(u64, bool) -> V, mut note: impl FnMut(V)) -> u64 {
    if let Some(seed) = from_environment(variable) {
        let verdict = run(seed, true);
        println!("{verdict:#?}");
        assert!(verdict.wrongs().is_empty(), "seed {seed}");
        return 0;
    }
    let (start, limit) = (Instant::now(), from_environment("LARIAT_SIM_SECONDS").map(Duration::from_secs));
    let first = if limit.is_some() { u64::from(std::process::id()) << 32 } else { 0 };
    let mut seeds = 0;
    while limit.map_or(seeds < SEEDS, |limit| start.elapsed() < limit) {
        let seed = first + seeds;
        let replay = Replay { variable, seed };
        let verdict = run(seed, false);
        std::mem::forget(replay);
        assert!(verdict.wrongs().is_empty(), "{variable}={seed} replays this: {:#?}", verdict.wrongs());
        seeds += 1;
        note(verdict);
    }
    println!("{seeds} seeds from {first}, {:.0} a second", seeds as f64 / start.elapsed().as_secs_f64());
    seeds
}

/// Names the seed of a run that panics.
struct Replay {
    variable: &'static str,
    seed: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        eprintln!("{}={} replays this", self.variable, self.seed);
    }
}

/// Runs all seeds. Each of these must have happened in every twentieth run, on average.
pub fn each_seed_tests(variable: &'static str, run: impl Fn(u64, bool) -> Verdict, what: &[&str]) {
    let mut counts = BTreeMap::<&str, u64>::new();
    let seeds = each_seed(variable, run, |verdict| {
        for (what, count) in verdict.counts {
            *counts.entry(what).or_default() += count;
        }
    });
    println!("{counts:?}");
    for what in what.iter().filter(|_| seeds > 0) {
        let count = counts.get(what).copied().unwrap_or_default();
        assert!(count * 20 > seeds, "this was tested too little: {what}, {count} times");
    }
}
