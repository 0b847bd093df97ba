//! The same load on two servers: one with a thread for each client, and the loop.
//!
//! The server with threads is a small real one. It runs only while it is measured: for each client,
//! a thread reads and sends back what came. What the kernel knows of its threads comes from
//! `/proc`; where there is none, those fields are `None`.

use super::aside::rest;
use crate::clock::Clock;
use lariat::Adopted;
use serde::Serialize;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most clients of a comparison.
pub(crate) const MOST_CLIENTS: usize = 64;

/// The messages of each client.
const ROUNDS: usize = 20;

/// The time between two messages of a client.
const GAP: Duration = Duration::from_millis(20);

/// After this time, a comparison is given up.
const LONGEST: Duration = Duration::from_secs(15);

/// What each message says. A frame of the loop has 2 or 6 bytes more.
const PAYLOAD: [u8; 32] = [b'.'; 32];

/// What both servers have needed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    clients: usize,
    /// The messages that each server has sent back.
    messages: usize,
    threads: Needed,
    looped: Needed,
}

/// What a server has needed for its clients.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Needed {
    threads: usize,
    /// How often its threads have gone to sleep while the messages came: the voluntary context
    /// switches.
    switches: Option<u64>,
    /// The bytes of its stacks: those that are reserved, and those that were touched.
    reserved: Option<u64>,
    touched: Option<u64>,
}

/// The clients' ends of the connections with the loop.
#[derive(Debug)]
pub(crate) struct Clients(Vec<UnixStream>);

/// A thread that serves a client: its number, and an address of its stack.
type Started = (Option<i32>, usize);

impl Clients {
    /// Makes connections: the clients' ends, and the ends for the loop.
    pub(crate) fn new(count: usize) -> io::Result<(Clients, Vec<Adopted>)> {
        let (own, servers) = pairs(count)?;
        Ok((Clients(own), servers.into_iter().map(Adopted::from).collect()))
    }

    /// Puts the same load on both servers. `request` opens a WebSocket that echoes, and `looping`
    /// is the number of the loop's thread.
    pub(crate) fn compare(self, request: &[u8], looping: Option<i32>) -> io::Result<Comparison> {
        let (clock, mut clients) = (Clock::start(), self.0);
        let count = clients.len();
        let threads = measure_threads(count, clock)?;
        for client in &mut clients {
            client.write_all(request)?;
        }
        for client in &mut clients {
            await_head(client, clock)?;
        }
        let header = [0x81, 0x80 | PAYLOAD.len() as u8, 0, 0, 0, 0];
        let (message, answer) =
            ([&header[..], &PAYLOAD].concat(), [&[0x81, PAYLOAD.len() as u8], &PAYLOAD[..]].concat());
        let before = looping.and_then(switches);
        talk(&mut clients, &message, &answer, clock)?;
        let switches = difference(looping.and_then(switches), before);
        let looped = Needed { threads: 1, switches, ..Needed::default() };
        Ok(Comparison { clients: count, messages: count * ROUNDS, threads, looped })
    }
}

fn pairs(count: usize) -> io::Result<(Vec<UnixStream>, Vec<UnixStream>)> {
    (0..count.min(MOST_CLIENTS)).map(|_| UnixStream::pair()).collect()
}

/// Runs the server with threads.
fn measure_threads(count: usize, clock: Clock) -> io::Result<Needed> {
    let (mut clients, servers) = pairs(count)?;
    let (telling, told) = sync_channel(count);
    let start = |stream: UnixStream| {
        let telling = telling.clone();
        std::thread::Builder::new().name("one-client".to_owned()).spawn(move || serve(stream, &telling))
    };
    // If one cannot be started, the others end when the clients do.
    let running: Vec<JoinHandle<()>> = servers.into_iter().map(start).collect::<io::Result<_>>()?;
    let started: Vec<Started> =
        running.iter().map(|_| told.recv_timeout(LONGEST)).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let slept = || started.iter().map(|(number, _)| number.and_then(switches)).sum::<Option<u64>>();
    let before = slept();
    talk(&mut clients, &PAYLOAD, &PAYLOAD, clock)?;
    let switches = difference(slept(), before);
    let stacks = std::fs::read_to_string("/proc/self/smaps").ok();
    let sum = |field: &str| {
        let of = |(_, address): &Started| stacks.as_deref().and_then(|maps| size(maps, *address, field));
        started.iter().map(of).sum::<Option<u64>>()
    };
    let needed = Needed { threads: running.len(), switches, reserved: sum("Size:"), touched: sum("Rss:") };
    drop(clients);
    running.into_iter().for_each(|thread| drop(thread.join()));
    Ok(needed)
}

/// Serves one client: sends everything back until it has gone.
fn serve(mut stream: UnixStream, telling: &SyncSender<Started>) {
    let mut buffer = [0; 64];
    let _ = telling.send((thread_number(), buffer.as_ptr().addr()));
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Each client sends its messages, one after the answer to the last one.
fn talk(clients: &mut [UnixStream], message: &[u8], answer: &[u8], clock: Clock) -> io::Result<()> {
    let mut buffer = vec![0; answer.len()];
    for _ in 0..ROUNDS {
        for client in &mut *clients {
            client.write_all(message)?;
        }
        for client in &mut *clients {
            limit(client, clock)?;
            client.read_exact(&mut buffer)?;
            if buffer != answer {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        rest(GAP);
    }
    Ok(())
}

/// Reads the response to a request.
fn await_head(client: &mut UnixStream, clock: Clock) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        limit(client, clock)?;
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(ErrorKind::ConnectionRefused.into()) }
}

/// Lets no read take longer than the comparison may.
fn limit(client: &UnixStream, clock: Clock) -> io::Result<()> {
    let left = LONGEST.saturating_sub(Duration::from_nanos(clock.nanos()));
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    client.set_read_timeout(Some(left))
}

/// Returns the kernel's number of this thread.
pub(crate) fn thread_number() -> Option<i32> {
    #[cfg(target_os = "linux")]
    return Some(rustix::thread::gettid().as_raw_nonzero().get());
    #[cfg(not(target_os = "linux"))]
    None
}

/// Returns how often a thread of this process has gone to sleep by itself.
fn switches(thread: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

fn difference(after: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// Returns a field of the mapping that has an address, in bytes. `maps` is `/proc/self/smaps`.
fn size(maps: &str, address: usize, field: &str) -> Option<u64> {
    let begins_here = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.and_then(|(first, end)| {
            Some((usize::from_str_radix(first, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
        });
        ends.is_some_and(|(first, end)| (first..end).contains(&address))
    };
    let line = maps.lines().skip_while(|line| !begins_here(line)).find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_of_an_address_is_found() {
        let maps = "7f00-7f10 rw-p 00000000 00:00 0 \nSize:                  8 kB\nRss:                   4 kB\n\
                    7f10-8000 ---p 00000000 00:00 0 [anon]\nSize:               2048 kB\nRss:                   0 kB\n";
        assert_eq!((size(maps, 0x7f00, "Size:"), size(maps, 0x7f0f, "Rss:")), (Some(8 << 10), Some(4 << 10)));
        assert_eq!((size(maps, 0x7f10, "Size:"), size(maps, 0x8000, "Size:")), (Some(2048 << 10), None));
        assert_eq!(size("", 1, "Size:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_client_has_a_thread_which_sleeps_before_each_message() {
        let needed = measure_threads(5, Clock::start()).expect("it works");
        assert_eq!(needed.threads, 5);
        let switches = needed.switches.expect("/proc");
        // A read that finds its message at once does not sleep. A write may sleep as well.
        assert!(switches >= 50, "{switches} switches for 100 messages");
        let (reserved, touched) = (needed.reserved.expect("/proc"), needed.touched.expect("/proc"));
        assert!(reserved >= 5 * 16_384 && touched >= 5 * 4_096 && touched <= reserved, "{needed:?}");
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let (clients, servers) = Clients::new(2).expect("descriptors");
        drop(servers);
        assert!(clients.compare(b"GET / HTTP/1.1\r\n\r\n", None).is_err());
        assert_eq!(Clients::new(MOST_CLIENTS + 9).expect("descriptors").1.len(), MOST_CLIENTS);
    }
}
