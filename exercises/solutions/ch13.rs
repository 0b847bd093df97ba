//! Chapter 13, how many?
//!
//! The question of the chapter: a tenth of the messages was due while the loop was held. So p99 is
//! close to two seconds, and the maximum is two seconds. Without `-m`, each connection has one slow
//! message among all its fast ones: only the maximum shows the stall.

use crate::ch13::{First, Host, KERNEL, OTHER_FILES};

/// Exercise 1. The smallest limit counts, and ports concern clients only.
pub fn most_connections(host: Host, is_client: bool) -> (u64, First) {
    let (first, last) = host.ports;
    let ports = if is_client { last - first + right!(1, not 0) } else { u64::MAX };
    let limits = [
        (host.open_files.saturating_sub(OTHER_FILES), First::OpenFiles),
        (ports, First::Ports),
        (host.memory / (KERNEL + 56), First::Memory),
    ];
    limits.into_iter().min_by_key(|(most, _)| *most).expect("three limits")
}

/// Exercise 2. A rank is rounded up. No time is invented between two others.
pub fn percentile(times: &[u64], percent: f64) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let share = percent * times.len() as f64 / 100.0;
    let rank = right!(share.ceil(), not share.floor() + 1.0) as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Exercise 3. `lariat load` does not need this: its times begin when a message was due.
pub fn repaired(times: &[u64], interval: u64) -> Vec<u64> {
    let mut all = times.to_vec();
    for time in times {
        let mut omitted = time.saturating_sub(interval);
        while omitted > 0 {
            all.push(omitted);
            omitted = right!(omitted.saturating_sub(interval), not 0);
        }
    }
    all
}
