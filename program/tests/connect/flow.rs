//! Much input, much output, and bounded memory.
#![cfg(target_os = "linux")]

use crate::common::raw::{frame, literal, send, upgrade};
use crate::common::{Running, serve, serve_with, until};
use crate::messages::Echo;
use crate::{connect, finished, start};
use lariat::{ClientId, Clients, Config, Handler, Message};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most bytes that the process may have held at a time. Its own size is about 20 MB.
const MOST: usize = 48 << 20;

/// Returns the most bytes that a process has held in memory at a time.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// Returns whether all threads of a process sleep.
fn is_idle(pid: u32) -> bool {
    let mut tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks.all(|task| {
        let path = task.expect("an entry").path().join("stat");
        std::fs::read_to_string(path)
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
    })
}

fn large() -> (Running<()>, String) {
    let mut config = Config::default();
    config.limits.max_message = 16 << 20;
    config.limits.max_unsent = 32 << 20;
    config.memory_budget = 256 << 20;
    let running = serve_with(config, Echo);
    let url = format!("ws://{}/", running.addr);
    (running, url)
}

#[test]
fn a_line_of_10_mb_comes_back_whole() {
    let (_running, url) = large();
    let line: Vec<u8> = (0..10_000_000_u32).map(|number| b'a' + (number % 26) as u8).collect();
    let run = connect(&url, "", line.clone());
    assert_eq!((run.stdout.len(), run.code), (line.len() + 1, Some(0)), "{}", run.stderr);
    assert!(run.stdout[..line.len()] == line[..]);
}

#[test]
fn a_million_lines_come_back_in_order() {
    let running = serve(Echo);
    let lines: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();
    let run = connect(&format!("ws://{}/", running.addr), "", lines.clone());
    assert_eq!((run.stdout.len(), run.code), (lines.len(), Some(0)), "{}", run.stderr);
    assert!(run.stdout == lines.as_bytes());
}

/// Counts the bytes of its messages.
struct Counting(Arc<AtomicUsize>);

impl Handler for Counting {
    type Data = ();

    fn on_message(&mut self, _: &mut Clients<()>, _: ClientId, message: Message<'_>) {
        self.0.fetch_add(message.as_bytes().len(), Ordering::Relaxed);
    }
}

#[test]
fn standard_input_is_not_read_faster_than_the_server_takes_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let running = serve(Counting(Arc::clone(&count)));
    let mut child = start(&format!("ws://{}/", running.addr), "-n");
    let mut stdin = child.stdin.take().expect("it is piped");
    let batch = format!("{}\n", "x".repeat(99)).repeat(10_000);
    for _ in 0..128 {
        stdin.write_all(batch.as_bytes()).expect("it reads");
    }
    until(|| count.load(Ordering::Relaxed) == 128 * 10_000 * 99);
    let peak = peak(child.id());
    assert!(peak < MOST, "{peak} bytes for an input of {}", 128 * batch.len());
    child.kill().and_then(|()| child.wait()).expect("it is our child");
}

/// The reader of standard output stops. So the session stops to read from the server, and this one
/// holds what it could not send.
#[test]
fn the_server_is_not_read_faster_than_standard_output() {
    struct Pouring;
    impl Handler for Pouring {
        type Data = ();
        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            for _ in 0..128 {
                clients.send(id, &*"x".repeat(1_000_000)).expect("it is open");
            }
        }
    }
    let mut config = Config::default();
    config.limits.max_unsent = 1 << 30;
    config.memory_budget = 1 << 31;
    let running = serve_with(config, Pouring);
    let mut child = start(&format!("ws://{}/", running.addr), "");
    // Its end comes while most of the messages are still to come.
    drop(child.stdin.take());
    let mut stdout = child.stdout.take().expect("it is piped");
    // It sleeps for longer than it waits for the pong of a server.
    let mut idle = 0;
    until(|| {
        idle = if is_idle(child.id()) { idle + 1 } else { 0 };
        idle > 2_500
    });
    let peak = peak(child.id());
    assert!(peak < MOST, "{peak} bytes");
    let total = std::io::copy(&mut stdout, &mut std::io::sink()).expect("a pipe");
    assert_eq!(total, 128 * 1_000_001);
    assert!(child.wait().expect("it is our child").success());
}

/// The reader of standard output stops, and the server goes on sending behind our Close, where the
/// session cannot pause it.
#[test]
fn a_server_that_sends_without_end_behind_our_close_takes_no_more_memory() {
    let has_ended = Arc::new(AtomicBool::new(false));
    let by_server = Arc::clone(&has_ended);
    let url = literal(move |stream| {
        upgrade(stream)?;
        assert_eq!(frame(stream)?, (0x89, b"end".to_vec()));
        send(stream, b"\x8a\x03end")?;
        assert_eq!(frame(stream)?, (0x88, vec![3, 232]));
        let message = [&b"\x82\x7e\xff\xff"[..], &[7; 0xffff]].concat();
        while send(stream, &message).is_ok() {}
        by_server.store(true, Ordering::Relaxed);
        Ok(())
    });
    let mut child = start(&url, "--binary");
    drop(child.stdin.take());
    until(|| has_ended.load(Ordering::Relaxed));
    let peak = peak(child.id());
    assert!(peak < MOST, "{peak} bytes");
    let run = finished(child);
    run.says("standard output is too slow");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}
