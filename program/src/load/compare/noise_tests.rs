//! How often a comparison is wrong: many comparisons of runs of which the truth is known.

use super::sides::Side;
use super::values::values;
use super::verdict::{Row, Verdict, compare};
use crate::load::measure::{ErrorCount, Histograms, Pairs, Report, ScenarioStep, Second, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The tolerance of `lariat load diff` where none is given.
const TOLERANCE: f64 = 0.02;

const SEEDS: u64 = 200;

/// A server: how fast it is, and how runs and seconds of it differ.
#[derive(Clone, Copy)]
struct Truth {
    /// A factor of all times.
    slowness: f64,
    /// The standard deviation of the logarithm of times: of runs, and of seconds in a run.
    runs: f64,
    seconds: f64,
    /// How much of it a second has from the second before it.
    likeness: f64,
    errors: f64,
    length_s: u32,
}

const SERVER: Truth = Truth { slowness: 1.0, runs: 0.0, seconds: 0.05, likeness: 0.0, errors: 0.002, length_s: 20 };

/// Returns two numbers of the standard normal distribution.
fn normals(random: &mut StdRng) -> [f64; 2] {
    let (radius, angle): (f64, f64) = (random.random_range(1e-12..1.0), random.random_range(0.0..1.0));
    let (sine, cosine) = (angle * std::f64::consts::TAU).sin_cos();
    [cosine, sine].map(|part| (-2.0 * radius.ln()).sqrt() * part)
}

fn normal(random: &mut StdRng) -> f64 {
    normals(random)[0]
}

/// Returns times in nanoseconds around 100 us, in order.
fn times(random: &mut StdRng, count: u64, slowness: f64) -> Vec<u64> {
    let time = |normal: f64| (1e5 * slowness * (0.3 * normal).exp()) as u64;
    let mut times: Vec<u64> = (0..count.div_ceil(2)).flat_map(|_| normals(random).map(time)).collect();
    times.sort_unstable();
    times
}

/// Returns each time with its count.
fn pairs(mut times: Vec<u64>) -> Pairs {
    times.sort_unstable();
    times.chunk_by(|one, other| one == other).map(|equal| (equal[0], equal.len() as u64)).collect()
}

/// Makes the report of a run of that server.
fn run(truth: Truth, seed: u64) -> Report {
    let random = &mut StdRng::seed_from_u64(seed);
    let of_run = truth.slowness * (truth.runs * normal(random)).exp();
    let mut trips = Vec::new();
    let mut report = Report { ended: "complete".to_owned(), ..Report::default() };
    report.asked.mode = "echo".to_owned();
    let [connect, handshake] = [(); 2].map(|()| pairs(times(random, 500, of_run)));
    let mut drift = normal(random);
    for at in 1..=truth.length_s {
        drift = truth.likeness * drift + (1.0 - truth.likeness.powi(2)).sqrt() * normal(random);
        let slowness = of_run * (truth.seconds * drift).exp();
        let count = (100.0 / slowness) as u64 * 2;
        let second = times(random, count, slowness);
        let micros = |share: f64| second[(count as f64 * share) as usize] as f64 / 1e3;
        let errors = (0..count).filter(|_| random.random_bool(truth.errors)).count() as u64;
        report.series.push(Second {
            at_s: at.into(),
            length_s: 1.0,
            sent: count,
            received: count,
            errors,
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            ..Second::default()
        });
        (report.messages.sent, report.messages.received) =
            (report.messages.sent + count, report.messages.received + count);
        report.errors.push(ErrorCount { count: errors, ..ErrorCount::default() });
        trips.extend(second);
    }
    report.messages.per_second = report.messages.sent as f64 / f64::from(truth.length_s);
    let trips = pairs(trips);
    let histogram = trips.clone();
    report.steps = vec![ScenarioStep { line: 1, text: "send".to_owned(), histogram, ..ScenarioStep::default() }];
    report.server = Some(Server {
        cpu_ns_per_message: Some(5_000.0 * of_run),
        memory_bytes_per_connection: Some(130.0 * of_run),
        ..Server::default()
    });
    report.histograms = Histograms { connect, handshake, round_trip: trips, ..Histograms::default() };
    report
}

/// Compares so many runs of each server.
fn comparison(old: Truth, new: Truth, runs: u64, seed: u64) -> Vec<Row> {
    let side = |truth, salt| Side((0..runs).map(|number| values(&run(truth, seed * 1_000 + salt + number))).collect());
    compare(&side(old, 0), &side(new, 500), TOLERANCE)
}

/// Returns how often each metric is called better, and worse.
fn frequencies(old: Truth, new: Truth, runs: u64, seeds: u64) -> Vec<(String, [u64; 2])> {
    let mut sums: Vec<(String, [u64; 2])> = Vec::new();
    for seed in 0..seeds {
        for row in comparison(old, new, runs, seed) {
            let [better, worse] = [Verdict::Better, Verdict::Worse].map(|verdict| u64::from(row.verdict == verdict));
            match sums.iter_mut().find(|(name, _)| *name == row.metric) {
                Some((_, sum)) => *sum = [sum[0] + better, sum[1] + worse],
                None => sums.push((row.metric, [better, worse])),
            }
        }
    }
    sums
}

fn verdict_of<'a>(rows: &'a [Row], metric: &str) -> &'a Row {
    rows.iter().find(|row| row.metric == metric).unwrap_or_else(|| panic!("no {metric} in {rows:#?}"))
}

/// Checks that no metric is called different in more than 5 % of comparisons of equals.
fn check_equals(found: &[(String, [u64; 2])]) {
    assert!(found.len() >= 14, "{found:?}");
    let wrong: Vec<_> = found.iter().filter(|(_, sums)| sums.iter().any(|sum| *sum > SEEDS / 20)).collect();
    assert!(wrong.is_empty(), "[better, worse] of {SEEDS}: {wrong:?}");
}

#[test]
fn two_single_runs_of_one_server_are_seldom_called_different() {
    check_equals(&frequencies(SERVER, SERVER, 1, SEEDS));
}

#[test]
fn seconds_that_depend_on_those_before_them_are_seldom_called_different() {
    check_equals(&frequencies(Truth { likeness: 0.4, ..SERVER }, Truth { likeness: 0.4, ..SERVER }, 1, SEEDS));
}

#[test]
fn several_runs_of_one_server_that_differ_are_seldom_called_different() {
    let varying = Truth { runs: 0.1, length_s: 8, ..SERVER };
    check_equals(&frequencies(varying, varying, 3, SEEDS));
}

#[test]
fn a_server_that_is_slower_by_a_fifth_is_found() {
    let slower = Truth { slowness: 1.2, ..SERVER };
    let (worse, better) = (frequencies(SERVER, slower, 1, 40), frequencies(slower, SERVER, 1, 40));
    for metric in ["round_trip p50", "round_trip p90", "round_trip p99", "line 1 (send) p50", "messages per second"] {
        let of =
            |found: &[(String, [u64; 2])]| found.iter().find(|(name, _)| name == metric).expect("it is measured").1;
        assert!(of(&worse)[1] >= 38 && of(&better)[0] >= 38, "{metric}: {:?} {:?} of 40", of(&worse), of(&better));
    }
}

#[test]
fn several_runs_find_a_fifth_in_what_a_single_run_cannot_tell() {
    let (old, new) = (Truth { runs: 0.02, ..SERVER }, Truth { runs: 0.02, slowness: 1.2, ..SERVER });
    let single = comparison(old, new, 1, 1);
    for metric in ["server CPU per message", "server memory per connection", "connect p50", "handshake p99"] {
        let row = verdict_of(&single, metric);
        assert_eq!(row.verdict, Verdict::Unknown);
        assert!(row.why.as_ref().is_some_and(|why| why.contains("one run")), "{row:?}");
        assert!(row.change.is_some_and(|change| change.percent.is_some()));
        let found =
            (1..=20).filter(|seed| verdict_of(&comparison(old, new, 5, *seed), metric).verdict == Verdict::Worse);
        assert!(found.count() >= 19, "{metric}");
    }
}

#[test]
fn more_errors_are_found_even_from_none_and_in_one_burst() {
    let (none, many) = (Truth { errors: 0.0, ..SERVER }, Truth { errors: 0.02, ..SERVER });
    for (old, new, expected) in
        [(none, none, Verdict::Same), (none, many, Verdict::Worse), (many, none, Verdict::Better)]
    {
        let rows = comparison(old, new, 1, 3);
        assert_eq!(verdict_of(&rows, "errors per message").verdict, expected);
    }
    let mut burst = run(none, 4);
    burst.series[7].errors = 500;
    burst.errors = vec![ErrorCount { count: 500, ..ErrorCount::default() }];
    let sides = |old: &Report, new: &Report| compare(&Side(vec![values(old)]), &Side(vec![values(new)]), TOLERANCE);
    assert_eq!(verdict_of(&sides(&run(none, 5), &burst), "errors per message").verdict, Verdict::Worse);
    assert_eq!(verdict_of(&sides(&burst, &burst), "errors per message").verdict, Verdict::Same);
}

#[test]
fn a_change_within_the_tolerance_is_never_worse() {
    let slower = Truth { slowness: 1.2, ..SERVER };
    let sides = [SERVER, slower].map(|truth| Side(vec![values(&run(truth, 1))]));
    let rows = compare(&sides[0], &sides[1], 0.5);
    assert!(rows.iter().all(|row| row.verdict != Verdict::Worse), "{rows:#?}");
}

#[test]
fn a_short_run_cannot_tell() {
    let short = Truth { length_s: 4, ..SERVER };
    let rows = comparison(short, short, 1, 1);
    for metric in ["round_trip p50", "round_trip p99", "messages per second"] {
        let row = verdict_of(&rows, metric);
        assert_eq!(row.verdict, Verdict::Unknown);
        assert!(row.why.as_ref().is_some_and(|why| why.contains("one run of 2 full seconds cannot tell")), "{row:?}");
    }
}

#[test]
fn what_only_one_side_has_is_not_comparable() {
    let (with, mut without) = (run(SERVER, 1), run(SERVER, 2));
    without.steps.clear();
    let rows = compare(&Side(vec![values(&with)]), &Side(vec![values(&without)]), TOLERANCE);
    let row = verdict_of(&rows, "line 1 (send) p50");
    assert_eq!((row.verdict, row.why.as_deref()), (Verdict::Unknown, Some("only OLD has it")));
    let rows = compare(&Side(vec![values(&with), values(&without)]), &Side(vec![values(&with)]), TOLERANCE);
    let row = verdict_of(&rows, "line 1 (send) p50");
    assert_eq!((row.verdict, row.why.as_deref()), (Verdict::Unknown, Some("OLD: 1 of 2 runs have it")));
}

#[test]
fn equal_errors_alone_are_no_verdict_and_more_errors_are_one() {
    let short = Truth { length_s: 4, ..SERVER };
    let rows = comparison(short, short, 1, 1);
    let told: Vec<&str> =
        rows.iter().filter(|row| row.verdict != Verdict::Unknown).map(|row| row.metric.as_str()).collect();
    assert_eq!((told, Verdict::of(&rows)), (vec!["errors per message"], Verdict::Unknown));
    let rows = comparison(short, Truth { errors: 0.2, ..short }, 1, 1);
    assert_eq!(Verdict::of(&rows), Verdict::Worse);
    let rows = comparison(SERVER, SERVER, 1, 1);
    assert_eq!(Verdict::of(&rows), Verdict::Same);
}

#[test]
fn reports_without_anything_are_compared_without_a_panic() {
    let nothing = || Side(vec![values(&Report::default())]);
    assert_eq!(Verdict::of(&compare(&nothing(), &nothing(), TOLERANCE)), Verdict::Unknown);
}
