//! The limits of this host.
//!
//! Linux shows its limits in `/proc` and `/sys`, macOS and the BSDs through `sysctl`. All of them
//! are read through a [`Source`], so that tests do not depend on the host.

use serde::Serialize;

/// The limits of a host, and how much of them is used. `None` means that the limit is not known or
/// does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    /// Open files of this process: the soft limit.
    pub(crate) files_soft: Option<u64>,
    /// Open files of this process: the hard limit.
    pub(crate) files_hard: Option<u64>,
    /// The most to which the hard limit can be raised (`fs.nr_open`).
    pub(crate) files_ceiling: Option<u64>,
    /// Open files of all processes.
    pub(crate) files_all: Option<Used>,
    /// Connections that wait to be accepted (`somaxconn`).
    pub(crate) backlog: Option<u64>,
    /// Connections that wait for the third segment of TCP's handshake (`tcp_max_syn_backlog`).
    pub(crate) syn_backlog: Option<u64>,
    /// Ports of outgoing connections, first and last.
    pub(crate) ports: Option<(u16, u16)>,
    /// Bytes of TCP buffers (`tcp_mem`).
    pub(crate) tcp_bytes: Option<Used>,
    /// Connections that the firewall tracks.
    pub(crate) conntrack: Option<Used>,
    /// Bytes of this process's control group.
    pub(crate) group_memory: Option<Used>,
    /// Processes and threads of this process's control group.
    pub(crate) group_pids: Option<Used>,
    /// Bytes that are available without swapping.
    pub(crate) memory_available: Option<u64>,
    /// Closed connections whose ports are not free yet.
    pub(crate) time_wait: Option<u64>,
}

/// A limit, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Used {
    pub(crate) limit: u64,
    pub(crate) used: u64,
}

impl Used {
    pub(crate) const fn free(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Where the facts come from.
pub(crate) trait Source {
    /// Returns the text of a file, or `None` if it cannot be read.
    fn file(&self, path: &str) -> Option<String>;
    /// Returns the output of `sysctl -n NAME`. It is used only where there is no `/proc`.
    fn sysctl(&self, name: &str) -> Option<String>;
    /// Returns the soft and the hard limit of open files.
    fn open_files(&self) -> Option<(u64, u64)>;
    /// Returns the size of a page in bytes.
    fn page_size(&self) -> u64;
}

/// The host that the program runs on.
struct Here;

impl Source for Here {
    fn file(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn sysctl(&self, name: &str) -> Option<String> {
        let output = std::process::Command::new("sysctl").args(["-n", name]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn open_files(&self) -> Option<(u64, u64)> {
        #[cfg(unix)]
        return rlimit::Resource::NOFILE.get().ok();
        #[cfg(not(unix))]
        None
    }

    fn page_size(&self) -> u64 {
        #[cfg(unix)]
        return rustix::param::page_size() as u64;
        #[cfg(not(unix))]
        4_096
    }
}

/// Reads the limits of this host.
pub(crate) fn read() -> Host {
    read_from(&Here)
}

pub(crate) fn read_from(source: &impl Source) -> Host {
    let files = source.open_files();
    let host =
        Host { files_soft: files.map(|(soft, _)| soft), files_hard: files.map(|(_, hard)| hard), ..Host::default() };
    if source.file("/proc/sys/fs/file-nr").is_some() { read_linux(source, host) } else { read_bsd(source, host) }
}

fn read_linux(source: &impl Source, host: Host) -> Host {
    let numbers = |path: &str| source.file(path).map(|text| numbers(&text)).unwrap_or_default();
    let number = |path: &str| numbers(path).first().copied();
    let ipv4 = |name: &str| format!("/proc/sys/net/ipv4/{name}");
    let sockets = source.file("/proc/net/sockstat").unwrap_or_default();
    let page = source.page_size();
    let used = |limit: Option<u64>, used: Option<u64>| limit.map(|limit| Used { limit, used: used.unwrap_or(0) });
    let tcp_mem = numbers(&ipv4("tcp_mem")).get(2).map(|pages| pages.saturating_mul(page));
    let tcp_used = after(&sockets, "TCP:", "mem").map(|pages| pages.saturating_mul(page));
    let file_nr = numbers("/proc/sys/fs/file-nr");
    let meminfo = source.file("/proc/meminfo").unwrap_or_default();
    Host {
        files_ceiling: number("/proc/sys/fs/nr_open"),
        files_all: used(file_nr.get(2).copied(), file_nr.first().copied()),
        backlog: number("/proc/sys/net/core/somaxconn"),
        syn_backlog: number(&ipv4("tcp_max_syn_backlog")),
        ports: match numbers(&ipv4("ip_local_port_range"))[..] {
            [first, last] => u16::try_from(first).ok().zip(u16::try_from(last).ok()),
            _ => None,
        },
        tcp_bytes: used(tcp_mem, tcp_used),
        conntrack: used(
            number("/proc/sys/net/netfilter/nf_conntrack_max"),
            number("/proc/sys/net/netfilter/nf_conntrack_count"),
        ),
        group_memory: group(source, "memory", "max", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
        group_pids: group(source, "pids", "max", ["pids.max", "pids.current"]),
        memory_available: after(&meminfo, "MemAvailable:", "MemAvailable:").map(|kib| kib.saturating_mul(1_024)),
        time_wait: after(&sockets, "TCP:", "tw"),
        ..host
    }
}

/// Reads the limits that macOS and the BSDs have, under their names.
fn read_bsd(source: &impl Source, host: Host) -> Host {
    let number = |names: &[&str]| {
        names.iter().find_map(|name| source.sysctl(name).and_then(|text| numbers(&text).first().copied()))
    };
    let port = |name: &str| number(&[name]).and_then(|port| u16::try_from(port).ok());
    let range = |name: &str| port(&format!("net.inet.ip.{name}first")).zip(port(&format!("net.inet.ip.{name}last")));
    let open = number(&["kern.num_files", "kern.openfiles"]).unwrap_or(0);
    let pages = number(&["vm.page_free_count", "vm.stats.vm.v_free_count"]);
    Host {
        files_ceiling: number(&["kern.maxfilesperproc"]),
        files_all: number(&["kern.maxfiles"]).map(|limit| Used { limit, used: open }),
        backlog: number(&["kern.ipc.somaxconn", "kern.ipc.soacceptqueue", "kern.somaxconn"]),
        ports: range("portrange."),
        memory_available: pages.map(|pages| pages.saturating_mul(source.page_size())),
        ..host
    }
}

/// Returns all whole numbers of a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Returns the number after `key`, in the line that begins with `line`.
fn after(text: &str, line: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|candidate| candidate.starts_with(line))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != key);
    words.nth(1)?.parse().ok()
}

/// Returns the tightest limit of the control groups of this process, of version 2 (`memory.max`) or
/// version 1.
fn group(source: &impl Source, controller: &str, limit: &str, names_v1: [&str; 2]) -> Option<Used> {
    let membership = source.file("/proc/self/cgroup")?;
    let mut tightest: Option<Used> = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, names) = if controllers.is_empty() {
            ("/sys/fs/cgroup".to_owned(), [format!("{controller}.{limit}"), format!("{controller}.current")])
        } else if controllers.split(',').any(|name| name == controller) {
            (format!("/sys/fs/cgroup/{controller}"), names_v1.map(str::to_owned))
        } else {
            continue;
        };
        let mut folder = path.trim_end_matches('/');
        loop {
            let number = |name: &str| source.file(&format!("{root}{folder}/{name}"))?.trim().parse().ok();
            // Without a limit, version 1 has a number near 2⁶³, and version 2 "max".
            if let Some(limit) = number(&names[0]).filter(|limit| *limit < 1 << 60) {
                let found = Used { limit, used: number(&names[1]).unwrap_or(0) };
                tightest = tightest.filter(|other| other.free() <= found.free()).or(Some(found));
            }
            let Some((parent, _)) = folder.rsplit_once('/') else { break };
            folder = parent;
        }
    }
    tightest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Pretended {
        files: HashMap<&'static str, &'static str>,
        sysctls: HashMap<&'static str, &'static str>,
    }

    impl Source for Pretended {
        fn file(&self, path: &str) -> Option<String> {
            self.files.get(path).map(|text| (*text).to_owned())
        }
        fn sysctl(&self, name: &str) -> Option<String> {
            self.sysctls.get(name).map(|text| (*text).to_owned())
        }
        fn open_files(&self) -> Option<(u64, u64)> {
            Some((1_024, 20_000))
        }
        fn page_size(&self) -> u64 {
            4_096
        }
    }

    #[test]
    fn linux_is_read() {
        let files = [
            ("/proc/sys/fs/file-nr", "806\t0\t2466177\n"),
            ("/proc/sys/fs/nr_open", "1048576\n"),
            ("/proc/sys/net/core/somaxconn", "4096\n"),
            ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "2048\n"),
            ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("/proc/sys/net/ipv4/tcp_mem", "287901\t383868\t575802\n"),
            ("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
            ("/proc/sys/net/netfilter/nf_conntrack_count", "17\n"),
            (
                "/proc/net/sockstat",
                "sockets: used 28\nTCP: inuse 4 orphan 0 tw 3 alloc 4 mem 202\nUDP: inuse 0 mem 9\n",
            ),
            ("/proc/meminfo", "MemTotal: 24684092 kB\nMemAvailable:   23529888 kB\n"),
            ("/proc/self/cgroup", "4:memory:/a/b\n8:pids:/\n0::/\n"),
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "400000\n"),
            ("/sys/fs/cgroup/pids/pids.max", "max\n"),
        ];
        let host = read_from(&Pretended { files: files.into(), ..Pretended::default() });
        let expected = Host {
            files_soft: Some(1_024),
            files_hard: Some(20_000),
            files_ceiling: Some(1_048_576),
            files_all: Some(Used { limit: 2_466_177, used: 806 }),
            backlog: Some(4_096),
            syn_backlog: Some(2_048),
            ports: Some((32_768, 60_999)),
            tcp_bytes: Some(Used { limit: 575_802 * 4_096, used: 202 * 4_096 }),
            conntrack: Some(Used { limit: 262_144, used: 17 }),
            group_memory: Some(Used { limit: 1_000_000, used: 400_000 }),
            group_pids: None,
            memory_available: Some(23_529_888 * 1_024),
            time_wait: Some(3),
        };
        assert_eq!(host, expected);
    }

    #[test]
    fn the_tightest_of_nested_groups_counts() {
        let files = [
            ("/proc/sys/fs/file-nr", "1 0 9\n"),
            ("/proc/self/cgroup", "0::/outer/inner\n"),
            ("/sys/fs/cgroup/outer/inner/memory.max", "5000\n"),
            ("/sys/fs/cgroup/outer/inner/memory.current", "100\n"),
            ("/sys/fs/cgroup/outer/memory.max", "6000\n"),
            ("/sys/fs/cgroup/outer/memory.current", "5500\n"),
            ("/sys/fs/cgroup/outer/pids.max", "64\n"),
            ("/sys/fs/cgroup/outer/pids.current", "4\n"),
        ];
        let host = read_from(&Pretended { files: files.into(), ..Pretended::default() });
        assert_eq!(host.group_memory, Some(Used { limit: 6_000, used: 5_500 }));
        assert_eq!(host.group_pids, Some(Used { limit: 64, used: 4 }));
    }

    #[test]
    fn macos_is_read() {
        let sysctls = [
            ("kern.maxfilesperproc", "61440\n"),
            ("kern.maxfiles", "122880\n"),
            ("kern.num_files", "5000\n"),
            ("kern.ipc.somaxconn", "128\n"),
            ("net.inet.ip.portrange.first", "49152\n"),
            ("net.inet.ip.portrange.last", "65535\n"),
            ("vm.page_free_count", "1000\n"),
        ];
        let host = read_from(&Pretended { sysctls: sysctls.into(), ..Pretended::default() });
        let expected = Host {
            files_soft: Some(1_024),
            files_hard: Some(20_000),
            files_ceiling: Some(61_440),
            files_all: Some(Used { limit: 122_880, used: 5_000 }),
            backlog: Some(128),
            ports: Some((49_152, 65_535)),
            memory_available: Some(4_096_000),
            ..Host::default()
        };
        assert_eq!(host, expected);
    }

    #[test]
    fn a_host_without_known_limits_is_not_an_error() {
        let host = read_from(&Pretended::default());
        assert_eq!(host, Host { files_soft: Some(1_024), files_hard: Some(20_000), ..Host::default() });
    }
}
