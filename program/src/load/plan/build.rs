//! The plan of a run, made from the options.

use super::expect::Bound;
use super::malformed::{Hostiles, hostiles};
use super::message::length;
use super::options::{Options, Usage};
use super::pace::{Churn, Mode, Opening, Pace, churn, mode, pace};
use super::storm::{Reconnect, StormPlan};
use super::targets::{Route, base, find, is_local, sources, spreads, try_out};
use super::texts::Texts;
use crate::doctor::{self, Ask, Finding, Host, Side};
use crate::load::content::{Names, Payload, Rows, Who};
use crate::load::measure::Asked;
use crate::load::scenario::Scenario;
use crate::terminal::units::{bytes, counted};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether all servers are on this host.
    pub(crate) is_local: bool,
    /// One for each URL and source address.
    pub(crate) routes: Vec<Route>,
    /// The connections of this process.
    pub(crate) connections: u32,
    /// The number of the first connection of this process.
    pub(crate) first_number: u32,
    pub(crate) opening: Opening,
    pub(crate) hold: Duration,
    pub(crate) duration: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) ping: Option<Duration>,
    pub(crate) mode: Mode,
    pub(crate) pace: Pace,
    pub(crate) payload: Payload,
    /// The length of the first message in bytes.
    pub(crate) message_bytes: usize,
    pub(crate) rows: Rows,
    pub(crate) churn: Option<Churn>,
    /// In the order of their times.
    pub(crate) storms: Vec<StormPlan>,
    pub(crate) reconnect: Option<Reconnect>,
    /// The share of connections that read slowly.
    pub(crate) slow_readers: f64,
    /// The Unix socket to connect to.
    pub(crate) unix: Option<PathBuf>,
    /// Without steps unless --scenario is given.
    pub(crate) scenario: Scenario,
    /// The parameter of the URL that names the last position.
    pub(crate) follow: Option<String>,
    pub(crate) until: Option<Bound>,
    pub(crate) deflate: bool,
    /// The hostile clients of this process, if there are any.
    pub(crate) hostiles: Option<Hostiles>,
    pub(crate) seed: u64,
    pub(crate) asked: Asked,
}

impl Plan {
    /// Makes a plan. This looks up the names of the servers.
    pub(crate) fn new(options: &Options, host: &Host) -> Result<Plan, Usage> {
        let unix = options.unix_path();
        let find = |url: &String| find(url, unix.is_some());
        let addresses = options.urls.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let (part, parts) = worker(options)?;
        let churn = options.churn.as_deref().map(churn).transpose()?;
        let opens_again = churn.is_some() || !options.storm.is_empty() || options.reconnect.is_some();
        let sources = if unix.is_some() { vec![None] } else { sources(options, host, &addresses, opens_again)? };
        let mode = mode(options);
        // Before the message is made, since that takes memory.
        let length = length(options)?;
        check_memory(options, pace(options, mode, options.connections)?, length, host)?;
        check(options, mode, churn)?;
        let texts = Texts::read(options, mode)?;
        let connections = texts.connections;
        let pace = pace(options, mode, connections)?;
        let names = Names { columns: texts.rows.names(), variables: &[] };
        let base = base(options, names)?;
        let route = |(url, address): (&String, &SocketAddr), source: &Option<IpAddr>| {
            Route::new(url, &base, *address, *source, names)
        };
        let targets = || options.urls.iter().zip(&addresses);
        let routes = sources.iter().flat_map(|source| targets().map(move |target| route(target, source)));
        let routes = routes.collect::<Result<Vec<Route>, _>>()?;
        // Others differ only in the address from which they connect.
        try_out(&routes[..options.urls.len()], &texts.rows, connections)?;
        let share = |all: u32, part: u32| (u64::from(all) * u64::from(part) / u64::from(parts)) as u32;
        let (first_number, end) = (share(connections, part), share(connections, part + 1));
        let each = |rate: f64| rate / f64::from(parts);
        let opening = match (options.rate, options.ramp) {
            (Some(rate), _) => Opening::Rate(each(rate)),
            (None, Some(ramp)) => Opening::Rate(each(f64::from(connections) / ramp.as_secs_f64())),
            (None, None) => Opening::AtOnce(options.at_once.div_ceil(parts)),
        };
        let hostiles = hostiles(options, &addresses)?
            .map(|all| Hostiles { clients: share(all.clients, part + 1) - share(all.clients, part), ..all });
        let asked = asked(options, mode, pace, &texts);
        Ok(Plan {
            is_local: unix.is_some() || addresses.iter().all(|address| is_local(*address)),
            addresses,
            routes,
            connections: end - first_number,
            first_number,
            opening,
            hold: texts.hold,
            duration: options.duration,
            timeout: options.timeout,
            ping: options.ping,
            mode,
            pace: match pace {
                Pace::Rate(rate) => Pace::Rate(each(rate)),
                Pace::Depth(depth) => Pace::Depth(depth),
            },
            payload: texts.payload,
            message_bytes: texts.message_bytes,
            rows: texts.rows,
            churn: churn.map(|churn| match churn {
                Churn::Rate(rate) => Churn::Rate(each(rate)),
                Churn::Max => Churn::Max,
            }),
            storms: storms(options),
            reconnect: options.reconnect.or_else(|| (!options.storm.is_empty()).then(Reconnect::default)),
            slow_readers: options.slow_readers.unwrap_or_default(),
            unix: unix.map(Path::to_owned),
            scenario: texts.scenario,
            follow: options.follow.clone(),
            until: options.until,
            deflate: options.request.deflate,
            hostiles: hostiles.filter(|own| own.clients > 0),
            seed: options.seed,
            asked,
        })
    }

    /// Returns for whom a text is filled in: the number of a connection, that of a message on it,
    /// and its intended time in nanoseconds.
    #[inline]
    pub(crate) fn who(&self, id: u32, seq: u32, time: u64) -> Who<'_> {
        Who { id, seq, time, seed: self.seed, rows: &self.rows, variables: &[] }
    }

    /// Returns whether connections are opened again while they are held.
    pub(crate) fn opens_again(&self) -> bool {
        self.churn.is_some() || self.reconnect.is_some() || self.mode == Mode::Follow
    }

    /// Returns whether a connection reads slowly.
    pub(crate) fn is_slow(&self, number: u32) -> bool {
        // A share such as 0.29 is a little less in binary.
        let before = |number: f64| (number * self.slow_readers + 1e-9).floor();
        self.slow_readers > 0.0 && before(f64::from(number) + 1.0) > before(f64::from(number))
    }

    /// Returns what the limits of the host mean for so many connections.
    pub(crate) fn findings(&self, options: &Options, host: &Host) -> Vec<Finding> {
        let spreads = options.source_ip.is_empty() && self.addresses.iter().all(spreads);
        let ask = Ask {
            connections: Some(options.connections.into()),
            side: if self.is_local { Side::Both } else { Side::Client },
            routes: (!spreads && self.unix.is_none()).then_some(self.routes.len() as u64),
            processes: options.processes.into(),
        };
        doctor::findings(host, &ask)
    }
}

fn storms(options: &Options) -> Vec<StormPlan> {
    let mut storms = options.storm.clone();
    storms.sort_by_key(|storm| storm.at);
    storms
}

/// Refuses options that cannot be combined.
pub(super) fn check(options: &Options, mode: Mode, churn: Option<Churn>) -> Result<(), Usage> {
    let workers = options.workers();
    let several = workers > 1;
    let wrong = [
        (mode == Mode::Subscribe && churn.is_some(), "--subscribe and --churn: the receivers would not be known"),
        (
            mode == Mode::Subscribe && several,
            "--subscribe and --processes or several --agents: one process must see all receivers",
        ),
        (
            options.until.is_some() && several,
            "--until and --processes or several --agents: one process must judge each rate",
        ),
        (
            mode == Mode::Subscribe && (!options.storm.is_empty() || options.reconnect.is_some()),
            "--subscribe with --storm or --reconnect: the receivers would not be known",
        ),
        (
            options.malformed.is_some() && options.unix_path().is_some(),
            "--malformed and --unix: hostile clients connect over TCP",
        ),
        (!options.storm.is_empty() && churn.is_some(), "--storm and --churn: use one of them"),
        (
            options.until.is_some() && !options.storm.is_empty(),
            "--until and --storm: a search needs steady connections",
        ),
        (options.until.is_some() && churn.is_some(), "--until and --churn: a search needs steady connections"),
        (
            churn == Some(Churn::Max) && mode != Mode::Hold,
            "--churn max and messages: no connection stays open long enough",
        ),
        (
            mode == Mode::Subscribe && options.connections < 2,
            "--subscribe and --connections 1: a subscriber is needed as well; use at least --connections 2",
        ),
        (
            workers > options.connections.into(),
            "--processes and --connections: there are more --processes, on all --agents, than --connections",
        ),
    ];
    match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, why)) => Err(Usage(format!("cannot combine {why}"))),
        None => Ok(()),
    }
}

/// Refuses messages that would not fit in memory while they wait to be sent.
fn check_memory(options: &Options, pace: Pace, length: u64, host: &Host) -> Result<(), Usage> {
    let (Some(available), Some(waiting)) = (host.memory_available, waiting(options, pace)) else { return Ok(()) };
    let needed = length.saturating_mul(waiting);
    if needed <= available {
        return Ok(());
    }
    Err(Usage(format!(
        "{} of {} may wait to be sent at a time, but {} of memory are available: use fewer connections, a lower --depth or a smaller message",
        counted(waiting, "message"),
        bytes(length as f64),
        bytes(available as f64)
    )))
}

/// Returns how many messages may wait to be sent at a time, or `None` if no messages are sent.
fn waiting(options: &Options, pace: Pace) -> Option<u64> {
    let connections = u64::from(if options.subscribe { 1 } else { options.connections });
    match (mode(options), pace) {
        (Mode::Hold | Mode::Follow | Mode::Scenario, _) => None,
        (_, Pace::Depth(depth)) => Some(connections * u64::from(depth)),
        // At a rate, a connection for which more than this waits counts as stalled.
        (_, Pace::Rate(_)) => Some(connections * 2),
    }
}

/// Returns the part of this process, and the number of processes.
fn worker(options: &Options) -> Result<(u32, u32), Usage> {
    let Some(text) = &options.worker else { return Ok((0, 1)) };
    let parts = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parts.filter(|(part, parts)| part < parts).ok_or_else(|| Usage(format!("--worker {text} is not I/K")))
}

pub(super) fn asked(options: &Options, mode: Mode, pace: Pace, texts: &Texts) -> Asked {
    let sends = !matches!(mode, Mode::Hold | Mode::Follow | Mode::Scenario);
    let ramp = options.ramp.map(|ramp| f64::from(texts.connections) / ramp.as_secs_f64());
    Asked {
        urls: options.urls.clone(),
        connections: texts.connections.into(),
        mode: match mode {
            Mode::Hold => "hold",
            Mode::Send => "send",
            Mode::Echo => "echo",
            Mode::Subscribe => "subscribe",
            Mode::Follow => "follow",
            Mode::Scenario => "scenario",
        }
        .to_owned(),
        rate: options.rate.or(ramp),
        hold_s: texts.hold_s(),
        messages_per_second: match pace {
            Pace::Rate(rate) if sends && options.until.is_none() => Some(rate),
            _ => None,
        },
        depth: match pace {
            Pace::Depth(depth) if sends => Some(depth),
            _ => None,
        },
        message_bytes: if sends { texts.message_bytes as u64 } else { 0 },
        binary: texts.payload.is_binary(),
        deflate: options.request.deflate,
        churn: options.churn.clone(),
        until: options.until.map(|bound| bound.to_string()),
        processes: options.processes,
        agents: options.agents.clone(),
        seed: options.seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let line = ["load"].iter().chain(arguments).chain(&["ws://127.0.0.1:9/"]).copied();
        let options = Line::try_parse_from(line).map_err(|error| error.to_string())?.options;
        let host = Host { ports: Some((30_000, 39_999)), ..Host::default() };
        Plan::new(&options, &host).map_err(|Usage(why)| why)
    }

    fn refusal(arguments: &[&str]) -> String {
        plan(arguments).map(|_| ()).expect_err("it makes no sense")
    }

    #[test]
    fn options_become_a_plan() {
        let hold = plan(&[]).expect("it makes sense");
        assert_eq!((hold.mode, hold.connections, hold.opening), (Mode::Hold, 100, Opening::AtOnce(128)));
        let echo = plan(&["--echo", "--pipeline", "32", "-c", "4"]).expect("it makes sense");
        assert_eq!((echo.mode, echo.pace), (Mode::Echo, Pace::Depth(32)));
        let send = plan(&["-m", "0.5/connection", "-c", "10", "--ramp", "5s"]).expect("it makes sense");
        assert_eq!((send.mode, send.pace, send.opening), (Mode::Send, Pace::Rate(5.0), Opening::Rate(2.0)));
        let churn = plan(&["--churn", "30/m"]).expect("it makes sense");
        assert_eq!((churn.churn, churn.routes.len()), (Some(Churn::Rate(0.5)), 64));
        let until = plan(&["--until", "p99<5ms"]).expect("it makes sense");
        assert_eq!((until.mode, until.pace), (Mode::Echo, Pace::Rate(1_000.0)));
    }

    #[test]
    fn rates_are_those_of_the_connections_for_which_there_are_rows() {
        let path = std::env::temp_dir().join(format!("lariat-rates-{}.csv", std::process::id()));
        std::fs::write(&path, "name\na\nb\n").expect("a file");
        let data = path.display().to_string();
        let plan = plan(&["-c", "100", "-m", "3/connection", "--ramp", "4s", "--data", &data, "--rows", "end"]);
        let plan = plan.unwrap_or_else(|why| panic!("{why}"));
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!((plan.connections, plan.pace, plan.opening), (2, Pace::Rate(6.0), Opening::Rate(0.5)));
        assert_eq!((plan.asked.rate, plan.asked.messages_per_second), (Some(0.5), Some(6.0)));
    }

    #[test]
    fn options_that_make_no_sense_are_explained() {
        assert!(refusal(&["--insecure"]).contains("wss://"));
        assert!(refusal(&["wss://127.0.0.1/", "--ca", "/no/such/file"]).contains("/no/such/file"));
        assert!(refusal(&["http://127.0.0.1/"]).contains("ws://host:port/path"));
        assert!(refusal(&["--subscribe", "--churn", "5"]).contains("receivers"));
        assert!(refusal(&["--subscribe", "-c", "1"]).contains("--connections 2"));
        assert!(refusal(&["--churn", "often"]).contains("or max"));
        assert!(refusal(&["--echo", "-m", "x"]).contains("500/s"));
        assert!(refusal(&["--echo", "--subscribe"]).contains("cannot be used with"));
        for other in [&["--echo"][..], &["--subscribe"], &["-m", "5"], &["--until", "p99<1s"], &["--churn", "5"]] {
            assert!(refusal(&[&["--follow", "after"], other].concat()).contains("cannot be used with"), "{other:?}");
        }
        for parameter in ["", "a=b", "a&b", "a b"] {
            assert!(refusal(&["--follow", parameter]).contains("?NAME=POSITION"), "{parameter:?}");
        }
        for header in ["a b", "NoColon", ": x", "a b: c", "a: b\u{7f}c"] {
            assert!(refusal(&["--header", header]).contains("Name: value"), "{header:?}");
        }
        for message in ["./no/such/file", "../no-such-file", "/no/such/file", "/"] {
            assert!(refusal(&["--echo", "--message", message]).contains(message), "{message:?}");
        }
        assert!(refusal(&["WSS://no-such-host.invalid/"]).contains("has no address"));
        let with_password = refusal(&["ws://user:secret@127.0.0.1:9/"]);
        assert!(with_password.contains("Authorization") && !with_password.contains("secret"), "{with_password}");
        assert!(refusal(&["ws://127.0.0.1:9/#part"]).contains("fragment"));
        assert!(refusal(&["--source-ip", "192.0.2.1"]).contains("not an address of this host"));
        assert!(refusal(&["--processes", "8", "-c", "4"]).contains("more --processes"));
    }

    #[test]
    fn what_people_write_works() {
        let works = |arguments: &[&str]| plan(arguments).unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
        assert_eq!(works(&["-c", "10k"]).connections, 10_000);
        assert_eq!(works(&["-c", "10,000", "--at-once", "1,000"]).opening, Opening::AtOnce(1_000));
        assert_eq!(works(&["WS://127.0.0.1:9/"]).addresses.len(), 2);
        assert_eq!(works(&["--echo", "--message", "/quit"]).message_bytes, 5, "a text, not a file");
        assert_eq!(works(&["--echo", "--message", "/me is / here"]).message_bytes, 13);
    }

    #[test]
    fn messages_that_do_not_fit_in_memory_are_refused() {
        let host = Host { memory_available: Some(1 << 30), ..Host::default() };
        let check = |arguments: &[&str]| {
            let line = ["load"].iter().chain(arguments).chain(&["ws://127.0.0.1:9/"]).copied();
            let options = Line::try_parse_from(line).expect("options").options;
            let pace = pace(&options, mode(&options), options.connections).expect("a pace");
            check_memory(&options, pace, options.size as u64, &host).map_err(|Usage(why)| why)
        };
        assert_eq!(check(&["-c", "16", "--echo", "--size", "64MiB"]), Ok(()));
        assert_eq!(check(&["-c", "17", "--size", "64MiB"]), Ok(()), "nothing is sent");
        assert_eq!(check(&["-c", "17", "--subscribe", "--size", "64MiB"]), Ok(()));
        for arguments in [
            &["-c", "17", "--echo", "--size", "64MiB"][..],
            &["-c", "1", "--echo", "--depth", "17", "--size", "64MiB"],
            &["-c", "9", "-m", "1", "--size", "64MiB"],
        ] {
            assert!(check(arguments).is_err_and(|why| why.contains("available")), "{arguments:?}");
        }
    }

    #[test]
    fn all_processes_together_have_the_requested_connections() {
        for (connections, processes) in [(10, 3), (7, 7), (100_001, 6)] {
            let mut next = 0;
            for part in 0..processes {
                let (count, worker) = (format!("{connections}"), format!("{part}/{processes}"));
                let plan = plan(&["-c", &count, "--worker", &worker]).expect("it makes sense");
                assert_eq!(plan.first_number, next);
                next += plan.connections;
            }
            assert_eq!(next, connections);
        }
    }

    #[test]
    fn loopback_has_as_many_addresses_as_needed() {
        let sources = |count: &str| plan(&["-c", count]).expect("it makes sense").routes.len();
        let expected = if cfg!(target_os = "linux") { [1, 1, 2, 40] } else { [1; 4] };
        assert_eq!(["1", "2500", "2501", "100000"].map(sources), expected);
    }
}
