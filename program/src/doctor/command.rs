//! `lariat doctor`: how many connections does this host hold, and what stops it there?

use super::findings::{Ask, Finding, Side, Verdict, findings, most};
use super::host::{Host, read};
use super::table::{headline, table};
use crate::terminal::{Failure, print};
use serde::Serialize;
use std::process::ExitCode;

/// Say which limit of this host stops N connections first, and what lifts it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
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
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
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
    print(&text);
    Ok(if fits == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
