//! What can be asked of `lariat load`, and how is it written?

use super::expect::{Bound, Expectation};
use crate::terminal::units;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options that make no sense, and a sentence that says which would.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// Open many connections to a server, hold them, send messages, and say what limited it.
///
/// Without --echo, --subscribe or --messages-per-second, the connections are only held. With --echo
/// alone, each connection sends its next message when the last has come back; with a rate, messages
/// go out on time whatever comes back.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where to connect: ws://HOST:PORT/PATH; connections are spread over several
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// How many connections
    #[arg(long, short = 'c', value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=50_000_000), help_heading = "Connections")]
    pub(crate) connections: u32,
    /// Connections begun per second [default: as fast as the server takes them, --at-once at a
    /// time]
    #[arg(long, value_name = "R/s", value_parser = units::rate, help_heading = "Connections")]
    pub(crate) rate: Option<f64>,
    /// Begin all connections evenly over this time
    #[arg(long, value_name = "TIME", value_parser = units::duration, conflicts_with = "rate", help_heading = "Connections")]
    pub(crate) ramp: Option<Duration>,
    /// Handshakes under way at a time, without --rate or --ramp
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Connections")]
    pub(crate) at_once: u32,
    /// How long to hold them once the last is open; messages go out in this time [default: 10s;
    /// with --until 3s for each rate]
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) hold: Option<Duration>,
    /// End the run after this time at the latest
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) duration: Option<Duration>,
    /// While holding, so many connections close and come back: R/s, or "max" for each as soon as it
    /// is open
    #[arg(long, value_name = "R/s", help_heading = "Connections")]
    pub(crate) churn: Option<String>,
    /// How long a handshake, an answer or a Close may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) timeout: Duration,
    /// Ping a connection that has been silent for so long; one that stays silent twice as long is
    /// lost
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connections")]
    pub(crate) ping: Option<Duration>,
    /// Connect from these addresses, in turn [default: chosen by the kernel; on loopback 127.0.0.1
    /// and, when its ports do not suffice, those that follow]
    #[arg(long, value_name = "IP", value_delimiter = ',', help_heading = "Connections")]
    pub(crate) source_ip: Vec<IpAddr>,
    /// Share the connections among so many processes
    #[arg(long, value_name = "K", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_024), help_heading = "Connections")]
    pub(crate) processes: u32,

    /// Each message is expected back, and compared
    #[arg(long, help_heading = "Messages")]
    pub(crate) echo: bool,
    /// One connection sends, all others are expected to receive; measures the time to the last of
    /// them
    #[arg(long, conflicts_with = "echo", help_heading = "Messages")]
    pub(crate) subscribe: bool,
    /// Messages sent per second: R in all, or R/connection
    #[arg(long, short = 'm', value_name = "R", help_heading = "Messages")]
    pub(crate) messages_per_second: Option<String>,
    /// Without a rate: messages that are on the way at a time, on each connection with --echo, in
    /// each burst with --subscribe
    #[arg(long, visible_alias = "pipeline", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with = "messages_per_second", help_heading = "Messages")]
    pub(crate) depth: u32,
    /// Bytes of a message
    #[arg(long, value_name = "SIZE", default_value = "20", value_parser = units::size, help_heading = "Messages")]
    pub(crate) size: usize,
    /// Send text (the default)
    #[arg(long, conflicts_with = "binary", help_heading = "Messages")]
    pub(crate) text: bool,
    /// Send binary messages
    #[arg(long, help_heading = "Messages")]
    pub(crate) binary: bool,
    /// What to send: a text, or a file's content; {id}, {seq} and {time} become the connection's
    /// number, its message's and microseconds
    #[arg(long, value_name = "FILE|TEXT", conflicts_with = "size", help_heading = "Messages")]
    pub(crate) message: Option<String>,
    /// Search the highest rate of messages that keeps a bound, like "p99<50ms"
    #[arg(long, value_name = "BOUND", help_heading = "Messages")]
    pub(crate) until: Option<Bound>,
    /// What random payloads and choices grow from
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Messages")]
    pub(crate) seed: u64,

    /// Offer a subprotocol; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Handshake")]
    pub(crate) subprotocol: Vec<String>,
    /// Send a header, "Name: value"; may be repeated
    #[arg(long, value_name = "HEADER", help_heading = "Handshake")]
    pub(crate) header: Vec<String>,
    /// Send this Origin
    #[arg(long, value_name = "ORIGIN", help_heading = "Handshake")]
    pub(crate) origin: Option<String>,
    /// Offer compression
    #[arg(long, help_heading = "Handshake")]
    pub(crate) deflate: bool,

    /// The server's process, if it is on this host [default: found by its port]
    #[arg(long, value_name = "PID", help_heading = "Report")]
    pub(crate) pid: Vec<u32>,
    /// Exit with 1 unless all of this holds: "p99<20ms,errors=0"
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Report")]
    pub(crate) expect: Vec<Expectation>,
    /// Write the report as JSON; "-" for standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as a page with charts
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
    /// Write a line for each second; "-" for standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) csv: Option<PathBuf>,
    /// No progress, even on a terminal
    #[arg(long, short = 'q', help_heading = "Report")]
    pub(crate) quiet: bool,

    /// Which of several processes this is: I/K, of connections N
    #[arg(long, hide = true)]
    pub(crate) worker: Option<String>,
}
