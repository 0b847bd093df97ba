//! The limits of a host that N connections reach, the number at which they do, and how to raise
//! them.
//!
//! A function from facts to sentences. It reads nothing from the host, so every case is a line in
//! the table of its test.

use super::host::{Host, Used};
use crate::terminal::units::{bytes, grouped};
use serde::Serialize;

/// The descriptors that a program has open besides its connections: standard streams, poller,
/// listeners.
const OTHER_FILES: u64 = 16;

/// The bytes that the kernel needs for an idle TCP socket.
pub(crate) const SOCKET_BYTES: u64 = 4_096;

/// The bytes that `lariat serve` and `lariat load` need for a connection.
pub(crate) const SERVER_BYTES: u64 = 64;
const CLIENT_BYTES: u64 = 128;

/// The ends of the connections that are on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
    /// Both ends, over loopback.
    Both,
}

impl Side {
    const fn is_client(self) -> bool {
        matches!(self, Side::Client | Side::Both)
    }

    const fn is_server(self) -> bool {
        matches!(self, Side::Server | Side::Both)
    }

    /// Returns the number of sockets on this host per connection.
    const fn sockets(self) -> u64 {
        if matches!(self, Side::Both) { 2 } else { 1 }
    }

    const fn bytes(self) -> u64 {
        self.sockets() * SOCKET_BYTES
            + if self.is_server() { SERVER_BYTES } else { 0 }
            + if self.is_client() { CLIENT_BYTES } else { 0 }
    }
}

/// A question about a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// `None` asks how many it holds.
    pub(crate) connections: Option<u64>,
    pub(crate) side: Side,
    /// The number of pairs of a local address and a server address. Each pair has its own ports.
    /// `None` means as many as needed, as on loopback.
    pub(crate) routes: Option<u64>,
    /// The number of client processes that share the connections.
    pub(crate) processes: u64,
}

/// What a limit means for the requested connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// They do not fit.
    Stops,
    /// They fit, but the user should know something.
    Warns,
    Fits,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// A stable name.
    pub(crate) limit: &'static str,
    pub(crate) what: String,
    pub(crate) value: String,
    /// The connections that it allows; `None` if it does not limit their number.
    pub(crate) connections: Option<u64>,
    /// What to do, if anything needs to be done.
    pub(crate) advice: Option<String>,
}

/// Returns all limits of the host that are known, the worst first.
pub(crate) fn findings(host: &Host, ask: &Ask) -> Vec<Finding> {
    let checks: [fn(&Host, &Ask) -> Option<Finding>; 11] = [
        hard_files,
        soft_files,
        all_files,
        ports,
        conntrack,
        group_memory,
        memory,
        tcp_memory,
        pids,
        backlog,
        syn_backlog,
    ];
    let mut found: Vec<Finding> = checks.iter().filter_map(|check| check(host, ask)).collect();
    found.sort_by_key(|finding| (finding.verdict, finding.connections.unwrap_or(u64::MAX)));
    if ask.connections.is_none() {
        // Only the first limit is reached.
        found.iter_mut().skip(1).for_each(|finding| finding.advice = None);
    }
    found
}

/// Returns the most connections that fit, and the finding that limits them.
pub(crate) fn most(findings: &[Finding]) -> Option<(u64, &Finding)> {
    let limiting = findings.iter().filter(|finding| finding.limit != "files-soft");
    let allowing = limiting.filter_map(|finding| Some((finding.connections?, finding)));
    allowing.min_by_key(|(connections, _)| *connections)
}

/// Returns a limit of the number of connections. Its verdict is `Stops` if it allows fewer than
/// requested.
fn limited(ask: &Ask, limit: &'static str, what: &str, value: String, allows: u64, advice: String) -> Finding {
    let stops = ask.connections.is_some_and(|connections| connections > allows);
    Finding {
        verdict: if stops { Verdict::Stops } else { Verdict::Fits },
        limit,
        what: what.to_owned(),
        value,
        connections: Some(allows),
        advice: Some(advice).filter(|_| stops || ask.connections.is_none()),
    }
}

/// Returns the descriptors that the largest process needs for the requested connections.
fn files_needed(ask: &Ask) -> u64 {
    ask.connections.map_or(1 << 20, |connections| connections.div_ceil(sharing(ask)).saturating_add(OTHER_FILES))
}

/// Returns how many processes share the descriptors: there may be several clients, but one server.
const fn sharing(ask: &Ask) -> u64 {
    if ask.side.is_server() || ask.processes == 0 { 1 } else { ask.processes }
}

fn files_allow(ask: &Ask, files: u64) -> u64 {
    files.saturating_sub(OTHER_FILES).saturating_mul(sharing(ask))
}

fn hard_files(host: &Host, ask: &Ask) -> Option<Finding> {
    let hard = host.files_hard?;
    let needed = files_needed(ask);
    let mut advice =
        format!("as root: ulimit -Hn {needed} && ulimit -Sn {needed}; for a service: LimitNOFILE={needed} in its unit");
    if host.files_ceiling.is_some_and(|ceiling| ceiling < needed) {
        advice = format!("sysctl -w fs.nr_open={needed}; then {advice}");
    }
    if ask.side == Side::Client {
        advice += &format!("; or lariat load --processes {}", needed.div_ceil(hard.max(1)).max(2));
    }
    let value = grouped(hard);
    Some(limited(ask, "files-hard", "open files of a process, hard limit", value, files_allow(ask, hard), advice))
}

fn soft_files(host: &Host, ask: &Ask) -> Option<Finding> {
    let (soft, hard) = (host.files_soft?, host.files_hard?);
    let allows = files_allow(ask, soft);
    if soft >= hard || ask.connections.is_some_and(|connections| connections <= allows) {
        return None;
    }
    Some(Finding {
        verdict: Verdict::Warns,
        limit: "files-soft",
        what: "open files of a process, soft limit".to_owned(),
        value: grouped(soft),
        connections: Some(allows),
        advice: Some(format!(
            "lariat raises this limit itself; for other programs: ulimit -Sn {}",
            files_needed(ask).min(hard)
        )),
    })
}

fn all_files(host: &Host, ask: &Ask) -> Option<Finding> {
    let files = host.files_all?;
    let needed = files.used + files_needed(ask) * ask.side.sockets();
    let allows = files.free() / ask.side.sockets();
    let advice = format!("sysctl -w fs.file-max={needed} (kern.maxfiles on macOS and BSD)");
    let value = used(files, grouped);
    Some(limited(ask, "files-all", "open files of all processes", value, allows, advice))
}

fn ports(host: &Host, ask: &Ask) -> Option<Finding> {
    let (first, last) = host.ports.filter(|_| ask.side.is_client())?;
    let count = u64::from(last.saturating_sub(first)) + 1;
    let waiting = host.time_wait.unwrap_or(0);
    let value = match waiting {
        0 => format!("{first} to {last}"),
        waiting => format!("{first} to {last}, {} in TIME_WAIT", grouped(waiting)),
    };
    let what = "ports for outgoing connections";
    let Some(routes) = ask.routes else {
        let sources = ask.connections.unwrap_or(count).div_ceil(count);
        return Some(Finding {
            verdict: Verdict::Fits,
            limit: "ports",
            what: what.to_owned(),
            value,
            connections: None,
            advice: (sources > 1).then(|| format!("lariat load uses {sources} addresses of 127.0.0.0/8 by itself")),
        });
    };
    let needed = ask.connections.unwrap_or(count + 1).div_ceil(count);
    let advice = format!(
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\" (64,512 for each address), or {needed} addresses: lariat load --source-ip A,B"
    );
    Some(limited(ask, "ports", what, value, count * routes, advice))
}

fn conntrack(host: &Host, ask: &Ask) -> Option<Finding> {
    let tracked = host.conntrack?;
    let needed = tracked.used + ask.connections.unwrap_or(1 << 20);
    let advice = format!("sysctl -w net.netfilter.nf_conntrack_max={needed}, or a NOTRACK rule for the port");
    let value = used(tracked, grouped);
    let mut finding =
        limited(ask, "conntrack", "connections that the firewall tracks", value, tracked.free(), advice.clone());
    if tracked.used == 0 {
        // The table exists once the kernel module is loaded. It stays empty unless a rule needs it.
        let is_short = finding.verdict == Verdict::Stops;
        finding.verdict = if is_short { Verdict::Warns } else { Verdict::Fits };
        finding.connections = None;
        finding.advice =
            is_short.then(|| format!("nothing is tracked now; if a firewall rule needs tracking: {advice}"));
    }
    Some(finding)
}

fn group_memory(host: &Host, ask: &Ask) -> Option<Finding> {
    let memory = host.group_memory?;
    let allows = memory.free() / ask.side.bytes();
    let needed = memory.used + ask.connections.unwrap_or(0) * ask.side.bytes();
    let advice =
        format!("give the control group {} (MemoryMax= of the unit, --memory of the container)", bytes(needed as f64));
    let value = used(memory, |number| bytes(number as f64));
    Some(limited(ask, "group-memory", "memory of the control group", value, allows, advice))
}

fn memory(host: &Host, ask: &Ask) -> Option<Finding> {
    let available = host.memory_available?;
    let each = ask.side.bytes();
    let advice = format!("{} are needed: {each} bytes per connection, including those of the kernel", {
        bytes((ask.connections.unwrap_or(0) * each) as f64)
    });
    let advice = if ask.connections.is_some() {
        advice
    } else {
        format!("{each} bytes per connection, including those of the kernel")
    };
    Some(limited(ask, "memory", "memory available", bytes(available as f64), available / each, advice))
}

fn tcp_memory(host: &Host, ask: &Ask) -> Option<Finding> {
    let memory = host.tcp_bytes?;
    let connections = ask.connections?;
    let each = memory.free() / (connections * ask.side.sockets()).max(1);
    let is_short = each < 16 << 10;
    Some(Finding {
        verdict: if is_short { Verdict::Warns } else { Verdict::Fits },
        limit: "tcp-memory",
        what: "memory of TCP buffers".to_owned(),
        value: used(memory, |number| bytes(number as f64)),
        connections: None,
        advice: is_short.then(|| {
            format!(
                "{} per socket if all sockets have data in flight; idle sockets need none. Raise it with sysctl -w net.ipv4.tcp_mem",
                bytes(each as f64)
            )
        }),
    })
}

fn pids(host: &Host, ask: &Ask) -> Option<Finding> {
    let pids = host.group_pids?;
    let is_short = ask.connections.is_some_and(|connections| connections > pids.free());
    Some(Finding {
        verdict: Verdict::Fits,
        limit: "group-pids",
        what: "threads of the control group".to_owned(),
        value: used(pids, grouped),
        connections: None,
        advice: is_short
            .then(|| "lariat has one thread; a server with a thread per connection reaches this limit".into()),
    })
}

fn backlog(host: &Host, ask: &Ask) -> Option<Finding> {
    let backlog = host.backlog.filter(|_| ask.side.is_server())?;
    let advice = format!(
        "if more than {} come at once, the others wait for a second and try again: use a rate (lariat load --rate), or sysctl -w net.core.somaxconn=65535 and a server that uses as large a backlog",
        grouped(backlog)
    );
    Some(queue(ask, "backlog", "connections that wait to be accepted", backlog, advice))
}

fn syn_backlog(host: &Host, ask: &Ask) -> Option<Finding> {
    let backlog = host.syn_backlog.filter(|_| ask.side == Side::Server)?;
    let advice = "more half-open connections get SYN cookies, or wait: sysctl -w net.ipv4.tcp_max_syn_backlog=65535";
    Some(queue(ask, "syn-backlog", "connections that are half open", backlog, advice.to_owned()))
}

/// Returns a limit of the connections that arrive at once, not of those that are open.
fn queue(ask: &Ask, limit: &'static str, what: &str, length: u64, advice: String) -> Finding {
    let is_short = ask.connections.is_some_and(|connections| connections > length);
    Finding {
        verdict: if is_short { Verdict::Warns } else { Verdict::Fits },
        limit,
        what: what.to_owned(),
        value: grouped(length),
        connections: None,
        advice: Some(advice).filter(|_| is_short),
    }
}

fn used(used: Used, show: impl Fn(u64) -> String) -> String {
    format!("{}, {} used", show(used.limit), show(used.used))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with room for everything.
    fn roomy() -> Host {
        let plenty = Some(Used { limit: 1 << 40, used: 5 });
        Host {
            files_soft: Some(1 << 30),
            files_hard: Some(1 << 30),
            files_ceiling: Some(1 << 30),
            files_all: plenty,
            backlog: Some(1 << 20),
            syn_backlog: Some(1 << 20),
            ports: Some((32_768, 60_999)),
            tcp_bytes: plenty,
            conntrack: plenty,
            group_memory: plenty,
            group_pids: plenty,
            memory_available: Some(1 << 40),
            time_wait: Some(0),
        }
    }

    fn ask(connections: u64, side: Side) -> Ask {
        Ask { connections: Some(connections), side, routes: None, processes: 1 }
    }

    fn first(host: &Host, ask: &Ask) -> (Verdict, &'static str, Option<u64>, String) {
        let finding = findings(host, ask).swap_remove(0);
        (finding.verdict, finding.limit, finding.connections, finding.advice.unwrap_or_default())
    }

    /// A host, a question, and the first finding of the answer.
    type Case = (Host, Ask, Verdict, &'static str, Option<u64>, &'static str);

    #[test]
    fn the_limit_that_stops_first_comes_first() {
        use Side::{Both, Client, Server};
        use Verdict::{Stops, Warns};
        let used = |limit, used| Some(Used { limit, used });
        let from = |routes| Ask { routes: Some(routes), ..ask(30_000, Client) };
        let shared = Ask { processes: 4, ..ask(30_000, Client) };
        let cases: [Case; 15] = [
            (
                Host { files_hard: Some(1_024), ..roomy() },
                ask(1_009, Server),
                Stops,
                "files-hard",
                Some(1_008),
                "ulimit -Hn 1025 ",
            ),
            (
                Host { files_hard: Some(1_024), ..roomy() },
                ask(30_000, Client),
                Stops,
                "files-hard",
                Some(1_008),
                "--processes 30",
            ),
            (
                Host { files_hard: Some(1_024), files_ceiling: Some(1_024), ..roomy() },
                ask(5_000, Server),
                Stops,
                "files-hard",
                Some(1_008),
                "fs.nr_open=5016",
            ),
            (Host { files_hard: Some(4_016), ..roomy() }, shared, Stops, "files-hard", Some(16_000), "7516"),
            (
                Host { files_soft: Some(1_024), ..roomy() },
                ask(5_000, Server),
                Warns,
                "files-soft",
                Some(1_008),
                "raises this limit itself",
            ),
            (
                Host { files_all: used(3_000, 1_000), ..roomy() },
                ask(1_001, Both),
                Stops,
                "files-all",
                Some(1_000),
                "fs.file-max=3034",
            ),
            (roomy(), from(1), Stops, "ports", Some(28_232), "2 addresses"),
            (
                roomy(),
                Ask { connections: Some(60_000), ..from(2) },
                Stops,
                "ports",
                Some(56_464),
                "ip_local_port_range",
            ),
            (
                Host { conntrack: used(1_000, 10), ..roomy() },
                ask(991, Server),
                Stops,
                "conntrack",
                Some(990),
                "nf_conntrack_max=1001",
            ),
            (
                Host { conntrack: used(1_000, 0), ..roomy() },
                ask(1_001, Server),
                Warns,
                "conntrack",
                None,
                "nothing is tracked now",
            ),
            (
                Host { group_memory: used(5_000_000, 840_000), ..roomy() },
                ask(1_001, Server),
                Stops,
                "group-memory",
                Some(1_000),
                "MemoryMax",
            ),
            (
                Host { memory_available: Some(8_384_000), ..roomy() },
                ask(1_001, Both),
                Stops,
                "memory",
                Some(1_000),
                "8384 bytes per",
            ),
            (
                Host { tcp_bytes: used(1 << 20, 0), ..roomy() },
                ask(1_024, Server),
                Warns,
                "tcp-memory",
                None,
                "1,024 bytes",
            ),
            (Host { backlog: Some(128), ..roomy() }, ask(129, Server), Warns, "backlog", None, "--rate"),
            (
                Host { syn_backlog: Some(128), ..roomy() },
                ask(129, Server),
                Warns,
                "syn-backlog",
                None,
                "tcp_max_syn_backlog",
            ),
        ];
        for (host, ask, verdict, limit, connections, advice) in cases {
            let found = first(&host, &ask);
            assert_eq!((found.0, found.1, found.2), (verdict, limit, connections), "{}", found.3);
            assert!(found.3.contains(advice), "{limit}: {:?} does not say {advice:?}", found.3);
        }
    }

    #[test]
    fn of_several_limits_the_lowest_stops_first() {
        let host = Host { files_hard: Some(20_000), memory_available: Some(41_600_000), ..roomy() };
        let found = findings(&host, &ask(50_000, Side::Server));
        let stopping: Vec<&str> = found.iter().filter(|f| f.verdict == Verdict::Stops).map(|f| f.limit).collect();
        assert_eq!(stopping, ["memory", "files-hard"]);
        assert_eq!(most(&found).map(|(most, finding)| (most, finding.limit)), Some((10_000, "memory")));
    }

    #[test]
    fn what_fits_needs_no_advice() {
        for side in [Side::Server, Side::Client, Side::Both] {
            let found = findings(&roomy(), &ask(10_000, side));
            assert!(found.iter().all(|f| f.verdict == Verdict::Fits && f.advice.is_none()), "{side:?}: {found:#?}");
        }
        assert!(findings(&Host::default(), &ask(10_000, Side::Both)).is_empty());
    }
}
