//! Counters, and the snapshot that users see.
//!
//! Events are counted where they happen. The snapshot is made on request.

use crate::protocol::{CloseCode, CloseReason, ProtocolError, Timeout, Traffic};
use http::StatusCode;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// What a server has done since it was started, and what it holds now.
/// [`to_prometheus`](Self::to_prometheus) writes it for a monitoring system.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections now.
    pub connections: Connections,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that we opened to other servers.
    pub connected: u64,
    /// Opening handshakes that succeeded.
    pub opened: u64,
    /// Requests that were answered without an upgrade, by the status of our response: refused
    /// handshakes, and plain HTTP of any status.
    pub refused: BTreeMap<u16, u64>,
    /// How many of these responses were not sent whole: the peer did not read, or memory ran short,
    /// or the peer disconnected. Streamed responses that end before their body are in
    /// [`closed`](Self::closed).
    pub cut_off: u64,
    /// Connections that ended in any other way, by the reason.
    pub closed: BTreeMap<Cause, u64>,
    /// What peers have sent. Bytes of payload, decompressed.
    pub received: Traffic,
    /// What was queued for peers. Bytes of payload, before compression; a message for many counts
    /// for each of them.
    pub sent: Traffic,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    /// Calls that read from sockets.
    pub reads: u64,
    /// Calls that wrote to sockets.
    pub writes: u64,
    /// Bytes that count against the [`memory_budget`](crate::Config::memory_budget) now.
    pub buffered: usize,
    /// The budget, in bytes.
    pub memory_budget: usize,
    /// How often the budget was used up.
    pub budget_exhaustions: u64,
    /// How often reading from a client stopped because it held much and memory ran short.
    pub pauses: u64,
    /// Clients that were closed because they held the most memory when the budget was used up.
    pub evictions: u64,
    /// Messages that were dropped for slow consumers.
    pub dropped: u64,
    /// Messages that were replaced by a later one of the same key before they could be sent.
    pub conflated: u64,
    /// How often a client was not read for a while because it sent more than it may.
    pub throttled: u64,
    /// Errors of `accept`, those of exhausted descriptors included.
    pub accept_errors: u64,
    /// Connections that were turned away because there were no descriptors left, or too many of
    /// their address.
    pub turned_away: u64,
    /// Durations of turns in microseconds, without the time that they waited.
    pub turn_micros: Histogram,
    /// Readiness events of turns.
    pub turn_events: Histogram,
    /// Time that the loop has waited for something to do.
    pub waited: Duration,
    /// How the server got its connections from the process before
    /// ([`Server::take_over`](crate::Server::take_over)).
    #[cfg(feature = "handover")]
    pub handovers: Handovers,
    /// TLS sessions now.
    #[cfg(feature = "tls")]
    pub tls_sessions: usize,
    /// TLS handshakes that succeeded, by version, cipher suite, and whether a ticket has shortened
    /// them. Those that failed are in [`closed`](Self::closed). They are not counted by server
    /// name: clients choose it, so the number of names has no bound.
    #[cfg(feature = "tls")]
    pub tls_handshakes: BTreeMap<(&'static str, &'static str, bool), u64>,
}

/// Handovers from one process to the next.
#[cfg(feature = "handover")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handovers {
    /// How many processes have handed over since the server was first started.
    pub count: u64,
    /// How often a process went on, because the next one could not take over.
    pub failures: u64,
    /// Connections that the last one has moved.
    pub moved: u64,
    /// Connections that have stayed behind in it.
    pub left: u64,
    /// How long no process has served. Of several loops, the longest.
    pub frozen: Duration,
}

/// How many connections are in which state (see [`protocol`](crate::protocol)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connections {
    /// Their opening handshake has not ended.
    pub handshaking: usize,
    /// The application has not answered their request.
    pub deciding: usize,
    /// Messages flow.
    pub open: usize,
    /// We have sent Close.
    pub closing: usize,
    /// The connection is ending: unsent bytes are written, then we wait for the peer's FIN.
    pub draining: usize,
    /// The peer's FIN has arrived; unsent bytes are still written.
    pub flushing: usize,
    /// An HTTP response is being sent, after which the connection goes on, or is streamed.
    pub responding: usize,
}

/// Why a connection ended, in a few words from a small set, for monitoring systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Cause {
    /// Who or what: `peer`, `local`, `protocol`, `timeout`, `eof`, `io`, `slow_consumer` and so on.
    pub reason: &'static str,
    /// The close code, the section of the RFC, which timeout, which error; empty if there is
    /// nothing to add.
    pub detail: &'static str,
}

impl From<&CloseReason> for Cause {
    fn from(reason: &CloseReason) -> Cause {
        let (reason, detail) = match reason {
            CloseReason::Peer(frame) => ("peer", frame.as_ref().map_or("none", |frame| code(frame.code))),
            CloseReason::Local(frame) => ("local", code(frame.code)),
            CloseReason::Terminated => ("local", "terminated"),
            CloseReason::Protocol(ProtocolError::MessageTooLarge { .. }) => ("limit", "message"),
            CloseReason::Protocol(ProtocolError::TooManyFragments { .. }) => ("limit", "fragments"),
            CloseReason::Protocol(error) => ("protocol", error.section()),
            CloseReason::Timeout(Timeout::Handshake) => ("timeout", "handshake"),
            CloseReason::Timeout(Timeout::Idle) => ("timeout", "idle"),
            CloseReason::Timeout(Timeout::Message) => ("timeout", "message"),
            CloseReason::Timeout(Timeout::Write) => ("timeout", "write"),
            CloseReason::Timeout(Timeout::Close) => ("timeout", "close"),
            CloseReason::Timeout(Timeout::Pause) => ("timeout", "pause"),
            CloseReason::Eof => ("eof", ""),
            CloseReason::Io(kind) => ("io", io_error(*kind)),
            CloseReason::Unreachable { kind, .. } => ("unreachable", io_error(*kind)),
            CloseReason::SlowConsumer => ("slow_consumer", ""),
            CloseReason::Evicted => ("memory", ""),
            CloseReason::TooFast => ("limit", "rate"),
            CloseReason::HandlerPanicked => ("panic", ""),
            CloseReason::Refused(_) => ("refused", ""),
            CloseReason::CutOff { .. } => ("cut_off", ""),
            CloseReason::Unaccepted(_) => ("unaccepted", ""),
            CloseReason::BadProxyHeader => ("proxy_header", ""),
            CloseReason::NameNotFound => ("name_not_found", ""),
            CloseReason::Lifetime => ("lifetime", ""),
            #[cfg(feature = "handover")]
            CloseReason::LeftBehind => ("handover", "left_behind"),
            #[cfg(feature = "tls")]
            CloseReason::Tls(error) => ("tls", error.kind().name()),
        };
        Cause { reason, detail }
    }
}

/// Applications may use thousands of codes; a monitoring system wants few.
fn code(code: CloseCode) -> &'static str {
    match u16::from(code) {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1003 => "1003",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1010 => "1010",
        1011 => "1011",
        1012 => "1012",
        1013 => "1013",
        1014 => "1014",
        3000..=3999 => "3xxx",
        4000..=4999 => "4xxx",
        _ => "other",
    }
}

fn io_error(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::ConnectionAborted => "aborted",
        io::ErrorKind::BrokenPipe => "broken_pipe",
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        _ => "other",
    }
}

/// More than there are kinds of ends or of statuses.
const KINDS: usize = 128;

/// One more of a kind. There are few kinds.
fn count<K: PartialEq>(counts: &mut Vec<(K, u64)>, kind: K) {
    match counts.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => counts.push((kind, 1)),
    }
}

/// How often values of each magnitude have come: bucket `i` counts those up to 2 to the power of
/// `i` that no bucket before it counts; the last one takes the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub(super) buckets: [u64; Histogram::BUCKETS],
    pub(super) sum: u64,
    pub(super) max: u64,
}

impl Histogram {
    /// The number of buckets.
    pub const BUCKETS: usize = 25;

    #[inline]
    pub(crate) fn record(&mut self, value: u64) {
        let bucket = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bucket.min(Histogram::BUCKETS - 1)] += 1;
        self.sum += value;
        if value > self.max {
            self.max = value;
        }
    }

    /// Returns the counts, from the smallest magnitude on.
    pub const fn buckets(&self) -> &[u64; Histogram::BUCKETS] {
        &self.buckets
    }

    /// Returns the number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the sum of the values.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the largest value.
    pub const fn max(&self) -> u64 {
        self.max
    }
}

/// What the loop counts itself.
#[derive(Debug, Default)]
pub(crate) struct LoopCounters {
    pub(crate) accepted: u64,
    pub(crate) connected: u64,
    pub(crate) opened: u64,
    /// By status.
    pub(crate) refused: Vec<(u16, u64)>,
    pub(crate) cut_off: u64,
    pub(crate) closed: Vec<(Cause, u64)>,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) dropped: u64,
    pub(crate) conflated: u64,
    pub(crate) throttled: u64,
    pub(crate) accept_errors: u64,
    pub(crate) turned_away: u64,
    /// Reads and writes in vain.
    pub(crate) would_block: u64,
    pub(crate) timers: u64,
    pub(crate) deadlines: u64,
    pub(crate) turn_micros: Histogram,
    pub(crate) turn_events: Histogram,
    /// Nanoseconds.
    pub(crate) waited: u64,
    /// Microseconds of the slowest turn since the last snapshot.
    pub(crate) slowest: u64,
    /// Handovers from the process before, and before that one; those that have failed; and of the
    /// last: the connections that were moved and that stayed behind, and microseconds.
    #[cfg(feature = "handover")]
    pub(crate) handovers: u64,
    #[cfg(feature = "handover")]
    pub(crate) handover_failures: u64,
    #[cfg(feature = "handover")]
    pub(crate) handover_moved: u64,
    #[cfg(feature = "handover")]
    pub(crate) handover_left: u64,
    #[cfg(feature = "handover")]
    pub(crate) handover_micros: u64,
    /// TLS handshakes, by version, cipher suite, and whether they were resumed.
    #[cfg(feature = "tls")]
    pub(crate) tls_handshakes: Vec<((&'static str, &'static str, bool), u64)>,
}

impl LoopCounters {
    /// All turns, and the waits between them.
    pub(crate) const fn uptime(&self) -> Duration {
        Duration::from_nanos(self.waited).saturating_add(Duration::from_micros(self.turn_micros.sum()))
    }

    /// Reserves memory for all kinds of ends.
    pub(crate) fn reserve(&mut self) {
        self.closed.reserve_exact(KINDS);
        self.refused.reserve_exact(KINDS);
    }

    /// Counts a TLS handshake.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_opened(&mut self, info: &crate::protocol::tls::TlsInfo) {
        count(&mut self.tls_handshakes, (info.version, info.cipher, info.resumed));
    }

    /// Counts a response after which the connection goes on.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        count(&mut self.refused, status.as_u16());
    }

    /// Counts a connection that has ended.
    pub(crate) fn ended(&mut self, reason: &CloseReason) {
        match reason {
            CloseReason::Refused(status) => count(&mut self.refused, status.as_u16()),
            CloseReason::CutOff { status, .. } => {
                count(&mut self.refused, status.as_u16());
                self.cut_off += 1;
            }
            reason => count(&mut self.closed, Cause::from(reason)),
        }
    }

    /// Records a turn that took `nanoseconds`.
    #[inline]
    pub(crate) fn turned(&mut self, nanos: u64) {
        let micros = nanos / 1_000;
        self.turn_micros.record(micros);
        if micros > self.slowest {
            self.slowest = micros;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bucket_of_its_magnitude() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1_024, 1_025, u64::from(u32::MAX)] {
            histogram.record(value);
        }
        let counted: Vec<_> = histogram.buckets().iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(counted, [(0, &2), (1, &1), (2, &2), (3, &1), (10, &1), (11, &1), (24, &1)]);
        assert_eq!((histogram.count(), histogram.max()), (9, u64::from(u32::MAX)));
    }
}
