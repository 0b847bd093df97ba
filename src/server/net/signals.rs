//! What do SIGINT and SIGTERM do?

use super::poller::SIGNALS;
use crate::server::config::Drain;
use mio::{Interest, Registry};
use signal_hook::consts::{SIGINT, SIGTERM};
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
    pub(crate) fn new(registry: &Registry, drain: Drain) -> io::Result<Signals> {
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Signals { signals, drain: Some(drain) })
    }

    pub(crate) fn take(&mut self) -> Signalled {
        let count = self.signals.pending().count();
        match (count, self.drain.is_some()) {
            (0, _) => Signalled::No,
            (_, true) => self.drain.take().map_or(Signalled::No, Signalled::Once),
            (_, false) => Signalled::Again,
        }
    }
}
