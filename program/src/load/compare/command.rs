//! `lariat load diff`: from its options to its exit code.

use super::sides::Side;
use super::table::Table;
use super::values::values;
use super::verdict::{Comparison, Verdict, compare};
use crate::load::measure::{Asked, Report};
use crate::load::output::write_json;
use crate::load::plan::Usage;
use crate::load::read::read;
use crate::terminal::units::{decimal, time};
use crate::terminal::{Failure, Log, plain, print};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare the reports of two servers, or of two versions of one, with the noise of each.
///
/// Each metric has an interval with a confidence of 95 %. Several runs on each side, 3 or more,
/// tell most. Exits with 0 if nothing is worse, with 1 if something is, and with 2 if nothing can
/// be compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The report of the old run and that of the new one, as --json wrote them
    #[arg(num_args = 2, value_names = ["OLD", "NEW"], required_unless_present = "old", conflicts_with_all = ["old", "new"])]
    reports: Vec<PathBuf>,
    /// The reports of several old runs
    #[arg(long, value_name = "FILES", value_delimiter = ',', requires = "new")]
    old: Vec<PathBuf>,
    /// The reports of several new runs
    #[arg(long, value_name = "FILES", value_delimiter = ',', requires = "old")]
    new: Vec<PathBuf>,
    /// Smaller changes do not count, even if they are beyond noise
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = tolerance)]
    tolerance: f64,
    /// Write the comparison as JSON; "-" is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Parses a tolerance and returns it in percent: `5%`, `5`.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "write a share like 5%, from 0% to 100%".to_owned())
}

/// Runs `lariat load diff`. What cannot be written has the exit code 2 as well, since 1 says that
/// something is worse.
pub(crate) fn run(options: &Diff, log: &Log) -> Result<ExitCode, Usage> {
    let comparison = comparison(options)?;
    let text = plain(&Table(&comparison).to_string());
    let shown = if options.json.as_deref() == Some(Path::new("-")) {
        log.say(&text);
        Ok(())
    } else {
        print(&text)
    };
    let written = options.json.as_deref().map_or(Ok(()), |path| write_json(path, &comparison));
    shown.and(written).map_err(|Failure(sentence)| Usage(sentence))?;
    Ok(ExitCode::from(match comparison.verdict {
        Verdict::Worse => 1,
        Verdict::Unknown => 2,
        Verdict::Better | Verdict::Same => 0,
    }))
}

fn comparison(options: &Diff) -> Result<Comparison, Usage> {
    let (old, new) = match &options.reports[..] {
        [old, new] => (std::slice::from_ref(old), std::slice::from_ref(new)),
        [] if !options.old.is_empty() => (&options.old[..], &options.new[..]),
        _ => {
            return Err(Usage(
                "write two reports: lariat load diff OLD.json NEW.json; or several: --old A,B --new C,D".to_owned(),
            ));
        }
    };
    let (old, new) = (runs(old)?, runs(new)?);
    fit(&old, &new)?;
    let names = |side: &[Run]| side.iter().map(|(name, _)| name.clone()).collect();
    let side = |side: &[Run]| Side(side.iter().map(|(_, report)| values(report)).collect());
    let metrics = compare(&side(&old), &side(&new), options.tolerance / 100.0);
    Ok(Comparison {
        schema: 1,
        lariat: env!("CARGO_PKG_VERSION"),
        old: names(&old),
        new: names(&new),
        tolerance_percent: options.tolerance,
        verdict: Verdict::of(&metrics),
        notes: notes(&old, &new),
        metrics,
    })
}

/// A report, and the name of its file.
type Run = (String, Report);

fn runs(paths: &[PathBuf]) -> Result<Vec<Run>, Usage> {
    paths.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect()
}

/// What runs were asked for, as far as it changes what they measure.
fn facts(asked: &Asked) -> [(&'static str, String); 10] {
    let rate = |rate: Option<f64>| {
        rate.map_or_else(|| "as fast as possible".to_owned(), |rate| format!("{}/s", decimal(rate)))
    };
    [
        ("the mode", asked.mode.clone()),
        ("the size of a message", asked.message_bytes.to_string()),
        ("the connections", asked.connections.to_string()),
        ("the rate of connections", rate(asked.rate)),
        ("the rate of messages", rate(asked.messages_per_second)),
        ("--depth", asked.depth.map_or_else(|| "none".to_owned(), |depth| depth.to_string())),
        ("--churn", asked.churn.clone().unwrap_or_else(|| "none".to_owned())),
        ("compression", if asked.deflate { "offered" } else { "not offered" }.to_owned()),
        ("the kind of messages", if asked.binary { "binary" } else { "text" }.to_owned()),
        ("the hold", time(asked.hold_s * 1e9)),
    ]
}

/// So many of the facts must be the same on both sides. The others may be what is compared.
const SAME: usize = 2;

/// Refuses runs that measured something else.
fn fit(old: &[Run], new: &[Run]) -> Result<(), Usage> {
    let differs = |one: &Run, other: &Run, most: usize| {
        let mut pairs = facts(&one.1.asked).into_iter().zip(facts(&other.1.asked)).take(most);
        match pairs.find(|(one, other)| one != other) {
            Some(((what, here), (_, there))) => Err(Usage(format!(
                "cannot compare {} with {}: {what} is {here} there, and {there} here",
                one.0, other.0
            ))),
            None => Ok(()),
        }
    };
    for (side, name) in [(old, "--old"), (new, "--new")] {
        for other in &side[1..] {
            differs(&side[0], other, usize::MAX).map_err(|Usage(why)| Usage(format!("{name}: {why}")))?;
        }
    }
    differs(&old[0], &new[0], SAME)
}

/// Returns what a reader must know: plans that differ, runs that ended early, and runs that
/// measured this client rather than the server.
fn notes(old: &[Run], new: &[Run]) -> Vec<String> {
    let pairs = facts(&old[0].1.asked).into_iter().zip(facts(&new[0].1.asked));
    let differs = pairs.filter(|(one, other)| one != other);
    let mut notes: Vec<String> =
        differs.map(|((what, one), (_, other))| format!("{what}: {one} in OLD, {other} in NEW")).collect();
    if old.len().min(new.len()) == 1 {
        notes.push("one run does not show what differs between runs: 3 or more on each side tell most".to_owned());
    }
    for (name, report) in old.iter().chain(new) {
        if report.ended != "complete" {
            notes.push(format!("{name} ended early: {}", report.ended));
        }
        let own = ["client-cpu", "client-late", "load-process-lost"];
        let limits = report.limits.iter().filter(|limit| own.contains(&limit.limit.as_str()));
        notes.extend(limits.map(|limit| format!("{name}: {}", limit.evidence)));
    }
    notes
}
