//! Common parts of the tests: a server in a thread, a client that sends literal bytes, a handler
//! that follows a script, the log, and folders for files.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod alone;
mod folder;
mod logged;
pub mod prometheus;
mod script;
mod server;
mod wire;

#[allow(unused_imports, reason = "each test program uses a part of it")]
pub use self::{alone::*, folder::*, logged::*, script::*, server::*, wire::*};

use std::time::{Duration, Instant};

/// How much slower this build is than others. A debug build without the fast paths unmasks each
/// byte by itself, in code that is not optimised.
pub const SLOWNESS: u32 = if cfg!(all(lariat_plain, debug_assertions)) { 10 } else { 1 };

/// The longest time that a test waits for anything, on the slowest machine.
pub const WAIT: Duration = Duration::from_secs(30 * SLOWNESS as u64);

/// Raises the soft limit of descriptors to the hard limit, and returns it.
pub fn descriptors() -> usize {
    usize::try_from(rlimit::increase_nofile_limit(rlimit::INFINITY).expect("RLIMIT_NOFILE")).unwrap_or(usize::MAX)
}

/// Looks again and again until something is so: for what nobody reports, such as what another
/// process or the kernel does.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it has not happened");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Returns when this time has passed since `begun`: for tests whose subject is that time passes.
pub fn until_passed(begun: Instant, time: Duration) {
    until(|| begun.elapsed() >= time);
}
