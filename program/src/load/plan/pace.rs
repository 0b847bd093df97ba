//! When connections and messages begin.

use super::options::{Options, Usage};
use crate::terminal::units;

/// How connections are begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Opening {
    /// As fast as the server accepts them, with so many handshakes in progress.
    AtOnce(u32),
    /// So many per second.
    Rate(f64),
}

/// What is done with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Hold,
    Send,
    Echo,
    Subscribe,
    /// Only receives, and comes back after the last position.
    Follow,
    /// Walks through a scenario.
    Scenario,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When an earlier one has come back, with so many in flight.
    Depth(u32),
    /// So many per second, regardless of what comes back.
    Rate(f64),
}

/// How connections are closed and opened again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Churn {
    /// So many per second.
    Rate(f64),
    /// Each as soon as it is open.
    Max,
}

pub(crate) const fn mode(options: &Options) -> Mode {
    if options.follow.is_some() {
        return Mode::Follow;
    }
    if options.scenario.is_some() {
        return Mode::Scenario;
    }
    match (options.echo, options.subscribe, &options.messages_per_second, options.until) {
        (true, _, _, _) => Mode::Echo,
        (_, true, _, _) => Mode::Subscribe,
        (_, _, Some(_), None) => Mode::Send,
        // A bound needs messages that come back.
        (_, _, _, Some(_)) => Mode::Echo,
        (_, _, None, None) => Mode::Hold,
    }
}

/// Returns when messages of so many connections are sent.
pub(crate) fn pace(options: &Options, mode: Mode, connections: u32) -> Result<Pace, Usage> {
    let Some(text) = &options.messages_per_second else {
        // The first rate of a search.
        let start = if mode == Mode::Subscribe { 1.0 } else { 1_000.0 };
        return Ok(if options.until.is_some() { Pace::Rate(start) } else { Pace::Depth(options.depth) });
    };
    let (number, factor) = match text.strip_suffix("/connection") {
        Some(number) => (number, f64::from(connections)),
        None => (text.as_str(), 1.0),
    };
    let rate = units::rate(number).map_err(|why| Usage(format!("--messages-per-second {text}: {why}")))?;
    Ok(Pace::Rate(rate * factor))
}

pub(crate) fn churn(text: &str) -> Result<Churn, Usage> {
    if text == "max" {
        return Ok(Churn::Max);
    }
    let rate = units::rate(text).map_err(|why| Usage(format!("--churn {text}: {why}, or max")))?;
    Ok(Churn::Rate(rate))
}
