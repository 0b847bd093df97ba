//! The options of `lariat load`.

use super::expect::{Bound, Expectation};
use super::malformed;
use super::storm::{Reconnect, StormPlan};
use crate::client::{RequestOptions, TlsOptions};
use crate::load::content::Share;
pub(crate) use crate::terminal::Usage;
use crate::terminal::units;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Parses the name of a parameter of a URL.
fn parameter(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~".contains(letter);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err("write the NAME of ?NAME=POSITION: letters, digits and -._~".to_owned());
    }
    Ok(text.to_owned())
}

// Without documentation, which would replace that of `Arguments` in --help.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The server: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH. With several URLs, the connections
    /// are spread over them
    #[arg(required_unless_present = "agent", value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// The number of connections, like 10000, 10,000 or 10k
    #[arg(long, short = 'c', value_name = "N", default_value = "100", value_parser = units::count_to::<50_000_000>, help_heading = "Connections")]
    pub(crate) connections: u32,
    /// Begin so many connections per second [default: as fast as the server accepts them,
    /// --at-once at a time]
    #[arg(long, value_name = "R/s", value_parser = units::rate, help_heading = "Connections")]
    pub(crate) rate: Option<f64>,
    /// Spread the beginning of all connections evenly over this time
    #[arg(long, value_name = "TIME", value_parser = units::duration, conflicts_with = "rate", help_heading = "Connections")]
    pub(crate) ramp: Option<Duration>,
    /// Handshakes in progress at a time, without --rate or --ramp
    #[arg(long, value_name = "N", default_value = "128", value_parser = units::count_to::<{ u32::MAX }>, help_heading = "Connections")]
    pub(crate) at_once: u32,
    /// Hold the connections for this time once all are open; messages are sent in this time
    /// [default: 10s; with --until 3s for each rate]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) hold: Option<Duration>,
    /// End the run after this time at the latest
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) duration: Option<Duration>,
    /// While holding, close so many connections and open them again: R/s, or "max" to close each
    /// as soon as it is open
    #[arg(long, value_name = "R/s", help_heading = "Connections")]
    pub(crate) churn: Option<String>,
    /// While holding, cut this share of the open connections at this time, without a Close frame:
    /// SHARE@TIME, or SHARE@TIME:rst for resets. They come back as --reconnect says. May be
    /// repeated
    #[arg(long, value_name = "50%@10s", help_heading = "Connections")]
    pub(crate) storm: Vec<StormPlan>,
    /// Open connections again that are lost or cut: after a wait that doubles with each failure,
    /// and of which jitter none, equal (the second half) or full (all) is random [default with
    /// --storm: backoff=1s..30s,jitter=full]
    #[arg(long, value_name = "HOW", help_heading = "Connections")]
    pub(crate) reconnect: Option<Reconnect>,
    /// This share of the connections reads no more than 1 KiB per second. Their round trips are not
    /// measured
    #[arg(long, value_name = "SHARE", value_parser = units::percent, help_heading = "Connections")]
    pub(crate) slow_readers: Option<f64>,
    /// Connect to this Unix socket, whatever the host of the URL
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with = "source_ip", help_heading = "Connections")]
    pub(crate) unix: Option<PathBuf>,
    /// The most time for a handshake, an answer or a closing handshake
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) timeout: Duration,
    /// Ping a connection that has been silent for this time; after twice this time, it is lost
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) ping: Option<Duration>,
    /// Connect from these addresses, in turn [default: the kernel chooses; on loopback 127.0.0.1
    /// and, if it has too few ports, the addresses after it]
    #[arg(long, value_name = "IP", value_delimiter = ',', help_heading = "Connections")]
    pub(crate) source_ip: Vec<IpAddr>,
    /// Give each connection a row of this CSV file. The first line names the columns; {NAME}
    /// becomes the value of a column, in the URL, in headers and subprotocols, and in messages
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    pub(crate) data: Option<PathBuf>,
    /// What happens if --data has fewer rows than there are connections [default: own]
    #[arg(long, value_enum, help_heading = "Connections")]
    pub(crate) rows: Option<Share>,
    /// Share the connections among so many processes; with --agents, so many on each of them
    #[arg(long, value_name = "K", default_value = "1", value_parser = units::count_to::<1_024>, help_heading = "Connections")]
    pub(crate) processes: u32,

    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// Resume earlier TLS sessions by ticket where the server allows it [default: a full handshake
    /// for each connection, as of a new client]
    #[arg(long, help_heading = "TLS")]
    pub(crate) resume: bool,

    /// Expect each message back, and compare it
    #[arg(long, help_heading = "Messages")]
    pub(crate) echo: bool,
    /// Send on one connection, and expect each message on all others; measure the time until the
    /// last one has it
    #[arg(long, conflicts_with = "echo", help_heading = "Messages")]
    pub(crate) subscribe: bool,
    /// Only receive, and check that nothing is missed, doubled or out of order, also when
    /// connections are lost. They are opened again, with ?NAME=POSITION in the URL. POSITION is the
    /// first word of the last message; it ends in a number, and the next message has the next one
    #[arg(long, value_name = "NAME", value_parser = parameter, conflicts_with_all = ["echo", "subscribe", "messages_per_second", "until", "churn"], help_heading = "Messages")]
    pub(crate) follow: Option<String>,
    /// Each connection walks through the steps of this file: send, expect, capture, wait, ping,
    /// close, repeat, forever, on. docs/load-testing.md describes them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["echo", "subscribe", "follow", "messages_per_second", "until", "churn", "message", "depth", "size"], help_heading = "Messages")]
    pub(crate) scenario: Option<PathBuf>,
    /// Send so many messages per second: R in total, or R/connection
    #[arg(long, short = 'm', value_name = "R", help_heading = "Messages")]
    pub(crate) messages_per_second: Option<String>,
    /// Without a rate: messages in flight at a time, on each connection with --echo, in each burst
    /// with --subscribe
    #[arg(long, visible_alias = "pipeline", value_name = "N", default_value = "1", value_parser = units::count_to::<100_000>, conflicts_with = "messages_per_second", help_heading = "Messages")]
    pub(crate) depth: u32,
    /// The size of a message in bytes
    #[arg(long, value_name = "SIZE", default_value = "20", value_parser = units::message_size, help_heading = "Messages")]
    pub(crate) size: usize,
    /// Send text (the default)
    #[arg(long, conflicts_with = "binary", help_heading = "Messages")]
    pub(crate) text: bool,
    /// Send binary messages
    #[arg(long, help_heading = "Messages")]
    pub(crate) binary: bool,
    /// Send this text, or the content of this file; {id} becomes the number of the connection,
    /// {seq} the number of the message, {time} microseconds, {uuid} a UUID for each connection,
    /// {random:A-B} a number. What begins with ./, ../ or /FOLDER/ must be a file
    #[arg(long, value_name = "FILE|TEXT", conflicts_with = "size", help_heading = "Messages")]
    pub(crate) message: Option<String>,
    /// Search the highest rate of messages that keeps this bound, like "p99<50ms"
    #[arg(long, value_name = "BOUND", help_heading = "Messages")]
    pub(crate) until: Option<Bound>,
    /// The seed of random payloads and choices
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Messages")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) request: RequestOptions,

    /// Beside the good connections, let this share of their number, like 0.1%, or so many be
    /// hostile clients: each breaks a rule of a fixed list, sees what the server does, and takes
    /// the next one, until the hold ends. At least one, at most 16 at a time in each process; each
    /// kind comes once, if the hold lasts as long (5s or more). The report shows what the server
    /// should have done
    #[arg(long, value_name = "SHARE|N", value_parser = malformed::share, help_heading = "Hostile clients")]
    pub(crate) malformed: Option<malformed::Share>,

    /// The process of the server, if it is on this host [default: found by its port]
    #[arg(long, value_name = "PID", help_heading = "Report")]
    pub(crate) pid: Vec<u32>,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    /// Write a CSV line for each second; "-" is standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) csv: Option<PathBuf>,
    /// During the run, answer to http://ADDR/metrics in the format of OpenMetrics, like
    /// 127.0.0.1:9100
    #[arg(long, value_name = "ADDR", help_heading = "Report")]
    pub(crate) metrics: Option<String>,
    /// Show the run on the whole terminal of standard error, with charts; q ends it early, with its
    /// report
    #[arg(long, conflicts_with = "quiet", help_heading = "Report")]
    pub(crate) ui: bool,
    /// Show no progress, even on a terminal
    #[arg(long, short = 'q', help_heading = "Report")]
    pub(crate) quiet: bool,

    /// Wait on this address, like 10.0.0.5:7000, for runs that others lead with --agents; serve one
    /// at a time, until Ctrl-C. Who knows the token chooses what this host connects to, and with
    /// --ca, --cert and --key any file that this process can read
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["urls", "agents"], help_heading = "Several hosts")]
    pub(crate) agent: Option<String>,
    /// Let the agents at these addresses open the connections, each its share, and merge what they
    /// measure. This host opens none. --ca, --cert and --key are files of each agent
    #[arg(long, value_name = "ADDR,ADDR", value_delimiter = ',', help_heading = "Several hosts")]
    pub(crate) agents: Vec<String>,
    /// The secret of --agent and --agents: 16 characters or more, the same for all. Others can read
    /// a command line: rather write it into LARIAT_TOKEN. It is never sent, but what is sent, also
    /// headers and messages, is not encrypted, and after the start not authenticated either: use a
    /// network that you trust, or `ssh -L`
    #[arg(long, value_name = "TEXT", help_heading = "Several hosts")]
    pub(crate) token: Option<String>,

    /// The part of this process among several: I/K
    #[arg(long, hide = true)]
    pub(crate) worker: Option<String>,
}

impl Options {
    /// Returns how many processes do the run, on all hosts.
    pub(crate) fn workers(&self) -> u64 {
        u64::from(self.processes) * self.agents.len().max(1) as u64
    }

    /// Returns the Unix socket to connect to.
    pub(crate) fn unix_path(&self) -> Option<&Path> {
        #[cfg(unix)]
        return self.unix.as_deref();
        #[cfg(not(unix))]
        None
    }
}

// Where the report of a run goes, or that of several together. Without documentation, as above.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Outputs {
    /// Exit with 1 unless all of these hold: "p99<20ms,errors=0"
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Report")]
    pub(crate) expect: Vec<Expectation>,
    /// Write the report as JSON; "-" is standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as an HTML page with charts; "-" is standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
    /// Write JUnit XML: a test case for the run, each expectation and each step of a scenario; "-"
    /// is standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) junit: Option<PathBuf>,
}
