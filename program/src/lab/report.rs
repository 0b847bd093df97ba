//! What has happened in an experiment.

use lariat::ClientId;

/// Something that has happened in an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The server's end of its connection.
    pub(crate) client: ClientId,
    /// When, in nanoseconds since it began.
    pub(crate) nanos: u64,
    pub(crate) seen: Seen,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The step with this number has been done.
    Did(usize),
    /// The step with this number cannot be done, because the connection has ended. No further one
    /// is tried.
    Failed(usize),
    /// These bytes have come.
    Got(Vec<u8>),
    /// The server has sent FIN.
    Fin,
    /// It is over. Nothing else is reported.
    Ended(End),
}

/// How an experiment has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server has sent FIN, and all steps have been done or have failed.
    Closed,
    /// The connection broke.
    Reset,
    /// A step has closed the connection.
    Left,
    /// The time was up.
    Time,
    /// More bytes came than an experiment may receive.
    Size,
}

impl End {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Reset => "reset",
            End::Left => "left",
            End::Time => "time",
            End::Size => "size",
        }
    }
}
