//! Faults of a simulated network and kernel.

/// Faults that the simulated network and kernel commit, each with a probability from 0 to 1. None
/// by default.
///
/// A real kernel or network has the same faults, so an error that they cause is an error of the
/// server.
///
/// ```
/// let mut faults = lariat::sim::Faults::rough();
/// faults.reset = 0.0;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// A read gets less than has been sent; the rest comes a little later.
    pub short_read: f64,
    /// A write takes less than there is room for.
    pub short_write: f64,
    /// A read or a write returns `WouldBlock` although it would not block.
    pub would_block: f64,
    /// A read or a write is interrupted by a signal.
    pub interrupted: f64,
    /// Readiness is reported without a reason.
    pub spurious: f64,
    /// What is under way arrives later than what was sent after it on other connections.
    pub delay: f64,
    /// A connection that carries something is reset.
    pub reset: f64,
    /// The peer of a connection that carries something closes its half.
    pub half_close: f64,
    /// The loop wakes up to a second later than it wanted to.
    pub late: f64,
    /// No descriptor is left for a new connection.
    pub exhaustion: f64,
    /// A new connection has ended before it is accepted.
    pub aborted: f64,
    /// Bytes that fit into a connection in each direction before the other side must read. No
    /// probability; 256 KiB by default.
    pub window: usize,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            short_read: 0.0,
            short_write: 0.0,
            would_block: 0.0,
            interrupted: 0.0,
            spurious: 0.0,
            delay: 0.0,
            reset: 0.0,
            half_close: 0.0,
            late: 0.0,
            exhaustion: 0.0,
            aborted: 0.0,
            window: 256 << 10,
        }
    }
}

impl Faults {
    /// None.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Some of everything: nothing that a server may assume holds for long.
    pub fn rough() -> Faults {
        Faults {
            short_read: 0.3,
            short_write: 0.3,
            would_block: 0.1,
            interrupted: 0.05,
            spurious: 0.05,
            delay: 0.3,
            reset: 0.001,
            half_close: 0.001,
            late: 0.05,
            exhaustion: 0.1,
            aborted: 0.05,
            window: 4 << 10,
        }
    }
}
