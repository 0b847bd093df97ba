//! `lariat doctor`: how many connections does this host hold, and what stops it there?

mod findings;
mod host;

pub(super) use findings::{Ask, Finding, Side, Verdict, findings};
pub(super) use host::{Host, read};

use super::Failure;
use super::units::grouped;
use findings::most;
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Say which limit of this host stops N connections first, and what lifts it.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many connections; without it: as many as fit
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    connections: Option<u64>,
    /// Only the server is on this host
    #[arg(long, conflicts_with = "client")]
    server: bool,
    /// Only the client is on this host: the connections go to one address and port of another
    #[arg(long)]
    client: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    connections: Option<u64>,
    side: &'static str,
    /// Whether the connections that were asked for fit.
    fits: Option<bool>,
    /// The most that fit.
    most: Option<u64>,
    findings: &'a [Finding],
    host: &'a Host,
}

/// Exit code 1 if the connections do not fit.
pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (side, name) = match (options.server, options.client) {
        (true, _) => (Side::Server, "server"),
        (_, true) => (Side::Client, "client"),
        (false, false) => (Side::Both, "both"),
    };
    let routes = (side == Side::Client).then_some(1);
    let host = read();
    let found = findings(&host, &Ask { connections: options.connections, side, routes, processes: 1 });
    let fits = options.connections.map(|_| found.iter().all(|finding| finding.verdict != Verdict::Stops));
    let text = if options.json {
        let most = most(&found).map(|(most, _)| most);
        let connections = options.connections;
        let report = Report { schema: 1, connections, side: name, fits, most, findings: &found, host: &host };
        serde_json::to_string_pretty(&report).map_err(|error| Failure(format!("cannot print JSON: {error}")))? + "\n"
    } else {
        format!("{}\n{}", headline(options.connections, side, &found), table(&found))
    };
    super::print(&text);
    Ok(if fits == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The answer in a sentence.
fn headline(connections: Option<u64>, side: Side, found: &[Finding]) -> String {
    let place = match side {
        Side::Server => "to a server on this host",
        Side::Client => "from this host to one address and port of another",
        Side::Both => "with server and client on this host",
    };
    match (connections, most(found)) {
        (Some(connections), Some((most, finding))) if connections > most => format!(
            "{} connections {place} do not fit. They stop at {}: {}.",
            grouped(connections),
            grouped(most),
            finding.what
        ),
        (Some(connections), Some((most, finding))) => format!(
            "{} connections {place} fit. They would stop at {}: {}.",
            grouped(connections),
            grouped(most),
            finding.what
        ),
        (None, Some((most, finding))) => {
            format!("{} connections {place} fit. What stops them there: {}.", grouped(most), finding.what)
        }
        (_, None) => "This host names no limit that Lariat knows.".to_owned(),
    }
}

/// One line for each limit, and below it what to do.
pub(super) fn table(found: &[Finding]) -> String {
    let width = |cell: fn(&Finding) -> usize, least: usize| found.iter().map(cell).max().unwrap_or(0).max(least);
    let what = width(|finding| finding.what.len(), 5);
    let value = width(|finding| finding.value.len(), 5);
    let mut text = format!("\n  {:7} {:what$}  {:value$}  connections\n", "", "limit", "value");
    for finding in found {
        let verdict = match finding.verdict {
            Verdict::Stops => "STOPS",
            Verdict::Warns => "warns",
            Verdict::Fits => "fits",
        };
        let connections = finding.connections.map_or_else(|| "-".to_owned(), grouped);
        // A String takes every write.
        let _ = writeln!(text, "  {verdict:7} {:what$}  {:value$}  {connections:>11}", finding.what, finding.value);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "          -> {advice}");
        }
    }
    text
}
