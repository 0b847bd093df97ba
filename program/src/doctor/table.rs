//! The findings as a sentence and a table.

use super::findings::{Finding, Side, Verdict, most};
use crate::terminal::units::{counted, grouped};
use std::fmt::Write as _;

/// Returns the answer as one sentence.
pub(crate) fn headline(connections: Option<u64>, side: Side, found: &[Finding]) -> String {
    let place = match side {
        Side::Server => "to a server on this host",
        Side::Client => "from this host to one address and port of another host",
        Side::Both => "with server and client on this host",
    };
    let fit =
        |number: u64| format!("{} {place} {}", counted(number, "connection"), if number == 1 { "fits" } else { "fit" });
    let not = |number: u64| if number == 1 { "does not fit" } else { "do not fit" };
    match (connections, most(found)) {
        (Some(connections), Some((most, finding))) if connections > most => format!(
            "{} {place} {}. The limit is {}: {}.",
            counted(connections, "connection"),
            not(connections),
            grouped(most),
            finding.what
        ),
        (Some(connections), Some((most, finding))) => {
            format!("{}. The limit is {}: {}.", fit(connections), grouped(most), finding.what)
        }
        (None, Some((most, finding))) => format!("{}. This is limited by: {}.", fit(most), finding.what),
        (_, None) => "Lariat finds no limit on this host.".to_owned(),
    }
}

/// Returns one line for each limit, followed by advice.
pub(crate) fn table(found: &[Finding]) -> String {
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
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {verdict:7} {:what$}  {:value$}  {connections:>11}", finding.what, finding.value);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "          -> {advice}");
        }
    }
    text
}
