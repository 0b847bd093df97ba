//! `lariat doctor`: its options, its output and its exit code.

use super::findings::{Ask, Finding, Side, Verdict, findings, most};
use super::host::{Host, read};
use super::table::{headline, table};
use crate::terminal::{Failure, print, units};
use serde::Serialize;
use std::process::ExitCode;

/// Show which limit of this host N connections reach first, and how to raise it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The number of connections, like 10000, 10,000 or 10k [default: as many as fit]
    #[arg(value_name = "N", value_parser = units::count_to::<1_000_000_000>)]
    connections: Option<u32>,
    /// Only the server runs on this host
    #[arg(long, conflicts_with = "client")]
    server: bool,
    /// Only the client runs on this host, and connects to one address and port of another host
    #[arg(long)]
    client: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    connections: Option<u64>,
    side: &'static str,
    /// Whether the requested connections fit.
    fits: Option<bool>,
    /// The most connections that fit.
    most: Option<u64>,
    findings: &'a [Finding],
    host: &'a Host,
}

/// Runs `lariat doctor`. The exit code is 1 if the connections do not fit.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (side, name) = match (options.server, options.client) {
        (true, _) => (Side::Server, "server"),
        (_, true) => (Side::Client, "client"),
        (false, false) => (Side::Both, "both"),
    };
    let routes = (side == Side::Client).then_some(1);
    let host = read();
    let connections = options.connections.map(u64::from);
    let found = findings(&host, &Ask { connections, side, routes, processes: 1 });
    let fits = connections.map(|_| found.iter().all(|finding| finding.verdict != Verdict::Stops));
    let text = if options.json {
        let most = most(&found).map(|(most, _)| most);
        let report = Report { schema: 1, connections, side: name, fits, most, findings: &found, host: &host };
        serde_json::to_string_pretty(&report).map_err(|error| Failure(format!("cannot print JSON: {error}")))? + "\n"
    } else {
        format!("{}\n{}", headline(connections, side, &found), table(&found))
    };
    print(&text)?;
    Ok(if fits == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
