//! What connections say: the rows of `--data`, the message, and the scenario.

use super::message::payload;
use super::options::{Options, Usage};
use super::pace::Mode;
use crate::load::content::{Names, Payload, Rows, Who};
use crate::load::scenario::Scenario;
use crate::terminal::units::time;
use std::path::Path;
use std::time::Duration;

/// A hold that ends only with the work.
const NO_END: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What the connections of a run say.
pub(super) struct Texts {
    pub(super) rows: Rows,
    /// How many connections there are, with the rows in mind.
    pub(super) connections: u32,
    pub(super) payload: Payload,
    /// The length of the first message in bytes.
    pub(super) message_bytes: usize,
    /// Without steps unless `--scenario` is given.
    pub(super) scenario: Scenario,
    /// For how long the connections are held.
    pub(super) hold: Duration,
}

impl Texts {
    /// Reads the files of the options.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or makes no sense.
    pub(super) fn read(options: &Options, mode: Mode) -> Result<Texts, Usage> {
        if options.rows.is_some() && options.data.is_none() {
            return Err(Usage("--rows says how the rows of --data are used: add --data FILE".to_owned()));
        }
        let rows = options.data.as_deref().map(|path| Rows::read(path, options.rows.unwrap_or_default()));
        let rows = rows.transpose().map_err(Usage)?.unwrap_or_default();
        let connections = rows.connections(options.connections).map_err(Usage)?;
        let payload = payload(options, Names { columns: rows.names(), variables: &[] })?;
        let who = Who { id: 0, seq: 0, time: 0, seed: options.seed, rows: &rows, variables: &[] };
        let message_bytes = payload.message(&mut String::new(), &who).as_bytes().len();
        let scenario = options.scenario.as_deref().map(|path| scenario(path, &rows)).transpose()?.unwrap_or_default();
        let hold = options.hold.unwrap_or(match mode {
            // Until all are through.
            Mode::Scenario if !scenario.is_endless => NO_END,
            _ if options.until.is_some() => Duration::from_secs(3),
            _ => Duration::from_secs(10),
        });
        let workers = options.workers();
        if workers > connections.into() {
            return Err(Usage(format!(
                "--data has rows for {connections} connections, and there are {workers} processes"
            )));
        }
        if let Some(storm) = options.storm.iter().find(|storm| storm.at >= hold) {
            let (at, hold) = (storm.at.as_secs_f64() * 1e9, hold.as_secs_f64() * 1e9);
            return Err(Usage(format!("--storm at {} comes after --hold {}: hold longer", time(at), time(hold))));
        }
        if hold == NO_END && (!options.storm.is_empty() || options.reconnect.is_some()) && options.duration.is_none() {
            return Err(Usage(
                "--storm and --reconnect need --hold or --duration with a --scenario: a server that stays away would never let it end".to_owned(),
            ));
        }
        Ok(Texts { rows, connections, payload, message_bytes, scenario, hold })
    }

    /// Returns for how many seconds the connections are held; 0 means until all work is done.
    pub(super) fn hold_s(&self) -> f64 {
        if self.hold == NO_END { 0.0 } else { self.hold.as_secs_f64() }
    }
}

fn scenario(path: &Path, rows: &Rows) -> Result<Scenario, Usage> {
    let wrong = |why: String| Usage(format!("--scenario {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot read this file: {error}")))?;
    Scenario::read(&text, rows.names())
        .map_err(|why| wrong(format!("{why} (docs/load-testing.md describes the lines of a scenario)")))
}
