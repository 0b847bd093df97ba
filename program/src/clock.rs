//! Time to the microsecond, and CPU time.
//!
//! The clock of the loop counts milliseconds and is read once per turn. Latencies, and the steps of
//! experiments, need a finer clock. Only this file of the program reads one that fine.

use std::time::{Duration, Instant};

/// Counts the nanoseconds since it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "round trips are measured in microseconds")]
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Returns the CPU time that this process has used.
pub(crate) fn cpu_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    Duration::ZERO
}
