//! What a process on this host uses, and which process is the server.
//!
//! This is read from `/proc`, so it is known on Linux only. Elsewhere the report has no such
//! values.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;

/// What some processes have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// The CPU time of the present threads as the scheduler counts it, and the number of threads.
    threads: (u64, u64),
    /// The CPU time of all threads, including those that have ended. Its unit is a nanosecond, its
    /// resolution a hundredth of a second.
    cpu_nanos: u64,
    /// Anonymous pages, in bytes. Unlike private dirty pages, they do not include pages of files
    /// that have just been written, such as the program itself.
    pub(crate) memory: u64,
}

impl Usage {
    /// Returns the CPU time since `before`. It uses the exact count of the scheduler, unless
    /// threads have started or ended.
    pub(crate) fn cpu_since(&self, before: &Usage) -> Cpu {
        if self.threads.1 == before.threads.1 && self.threads.0 > 0 {
            Cpu::exact(self.threads.0.saturating_sub(before.threads.0) as f64 / 1e9)
        } else {
            let seconds = self.cpu_nanos.saturating_sub(before.cpu_nanos) as f64 / 1e9;
            Cpu { seconds, resolution: 0.01 }
        }
    }
}

/// CPU time, and what its clock resolves, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) seconds: f64,
    resolution: f64,
}

impl Cpu {
    /// CPU time of a clock that counts nanoseconds. Reading it takes some of the time itself.
    pub(crate) const fn exact(seconds: f64) -> Cpu {
        Cpu { seconds, resolution: 50e-6 }
    }

    /// Returns whether the clock's resolution can change the time by 5 % at most.
    pub(crate) fn is_resolved(self) -> bool {
        self.seconds >= 20.0 * self.resolution
    }

    /// Returns the nanoseconds for each of `count` things. Returns `None` if there are none, or if
    /// the clock does not resolve the time.
    pub(crate) fn each(self, count: u64) -> Option<f64> {
        (count > 0 && self.is_resolved()).then(|| (self.seconds * 1e9 / count as f64 * 10.0).round() / 10.0)
    }
}

/// Returns what these processes have used together. For each GiB of their memory, this takes tens
/// of milliseconds.
pub(crate) fn usage(pids: &[u32]) -> Usage {
    let memory = pids.iter().map(|pid| anonymous(&format!("/proc/{pid}")).unwrap_or(0)).sum();
    Usage { memory, ..cpu(pids) }
}

/// Returns what these processes have used together, without their memory.
pub(crate) fn cpu(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        sum.threads.0 += threads(*pid).sum::<u64>();
        sum.threads.1 += threads(*pid).count() as u64;
        sum.cpu_nanos += cpu_of_all(*pid).unwrap_or(0);
    }
    sum
}

/// Returns the private memory of this process.
pub(crate) fn own_memory() -> u64 {
    anonymous("/proc/self").unwrap_or(0)
}

/// Returns the name of a process.
pub(crate) fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// Returns how many files a process may open, and how many it has open.
pub(crate) fn files(pid: u32) -> Option<(u64, u64)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limit = line.split_whitespace().next()?.parse().ok()?;
    Some((limit, fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64))
}

/// Returns the processes that listen on the ports of these addresses.
pub(crate) fn listeners(addresses: &[SocketAddr]) -> Vec<u32> {
    // The tables are read line by line: with many connections they are long, and a large block that
    // is freed makes malloc copy memory that grows later.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|path| fs::File::open(path).ok());
    let ports: BTreeSet<u16> = addresses.iter().map(SocketAddr::port).collect();
    let sockets: BTreeSet<u64> = tables.flat_map(|table| listening(BufReader::new(table), &ports)).collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> = pids.filter(|pid| *pid != std::process::id() && holds(*pid, &sockets)).collect();
    found.sort_unstable();
    found
}

/// Returns the inodes of the sockets that listen on one of the ports, from a table like
/// `/proc/net/tcp`.
fn listening(table: impl BufRead, ports: &BTreeSet<u16>) -> Vec<u64> {
    let inode = |line: String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        let is_listening = *words.get(3)? == "0A" && ports.contains(&u16::from_str_radix(port, 16).ok()?);
        if is_listening { words.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).map_while(Result::ok).filter_map(inode).collect()
}

fn holds(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u64| sockets.contains(&inode))
    })
}

/// Returns for each present thread how long it has run, in nanoseconds.
fn threads(pid: u32) -> impl Iterator<Item = u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    })
}

/// User and system time of all threads.
fn cpu_of_all(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    #[cfg(unix)]
    let per_second = rustix::param::clock_ticks_per_second();
    #[cfg(not(unix))]
    let per_second = 100;
    Some(ticks * (1_000_000_000 / per_second.max(1)))
}

fn anonymous(folder: &str) -> Option<u64> {
    let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_found_by_their_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:270E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71 1 0 100 0\n   \
            1: 0100007F:270E 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 72 1 0 20 4\n   \
            2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 73 1 0 100 0\n";
        assert_eq!(listening(table.as_bytes(), &[9_998].into()), [71]);
        assert_eq!(listening(table.as_bytes(), &[9_998, 80].into()), [71, 73]);
        assert!(listening(&b""[..], &[80].into()).is_empty());
    }

    #[test]
    fn a_figure_needs_as_much_cpu_time_as_the_clock_resolves() {
        let ticks = |seconds| Cpu { seconds, resolution: 0.01 };
        // One tick for one handshake is not 10 ms each.
        assert_eq!((ticks(0.01).each(1), ticks(0.19).each(100), ticks(0.2).each(100)), (None, None, Some(2e6)));
        assert_eq!((Cpu::exact(0.0005).each(1), Cpu::exact(0.001).each(1_000)), (None, Some(1_000.0)));
        assert_eq!(ticks(1.0).each(0), None);
        // A thread that has ended takes its exact time with it.
        let before = Usage { threads: (5_000_000, 2), cpu_nanos: 10_000_000, memory: 0 };
        let after = Usage { threads: (6_000_000, 1), cpu_nanos: 30_000_000, memory: 0 };
        assert_eq!(after.cpu_since(&before), ticks(0.02));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known() {
        let pid = std::process::id();
        let before = cpu(&[pid]);
        let mut sum = 0_u64;
        // Threads of other tests end meanwhile, and take what they have used with them.
        let after = loop {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
            let after = cpu(&[pid]);
            if after.cpu_since(&before).seconds > 0.0 {
                break after;
            }
        };
        assert!(after.memory == 0 && usage(&[pid]).memory > 0, "{after:?}");
        assert!(files(pid).is_some_and(|(limit, open)| limit >= open && open >= 3));
        assert!(name(pid).is_some_and(|name| !name.is_empty()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        // It is left out of its own search, since it is not the server.
        assert!(listeners(&[listener.local_addr().expect("an address")]).is_empty());
    }
}
