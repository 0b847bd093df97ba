//! Chapter 13, how many?

// ---- 1 ------------------------------------------------------------------------------------------

/// What a host allows.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// The most files that a process may open (the hard limit).
    pub open_files: u64,
    /// The first and the last port for outgoing connections.
    pub ports: (u64, u64),
    /// Free memory, in bytes.
    pub memory: u64,
}

/// The first limit that a host reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Open files.
    OpenFiles,
    /// Ports for outgoing connections.
    Ports,
    /// Memory.
    Memory,
}

/// What the kernel needs for a connection, in bytes.
pub const KERNEL: u64 = 4 << 10;

/// Open files of a process that are not connections.
pub const OTHER_FILES: u64 = 16;

/// Exercise 1. How many connections can this host hold, and which limit is the first?
///
/// A server accepts them from many hosts. A client opens them from one address to one server. In
/// both cases a connection needs one open file, and memory: [`KERNEL`] bytes, and a slab entry of
/// 56 bytes. [`OTHER_FILES`] files are open anyway. If two limits are equal, name the one that
/// comes first in [`First`].
pub fn most_connections(host: Host, is_client: bool) -> (u64, First) {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. The percentile of some times: the smallest of them that is at least as large as
/// `percent` percent of all of them.
///
/// `times` is not empty and not sorted. `percent` is more than 0 and at most 100.
pub fn percentile(times: &[u64], percent: f64) -> u64 {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. Repair a measurement that omits what it should measure.
///
/// A client has sent a message, waited for the answer, noted the time, and sent the next one at
/// once, or `interval` after the last one was sent if the answer came earlier. So every time that
/// is longer than `interval` stands for messages that were due meanwhile and that nobody sent. Add
/// their times: the first of them was due `interval` after the slow one was sent, and so would have
/// waited `interval` less, and so on, down to the last one that would have waited longer than
/// nothing. The order of the result does not matter.
pub fn repaired(times: &[u64], interval: u64) -> Vec<u64> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch13: most_connections, percentile, repaired);
    use super::{First, Host};
    use lariat::sim::{Clock, Simulation};
    use lariat::{ClientId, Clients, Config, Handler, Message};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn ex1_one_limit_comes_first() {
        // The host of the chapter, as `lariat doctor` sees it.
        let host = Host { open_files: 20_000, ports: (32_768, 60_999), memory: 24_374_000_000 };
        assert_eq!(most_connections(host, true), (19_984, First::OpenFiles));
        assert_eq!(most_connections(host, false), (19_984, First::OpenFiles));
        let host = Host { open_files: 1 << 20, ..host };
        assert_eq!(most_connections(host, true), (28_232, First::Ports));
        assert_eq!(most_connections(host, false), (1_048_560, First::OpenFiles));
        let host = Host { open_files: 1 << 30, ..host };
        assert_eq!(most_connections(host, false), (24_374_000_000 / 4_152, First::Memory));
        let host = Host { open_files: 10, ports: (1, 65_535), memory: 1 << 30 };
        assert_eq!(most_connections(host, false), (0, First::OpenFiles));
        let host = Host { open_files: 1 << 30, ports: (1_024, 65_535), memory: 1 << 20 };
        assert_eq!(most_connections(host, true), (252, First::Memory));
        let host = Host { open_files: 116, ports: (1, 100), memory: 1 << 30 };
        assert_eq!(most_connections(host, true), (100, First::OpenFiles));
    }

    #[test]
    fn ex2_percentiles_are_times_that_were_measured() {
        let times: Vec<u64> = (1..=1_000).rev().collect();
        for (percent, expected) in [(50.0, 500), (90.0, 900), (99.0, 990), (99.9, 999), (100.0, 1_000), (0.05, 1)] {
            assert_eq!(percentile(&times, percent), expected, "p{percent}");
        }
        assert_eq!(percentile(&[7], 1.0), 7);
        assert_eq!(percentile(&[3, 1, 2], 34.0), 2);
        let mut state = 1_u64;
        for _ in 0..300 {
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let times: Vec<u64> = (0..=random(40)).map(|_| random(20)).collect();
            let percent = (1 + random(200)) as f64 / 2.0;
            let is_enough = |time: &&u64| {
                let below = times.iter().filter(|other| other <= time).count();
                below as f64 * 100.0 >= percent * times.len() as f64
            };
            let expected = times.iter().filter(is_enough).min().expect("the largest one is enough");
            assert_eq!(percentile(&times, percent), *expected, "p{percent} of {times:?}");
        }
    }

    /// Answers, but stalls once.
    struct Echo {
        clock: Rc<Cell<Option<Clock>>>,
        stalls_at: Duration,
        stall: Duration,
    }

    impl Handler for Echo {
        type Data = ();

        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
            let clock = self.clock.get().expect("the clock");
            if !self.stall.is_zero() && clock.elapsed() >= self.stalls_at {
                clock.advance(std::mem::take(&mut self.stall));
            }
            clients.send(id, message).expect("room for it");
        }
    }

    fn stalling(stalls_at: u64, stall: u64) -> Simulation<Echo> {
        let clock = Rc::new(Cell::new(None));
        let (stalls_at, stall) = (Duration::from_millis(stalls_at), Duration::from_millis(stall));
        let sim = Simulation::new(1, Config::default(), Echo { clock: clock.clone(), stalls_at, stall });
        clock.set(Some(sim.clock()));
        sim
    }

    /// Sends a message every `interval` milliseconds, but none before the answer to the last one.
    /// Returns the times of the answers.
    fn measure(stalls_at: u64, stall: u64, interval: u64) -> Vec<u64> {
        let mut sim = stalling(stalls_at, stall);
        let peer = sim.connect("/");
        sim.run_until_idle();
        let mut times = Vec::new();
        while sim.elapsed() < Duration::from_secs(10) {
            let sent = sim.elapsed();
            peer.send("?");
            sim.run_until_idle();
            assert_eq!(peer.received_count(), times.len() as u64 + 1);
            let time = (sim.elapsed() - sent).as_millis() as u64;
            times.push(time);
            sim.run_for(Duration::from_millis(interval.saturating_sub(time)));
        }
        times
    }

    #[test]
    fn ex3_omitted_times_are_added() {
        let mut few = repaired(&[1, 35, 10, 11], 10);
        few.sort_unstable();
        assert_eq!(few, [1, 1, 5, 10, 11, 15, 25, 35]);
        assert_eq!(repaired(&[], 10), Vec::<u64>::new());

        for (stalls_at, stall, interval) in [(5_000, 1_000, 10), (2_003, 700, 20), (1_000, 3_000, 100)] {
            let measured = measure(stalls_at, stall, interval);
            assert!(percentile(&measured, 95.0) == 0, "the stall hides itself: {measured:?}");

            // What clients that do not wait would have seen.
            let end = stalls_at.next_multiple_of(interval) + stall;
            let due = (0..10_000 / interval).map(|number| number * interval);
            let began = stalls_at.next_multiple_of(interval);
            let truth: Vec<u64> = due.map(|due| if (began..end).contains(&due) { end - due } else { 0 }).collect();
            let repaired = repaired(&measured, interval);
            for percent in [50.0, 90.0, 95.0, 99.0, 99.9] {
                let (found, real) = (percentile(&repaired, percent), percentile(&truth, percent));
                assert!(found.abs_diff(real) <= interval, "p{percent} is {found} ms, and really {real} ms");
            }
        }
    }
}
