//! Signals of the process go to the host's threads.

use crate::host::Host;
use lariat_c::*;
use std::fs;
use std::ptr;

/// Returns the signals that a thread of this process blocks, as a mask. `None` if there is no such
/// thread.
fn blocked(thread: &str) -> Option<u64> {
    fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok).find_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        (value("Name:") == Some(thread)).then(|| u64::from_str_radix(value("SigBlk:").unwrap(), 16).unwrap())
    })
}

#[test]
fn the_thread_that_looks_up_names_takes_no_signals() {
    const URL: &str = "ws://localhost:1/";
    let host = Host::listening();
    // SAFETY: the server and the text are there, here and below.
    let status = unsafe { lariat_connect(host.0, URL.as_ptr().cast(), URL.len(), ptr::null(), 0, ptr::null_mut()) };
    assert_eq!(status, 0);
    host.turn_until(|| blocked("lariat-resolver").is_some());
    let mask = blocked("lariat-resolver").unwrap();
    // SIGHUP, SIGINT, SIGUSR1, SIGTERM and SIGCHLD, by their numbers on most processors.
    for signal in [1, 2, 10, 15, 17] {
        assert!(mask >> (signal - 1) & 1 == 1, "signal {signal} of {mask:x}");
    }
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(own.lines().any(|line| line.starts_with("SigBlk:") && line.ends_with("0000000000000000")), "{own}");
}
