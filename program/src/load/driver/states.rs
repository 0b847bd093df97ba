//! Where a run stands, and how it ended.

use crate::load::measure::NONE_OPENED;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    Opening,
    /// Each attempt has succeeded or failed. [`Driver::hold`](super::Driver::hold) comes next.
    Opened,
    Holding,
    /// Nothing is sent any more, but answers are still to come.
    Awaiting,
    /// [`Driver::close`](super::Driver::close) comes next.
    Held,
    Closing,
}

/// When messages are sent, in nanoseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    NotBegun,
    Since(u64),
    Ended { began: u64, ended: u64 },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    Interrupted,
    Duration,
    NoneOpened,
    AllLost,
    PublisherLost,
}

impl Ended {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Interrupted => "interrupted by a signal",
            Ended::Duration => "cut short by --duration",
            Ended::NoneOpened => NONE_OPENED,
            Ended::AllLost => "cut short: all connections were lost",
            Ended::PublisherLost => "cut short: the connection that published was lost",
        }
    }
}
