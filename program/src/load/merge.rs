//! `lariat load merge`: adds up the reports of clients that ran at the same time on several
//! machines.
//!
//! Each report has all recorded times with their counts, so the sum has the percentiles that one
//! client would have measured. Percentiles themselves are never added up, except those of `series`,
//! of which the worst is kept. The seconds of the machines are added by their times from the
//! beginning of each run: start the runs together. The sum does not depend on the order of the
//! files.

use super::compose::{compose, decompose};
use super::measure::{Asked, Record, Report, Second};
use super::output::{check, check_forms, write};
use super::plan::{Outputs, Usage};
use super::read::read;
use crate::terminal::{Failure, Log, units};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

/// So many files are added up at most. Their sums do not overflow (see `read.rs`).
const MOST: usize = 200;

/// Add up the reports of clients that ran at the same time on several machines.
///
/// Counts are summed, and recorded times are added up before percentiles are taken. Write the
/// reports with --json.
#[derive(Debug, clap::Args)]
pub(crate) struct Merge {
    /// The reports, as --json wrote them
    #[arg(required = true, num_args = 2..=MOST, value_name = "FILE")]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

/// Runs `lariat load merge`. The exit codes are those of a run.
pub(crate) fn run(options: &Merge, log: &Log) -> Result<Result<ExitCode, Usage>, Failure> {
    let sum = check_forms(&options.outputs, None).and_then(|()| sum(&options.reports));
    let (asked, record) = match sum {
        Ok(sum) => sum,
        Err(usage) => return Ok(Err(usage)),
    };
    check(&options.outputs, None)?;
    let report = compose(asked, record, &options.outputs.expect);
    write(&options.outputs, None, &report, log)?;
    Ok(Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn sum(paths: &[PathBuf]) -> Result<(Asked, Record), Usage> {
    let mut sum: Option<(Asked, Record)> = None;
    for path in paths {
        let report = read(path)?;
        sum = Some(
            match sum {
                None => begin(report),
                Some(sum) => add(sum, report),
            }
            .map_err(|why| Usage(format!("cannot add {}: {why}", path.display())))?,
        );
    }
    sum.ok_or_else(|| Usage("write the files of two reports or more".to_owned()))
}

fn begin(report: Report) -> Result<(Asked, Record), String> {
    if report.search.is_some() || report.asked.until.is_some() {
        return Err("it is a search with --until, and each client has searched by itself".to_owned());
    }
    let asked = report.asked.clone();
    Ok((asked, decompose(report)))
}

fn add((asked, mut record): (Asked, Record), report: Report) -> Result<(Asked, Record), String> {
    let (more, mut other) = begin(report)?;
    if let Some(why) = misfit(&asked, &more).or_else(|| other_work(&record, &other)) {
        return Err(format!("it does not fit to those before it: {why}"));
    }
    let series = std::mem::take(&mut other.series);
    add_seconds(&mut record.series, series);
    record.merge(other);
    sort(&mut record);
    Ok((add_asked(asked, more), record))
}

/// Returns why two runs cannot be parts of one, if they cannot.
fn misfit(one: &Asked, other: &Asked) -> Option<String> {
    let depth = |asked: &Asked| asked.depth.map_or_else(|| "none".to_owned(), |depth| depth.to_string());
    let is_given = |given: bool| if given { "given" } else { "not given" }.to_owned();
    let rate = |asked: &Asked| is_given(asked.messages_per_second.is_some());
    let churn = |asked: &Asked| match asked.churn.as_deref() {
        None => "none",
        Some("max") => "max",
        Some(_) => "a rate",
    };
    let facts = [
        ("the mode", one.mode.clone(), other.mode.clone()),
        ("the size of a message", one.message_bytes.to_string(), other.message_bytes.to_string()),
        ("--binary", is_given(one.binary), is_given(other.binary)),
        ("--deflate", is_given(one.deflate), is_given(other.deflate)),
        ("--messages-per-second", rate(one), rate(other)),
        ("--depth", depth(one), depth(other)),
        ("--churn", churn(one).to_owned(), churn(other).to_owned()),
    ];
    let (what, one, other) = facts.into_iter().find(|(_, one, other)| one != other)?;
    Some(format!("{what} is {other} instead of {one}"))
}

/// Returns why two runs did other work, if they did: their steps and storms are added up by number.
fn other_work(one: &Record, other: &Record) -> Option<String> {
    let [here, there] = [one, other].map(|record| {
        let steps: BTreeMap<u32, &str> = record.steps.iter().map(|step| (step.line, &*step.text)).collect();
        steps
    });
    let mut lines = here.keys().chain(there.keys());
    if let Some(line) = lines.find(|line| here.get(line) != there.get(line)) {
        let step =
            |steps: &BTreeMap<u32, &str>| steps.get(line).map_or("no step".to_owned(), |text| format!("{text:?}"));
        return Some(format!("line {line} of the scenario is {} instead of {}", step(&there), step(&here)));
    }
    let [here, there] = [one, other].map(|record| record.storms.iter().map(|storm| &*storm.kind).collect::<Vec<_>>());
    // A run that ended early may have missed the last ones.
    let is_early = |record: &Record, storms: &[&str], more: &[&str]| !record.is_complete && more.starts_with(storms);
    if here == there || is_early(one, &here, &there) || is_early(other, &there, &here) {
        return None;
    }
    let list = |kinds: &[&str]| if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    Some(format!("the list of storms is {} instead of {}", list(&there), list(&here)))
}

/// Returns what two clients were asked for together. They fit together. Their processes are counted
/// over all agents.
fn add_asked(one: Asked, other: Asked) -> Asked {
    let sum = |one: Option<f64>, other: Option<f64>| one.zip(other).map(|(one, other)| one + other);
    let rate = |churn: &Option<String>| churn.as_deref().and_then(|churn| units::rate(churn).ok());
    let churn = sum(rate(&one.churn), rate(&other.churn)).map(|rate| format!("{rate}/s"));
    let processes = [&one, &other].map(|asked| asked.processes.saturating_mul(asked.agents.len().max(1) as u32));
    Asked {
        urls: one.urls.into_iter().chain(other.urls).collect::<BTreeSet<_>>().into_iter().collect(),
        connections: one.connections + other.connections,
        rate: sum(one.rate, other.rate),
        hold_s: one.hold_s.max(other.hold_s),
        messages_per_second: sum(one.messages_per_second, other.messages_per_second),
        churn: churn.or(one.churn),
        processes: processes[0].saturating_add(processes[1]),
        agents: Vec::new(),
        seed: one.seed.min(other.seed),
        ..one
    }
}

/// Adds seconds that have the same number. A process that was held up may have told two of one.
fn add_seconds(sum: &mut Vec<Second>, more: Vec<Second>) {
    let mut seconds = BTreeMap::<(u64, u32), Second>::new();
    for series in [std::mem::take(sum), more] {
        let mut last = None;
        for second in series {
            let number = second.number();
            let place = match last {
                Some((known, place)) if known == number => place + 1,
                _ => 0,
            };
            last = Some((number, place));
            seconds.entry((number, place)).and_modify(|known| known.add(&second)).or_insert(second);
        }
    }
    sum.extend(seconds.into_values());
}

/// Sorts lists that would else show the order of the files.
fn sort(record: &mut Record) {
    record.errors.sort_by(|one, other| (&one.kind, &one.explanation).cmp(&(&other.kind, &other.explanation)));
    record.steps.sort_by_key(|step| step.line);
    record.malformed.sort_by(|one, other| one.name.cmp(&other.name));
    let errors = record.errors.iter_mut().map(|error| &mut error.details);
    let steps = record.steps.iter_mut().map(|step| &mut step.failures);
    let malformed = record.malformed.iter_mut().map(|kind| &mut kind.outcomes);
    for details in errors.chain(steps).chain(malformed) {
        details.sort_by(|one, other| (other.count, &one.text).cmp(&(one.count, &other.text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::{ErrorCount, Histograms, Latency, ScenarioStep, Server, Storm};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::Value;

    /// Returns the report of a client that has measured these times.
    fn client(number: u32, times: &[u64]) -> Report {
        let mut latency = Latency::new();
        times.iter().for_each(|nanos| latency.record(*nanos));
        let asked = Asked {
            urls: vec![format!("ws://host-{}/", number % 3)],
            connections: 10,
            mode: "echo".to_owned(),
            depth: Some(1),
            processes: 1,
            ..Asked::default()
        };
        let mut error = ErrorCount { kind: format!("kind-{}", number % 2), count: 6, ..ErrorCount::default() };
        (0..6).for_each(|detail| error.detail(1, format!("{} {detail}", number / 2)));
        let server = Server {
            pids: vec![number / 2],
            name: "lariat".to_owned(),
            cpu_holding_s: Some(f64::from(number)),
            ..Server::default()
        };
        let mut record = Record {
            ended: if number == 2 { "stopped" } else { "complete" }.to_owned(),
            is_complete: number != 2,
            times: Histograms { round_trip: latency.to_pairs(), ..Histograms::default() },
            errors: vec![error],
            steps: [1, 0]
                .map(|line| ScenarioStep { line, histogram: latency.to_pairs(), ..ScenarioStep::default() })
                .into(),
            series: (0..=number)
                .map(|at| Second { at_s: at.into(), sent: 5, p99_us: number.into(), ..Second::default() })
                .collect(),
            server: Some(server),
            counted: times.len() as u64,
            ..Record::default()
        };
        (record.connections.most, record.connections.opened) = (10, 10);
        (record.messages.sent, record.messages.right) = (times.len() as u64, times.len() as u64);
        compose(asked, record, &[])
    }

    fn merged(reports: &[&Report]) -> Report {
        let mut sum = begin(reports[0].clone()).expect("it can be merged");
        for report in &reports[1..] {
            sum = add(sum, (*report).clone()).expect("it fits");
        }
        compose(sum.0, sum.1, &[])
    }

    fn json(report: &Report) -> Value {
        serde_json::to_value(report).expect("it is JSON")
    }

    fn times() -> Vec<u64> {
        let mut random = StdRng::seed_from_u64(7);
        (0..40_000).map(|_| (1e5 * f64::exp(random.random_range(0.0..6.0))) as u64).collect()
    }

    #[test]
    fn four_parts_of_a_list_of_times_have_the_percentiles_of_the_whole_list() {
        let times = times();
        // Not of the same size, so that averages of percentiles would be wrong.
        let cuts = [0, 10, 500, 20_000, times.len()];
        let parts: Vec<Report> =
            (0..4).map(|part| client(part, &times[cuts[part as usize]..cuts[part as usize + 1]])).collect();
        let sum = merged(&parts.iter().collect::<Vec<_>>());
        let whole = client(9, &times);
        assert_eq!(sum.histograms, whole.histograms);
        assert_eq!(sum.latency.round_trip, whole.latency.round_trip);
        assert_eq!(sum.curve, whole.curve);
        assert_eq!((sum.counted, sum.connections.most, sum.asked.connections), (40_000, 40, 40));
        assert_eq!(sum.series.iter().map(|second| second.sent).collect::<Vec<_>>(), [20, 15, 10, 5]);
        assert_eq!(sum.ended, "stopped");
        assert_eq!(sum.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_order_and_the_grouping_of_reports_change_nothing() {
        let times = times();
        let [a, b, c, d] =
            [0, 1, 2, 3].map(|part| client(part, &times[part as usize * 100..part as usize * 200 + 100]));
        let whole = json(&merged(&[&a, &b, &c, &d]));
        for order in [[&d, &c, &b, &a], [&c, &a, &d, &b], [&b, &d, &a, &c]] {
            assert_eq!(json(&merged(&order)), whole);
        }
        let pairs = [merged(&[&a, &b]), merged(&[&c, &d]), merged(&[&d, &a]), merged(&[&b, &c])];
        assert_eq!(json(&merged(&[&pairs[0], &pairs[1]])), whole);
        assert_eq!(json(&merged(&[&pairs[3], &pairs[2]])), whole);
        assert_eq!(json(&merged(&[&a, &merged(&[&b, &merged(&[&c, &d])])])), whole);
    }

    #[test]
    fn a_server_that_several_clients_have_seen_counts_once() {
        let [a, b, c] = [2, 3, 4].map(|number| client(number, &[1_000; 10]));
        let server = merged(&[&a, &b]).server.expect("a server");
        assert_eq!((server.pids, server.cpu_holding_s, server.cpu_ns_per_message), (vec![1], Some(3.0), Some(1.5e8)));
        let servers = merged(&[&a, &b, &c]).server.expect("two servers");
        assert_eq!((servers.pids, servers.cpu_holding_s, servers.cpu_ns_per_message), (vec![1, 2], None, None));
    }

    /// Returns why the second report cannot be added to the first, if it cannot.
    fn why_not(one: Report, other: Report) -> Option<String> {
        add(begin(one).expect("it can be merged"), other).err()
    }

    #[test]
    fn reports_of_other_steps_or_storms_are_refused() {
        let with = |change: fn(&mut Report)| {
            let mut report = client(1, &[5]);
            change(&mut report);
            report
        };
        let storm = |kind: &str| Storm { kind: kind.to_owned(), ..Storm::default() };
        let why = |one, other| why_not(one, other).unwrap_or_else(|| panic!("they fit"));
        let other = with(|report| report.steps[1].text = "send hello".to_owned());
        assert!(why(client(1, &[5]), other).ends_with("line 0 of the scenario is \"send hello\" instead of \"\""));
        let other = with(|report| report.steps.truncate(1));
        assert!(why(client(1, &[5]), other).ends_with("line 0 of the scenario is no step instead of \"\""));
        let [mut fin, mut rst, mut both] = [(); 3].map(|()| client(1, &[5]));
        (fin.storms, rst.storms, both.storms) =
            (vec![storm("fin")], vec![storm("rst")], vec![storm("fin"), storm("rst")]);
        assert!(why(fin.clone(), rst.clone()).ends_with("the list of storms is rst instead of fin"));
        assert!(why(client(1, &[5]), fin.clone()).ends_with("the list of storms is fin instead of none"));
        assert!(why(both.clone(), fin.clone()).ends_with("the list of storms is fin instead of fin, rst"));
        fin.ended = "interrupted".to_owned();
        assert_eq!((why_not(both.clone(), fin.clone()), why_not(fin, both)), (None, None), "it missed the second one");
    }

    #[test]
    fn processes_are_counted_over_all_agents() {
        let reports: [Report; 3] = [(2, 3), (0, 1), (1, 1)].map(|(agents, processes)| {
            let mut report = client(1, &[5]);
            (report.asked.agents, report.asked.processes) = (vec!["10.0.0.5:7000".to_owned(); agents], processes);
            report
        });
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let sum = merged(&order.map(|number| &reports[number])).asked;
            assert_eq!((sum.processes, sum.agents.len()), (8, 0), "{order:?}");
        }
    }

    #[test]
    fn reports_that_do_not_fit_together_are_refused_with_the_reason() {
        let refusal = |change: fn(&mut Asked)| {
            let (one, mut other) = (client(1, &[5]), client(2, &[5]));
            change(&mut other.asked);
            add(begin(one).expect("it can be merged"), other).map(|_| ()).expect_err("it does not fit")
        };
        assert!(refusal(|asked| asked.mode = "send".to_owned()).ends_with("the mode is send instead of echo"));
        assert!(refusal(|asked| asked.message_bytes = 7).contains("the size of a message is 7 instead of 0"));
        assert!(refusal(|asked| asked.depth = Some(4)).contains("--depth is 4"));
        assert!(refusal(|asked| asked.deflate = true).contains("--deflate is given"));
        assert!(refusal(|asked| asked.until = Some("p99 < 1 ms".to_owned())).contains("--until"));
    }
}
