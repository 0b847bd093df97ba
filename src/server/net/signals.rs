//! Signals that stop a server.
//!
//! | signal | who sends it | the first | a further one |
//! |---|---|---|---|
//! | SIGINT | Ctrl-C | drains | ends at once |
//! | SIGTERM | `kill`, systemd, Docker | drains | ends at once |
//! | SIGQUIT | Ctrl-\ | drains | ends at once |
//! | SIGHUP | a terminal that closes | drains, except under `nohup` | changes nothing |
//!
//! A terminal that closes may send SIGHUP twice, and systemd with `SendSIGHUP=` sends it right
//! after SIGTERM. So a further SIGHUP does not end a drain. `nohup` starts a program with SIGHUP
//! ignored, and it stays so.

use super::poller::SIGNALS;
use crate::server::config::Drain;
use mio::{Interest, Registry};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::io;

/// The signals that stop a server.
pub(crate) struct Signals {
    signals: signal_hook_mio::v1_0::Signals,
    drain: Option<Drain>,
}

/// What has come.
pub(crate) enum Signalled {
    No,
    Once(Drain),
    Again,
}

impl Signals {
    /// Obeys all four signals, or all but SIGHUP.
    pub(crate) fn new(registry: &Registry, drain: Drain, hangup: bool) -> io::Result<Signals> {
        let all = [SIGINT, SIGTERM, SIGQUIT, SIGHUP];
        let obeyed = all.iter().filter(|signal| **signal != SIGHUP || hangup && !is_ignored(SIGHUP));
        let mut signals = signal_hook_mio::v1_0::Signals::new(obeyed)?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Signals { signals, drain: Some(drain) })
    }

    pub(crate) fn take(&mut self) -> Signalled {
        let mut came = self.signals.pending().peekable();
        if came.peek().is_none() {
            return Signalled::No;
        }
        match self.drain.take() {
            Some(drain) => Signalled::Once(drain),
            None if came.any(|signal| signal != SIGHUP) => Signalled::Again,
            None => Signalled::No,
        }
    }
}

/// Returns whether the process has ignored a signal since its start.
fn is_ignored(signal: i32) -> bool {
    // Only Linux can be asked without `unsafe`.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal - 1)) != 0
}
