//! Chapter 9, time.

use lariat::{ClientId, Clients, Handler, Limits, Message, TimerId};
use std::time::Duration;

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. What happens to a client that falls silent?
///
/// A client opens a connection and then sends nothing, not even a Pong. Return the times at which
/// the server sends it Pings, and the time at which it closes the connection, if it ever does. All
/// times count from the last byte of the client. If a Ping would be due at the same time as the
/// end, it is not sent. Without an end, return the first three Pings.
pub fn silence(limits: &Limits) -> (Vec<Duration>, Option<Duration>) {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Where does a deadline lie in the timing wheel?
///
/// Return its level and its slot. Level 0 has 64 slots of 1 ms, and each further level has 64 slots
/// that are 64 times as long. The level is that of the highest bit in which the deadline differs
/// from the current time. A slot is the same part of a deadline's bits, whatever the current time
/// is: on level 0 the lowest six bits, on level 1 the next six, and so on.
pub fn place(now: u32, due: u32) -> (u32, u32) {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// What is kept for each client of [`Counter`].
#[derive(Debug, Default)]
pub struct Guest {
    /// Its timer, if it has one.
    pub timer: Option<TimerId>,
    /// Whether it has said who it is.
    pub is_known: bool,
}

/// Exercise 3. A counter at which one must not dawdle.
///
/// A client must send its first message within 3 seconds after it has opened. Otherwise it is
/// closed with the code 4001. After that, it is closed with the code 4002 if it sends no message
/// for 10 seconds. Use [`Clients::set_client_timer`], which ends with its client, and
/// [`Clients::cancel_timer`].
#[derive(Debug, Default)]
pub struct Counter;

impl Handler for Counter {
    type Data = Guest;

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        todo!()
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, _: Message<'_>) {
        todo!()
    }

    fn on_client_timer(&mut self, clients: &mut Clients<Guest>, id: ClientId, timer: TimerId, token: u64) {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch09: silence, place, Counter);
    use crate::kit::REQUEST;
    use lariat::sim::Simulation;
    use lariat::{Config, Handler};
    use std::time::Duration;

    struct Quiet;

    impl Handler for Quiet {
        type Data = ();
    }

    #[test]
    fn ex1_silence_ends_when_the_limits_say_so() {
        let seconds = |count: Option<u64>| count.map(Duration::from_secs);
        for (ping, idle) in [
            (Some(50), Some(120)),
            (Some(10), Some(35)),
            (Some(10), Some(30)),
            (Some(60), Some(20)),
            (None, Some(40)),
            (Some(7), None),
            (None, None),
        ] {
            let mut config = Config::default();
            config.limits.ping_interval = seconds(ping);
            config.limits.idle_timeout = seconds(idle);
            config.limits.write_timeout = None;
            let limits = config.limits.clone();
            let mut sim = Simulation::new(1, config, Quiet);
            let peer = sim.connect_raw();
            peer.send_raw(REQUEST);
            sim.run_until_idle();
            assert!(peer.received_raw().starts_with(b"HTTP/1.1 101 "));

            let (mut pings, mut end) = (Vec::new(), None);
            for second in 1..=200 {
                // The server may be some milliseconds late.
                sim.run_for(Duration::from_millis(if second == 1 { 1_020 } else { 1_000 }));
                let bytes = peer.received_raw();
                if bytes.starts_with(b"\x89\x00") {
                    pings.push(Duration::from_secs(second));
                } else if bytes.starts_with(b"\x88") {
                    end = Some(Duration::from_secs(second));
                    break;
                }
                if idle.is_none() && pings.len() == 3 {
                    break;
                }
            }
            assert_eq!(silence(&limits), (pings, end), "with Pings every {ping:?} s and an end after {idle:?} s");
        }
    }

    /// A wheel that finds deadlines in the slots in which `place` has put them.
    struct Wheel {
        now: u32,
        slots: Vec<Vec<u32>>,
    }

    impl Wheel {
        fn insert(&mut self, due: u32) {
            let (level, slot) = place(self.now, due);
            assert!(level < 6 && slot < 64, "level {level}, slot {slot} for {due} at {}", self.now);
            self.slots[(level * 64 + slot) as usize].push(due);
        }

        /// Lets one millisecond pass. Returns the deadlines that pass now.
        fn tick(&mut self) -> Vec<u32> {
            self.now += 1;
            let now = self.now;
            for level in (1..6).rev().filter(|level| now % (1 << (6 * level)) == 0) {
                let slot = (now >> (6 * level)) % 64;
                for due in std::mem::take(&mut self.slots[(level * 64 + slot) as usize]) {
                    self.insert(due); // it moves down
                }
            }
            std::mem::take(&mut self.slots[(self.now % 64) as usize])
        }
    }

    #[test]
    fn ex2_every_deadline_passes_in_its_millisecond() {
        for (now, due, expected) in
            [(0, 50, (0, 50)), (0, 1_000, (1, 15)), (0, 50_000, (2, 12)), (49_990, 50_000, (0, 16))]
        {
            assert_eq!(place(now, due), expected, "{due} ms, at {now} ms");
        }
        for start in [0, 1, 63, 4_095, 49_980, 262_100, 16_777_000] {
            let mut wheel = Wheel { now: start, slots: vec![Vec::new(); 6 * 64] };
            let mut waiting: Vec<u32> = (0..400_u32).map(|number| start + 1 + number * number % 9_973).collect();
            waiting.iter().for_each(|due| wheel.insert(*due));
            waiting.sort_unstable();
            let mut passed = Vec::new();
            for _ in 0..10_000 {
                let now = wheel.tick();
                assert!(now.iter().all(|due| *due == wheel.now), "{now:?} pass at {}", wheel.now);
                passed.extend(now);
            }
            assert_eq!(passed, waiting, "from {start} ms on");
        }
    }

    #[test]
    fn ex3_nobody_dawdles() {
        let mut sim = Simulation::new(1, Config::default(), Counter);
        let peers: Vec<_> = (0..4).map(|_| sim.connect("/")).collect();
        sim.run_for(Duration::from_secs(2));
        peers[1..].iter().for_each(|peer| peer.send("it is me"));
        let mut ends = [None; 4];
        for second in 3..60 {
            sim.run_for(Duration::from_millis(if second == 3 { 1_050 } else { 1_000 }));
            for (peer, end) in peers.iter().zip(&mut ends) {
                let code = peer.close_reason().map(|reason| u16::from(reason.code()));
                *end = end.or(code.map(|code| (second, code)));
            }
            match second {
                11 => peers[2..].iter().for_each(|peer| peer.send("wait")),
                20 | 29 => peers[3].send("wait"),
                _ => {}
            }
        }
        // 12, 21 and 39 seconds: ten after the last message.
        assert_eq!(ends, [Some((3, 4001)), Some((12, 4002)), Some((21, 4002)), Some((39, 4002))]);
    }
}
