//! One run: random peers, faults of all kinds, and a comparison with the model at the end.

use crate::application::{Application, Known, number_of_owned, numbered};
use lariat::sim::{Faults, Peer, Simulation};
use lariat::{Cause, ClientId, CloseCode, CloseReason, Config, Excess, ReadyState, Takeover, Timeout};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// A peer and its state.
struct Actor {
    peer: Peer,
    /// The numbers of the messages that the peer sent.
    sent: Vec<u32>,
    received: Vec<u32>,
    /// The peer sent invalid bytes, or something other than WebSocket.
    is_hostile: bool,
    /// The peer has not read for a while.
    has_stopped: bool,
    /// The peer has begun to end the connection.
    has_ended: bool,
    /// The peer has closed its half without a Close frame, or has broken the connection.
    has_broken: bool,
    is_outgoing: bool,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub fingerprint: u64,
    pub opened: usize,
    pub messages: usize,
    /// The number of times that the server used each defence.
    pub defences: BTreeMap<&'static str, u64>,
    pub wrongs: Vec<String>,
}

struct Run {
    seed: u64,
    random: StdRng,
    sim: Simulation<Application>,
    actors: Vec<Actor>,
    faults: Faults,
    config: Config,
    next: u32,
    wrongs: Vec<String>,
}

pub fn run(seed: u64, tell: bool) -> Verdict {
    let mut random = StdRng::seed_from_u64(seed);
    let config = config(&mut random);
    let faults = faults(&mut random);
    let is_short = config.memory_budget < Config::default().memory_budget;
    let mut application = Application::new(random.next_u64(), &config, is_short);
    if faults.late == 0.0 {
        // A turn takes no time, but a network that delays everything takes a little.
        application.patience = Duration::from_millis(3);
    }
    if tell {
        println!("seed {seed}: {config:#?}\n{faults:#?}");
    }
    let mut sim = Simulation::new(seed, config.clone(), application);
    let clock = sim.clock();
    sim.handler_mut().set_clock(clock);
    if tell {
        sim.record_story();
    }
    sim.set_faults(faults.clone());
    sim.listen("203.0.113.1", 80);
    sim.listen("somewhere.test", 80);
    let mut run = Run { seed, random, sim, actors: Vec::new(), faults, config, next: 0, wrongs: Vec::new() };
    run.act();
    run.settle();
    run.judge_living();
    run.leave();
    run.judge_dead();
    let (application, mut wrongs) = (run.sim.handler(), run.wrongs.clone());
    wrongs.extend(application.wrongs.iter().cloned());
    let known = &application.known;
    let opened = known.values().filter(|known| known.opened).count();
    let messages = known.values().map(|known| known.heard.len() + known.accepted.len()).sum();
    let stats = run.sim.clients().stats();
    let closed = |reason, detail| {
        let is_meant = |cause: &Cause| cause.reason == reason && cause.detail == detail;
        stats.closed.iter().filter(|(cause, _)| is_meant(cause)).map(|(_, count)| count).sum()
    };
    let refused = |status| stats.refused.get(&status).copied().unwrap_or_default();
    let defences = BTreeMap::from([
        ("pauses", stats.pauses),
        ("pauses that lasted", closed("timeout", "pause")),
        ("evictions", stats.evictions),
        ("dropped", stats.dropped),
        ("conflated", stats.conflated),
        ("throttled", stats.throttled),
        ("too fast", closed("limit", "rate")),
        ("slow consumers", closed("slow_consumer", "")),
        ("429", refused(429)),
        ("503", refused(503)),
    ]);
    Verdict { defences, fingerprint: run.sim.fingerprint(), opened, messages, wrongs }
}

/// Returns small limits and short timeouts, so that runs reach them.
fn config(random: &mut StdRng) -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.max_message = 8 << 10;
    limits.max_head = 1 << 10;
    limits.max_unsent = random.random_range(8..64) << 10;
    limits.high_water = [100, 1_000, limits.max_unsent][random.random_range(0..3)];
    limits.handshake_timeout = Duration::from_secs(3);
    limits.close_timeout = Duration::from_secs(2);
    limits.ping_interval = random.random_bool(0.7).then_some(Duration::from_secs(4));
    limits.idle_timeout = random.random_bool(0.7).then_some(Duration::from_secs(9));
    limits.message_timeout = random.random_bool(0.7).then_some(Duration::from_secs(5));
    limits.write_timeout = Some(Duration::from_secs(6));
    limits.max_lifetime = random.random_bool(0.2).then_some(Duration::from_secs(15));
    match (&mut config.deflate, random.random_range(0..8)) {
        (Some(deflate), 0) => {
            deflate.threshold = 30;
            deflate.context_takeover = Takeover::Both;
        }
        (Some(deflate), 1) => deflate.threshold = 100,
        (deflate, _) => *deflate = None,
    }
    config.read_buffer = 1 << random.random_range(10..16);
    config.accepts_per_turn = random.random_range(1..6);
    config.events_per_turn = random.random_range(1..12);
    config.max_connections = random.random_bool(0.2).then_some(6);
    config.max_connections_per_address = random.random_bool(0.15).then_some(1);
    config.handshakes_per_second = random.random_bool(0.1).then_some(2);
    config.rates.messages_per_second = random.random_bool(0.15).then_some(5);
    config.rates.bytes_per_second = random.random_bool(0.15).then_some(2 << 10);
    config.rates.excess = if random.random_bool(0.7) { Excess::Delay } else { Excess::Close };
    if random.random_bool(0.3) {
        config.limits.max_message = 32 << 10;
        config.limits.max_unsent = 8 << 10;
        config.limits.high_water = config.limits.high_water.min(8 << 10);
        config.memory_budget = config.least_memory_budget() + random.random_range(0..8_usize << 10);
        config.pause_timeout = Duration::from_millis(random.random_range(100..4_000));
    }
    config
}

/// Returns faults. Each is on in half of the runs, because one fault may hide what another one
/// breaks.
fn faults(random: &mut StdRng) -> Faults {
    let mut faults = Faults::rough();
    let all = [
        &mut faults.short_read,
        &mut faults.short_write,
        &mut faults.would_block,
        &mut faults.interrupted,
        &mut faults.spurious,
        &mut faults.delay,
        &mut faults.reset,
        &mut faults.half_close,
        &mut faults.late,
        &mut faults.exhaustion,
        &mut faults.aborted,
    ];
    for fault in all {
        *fault *= [0.0, 1.0, 0.0, 2.0][random.random_range(0..4)];
    }
    faults.window = 1 << random.random_range(9..19);
    faults
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("LARIAT_SEED={} replays this", self.seed);
        }
        self.sim.take_story().iter().for_each(|line| println!("{line}"));
    }
}

impl Run {
    fn act(&mut self) {
        for _ in 0..self.random.random_range(10..120) {
            match self.random.random_range(0..10) {
                0 | 1 if self.actors.len() < if self.is_short() { 40 } else { 12 } => self.connect(),
                2..=6 => self.act_as_peer(),
                7 => self.sim.run_until_idle(),
                8 => {
                    let millis = self.random.random_range(0..1_500);
                    self.sim.run_for(Duration::from_millis(millis));
                }
                _ => (0..self.random.random_range(1..5)).for_each(|_| self.sim.step()),
            }
            while let Some(peer) = self.sim.accept() {
                self.add(peer, true, false);
            }
            self.audit();
        }
    }

    /// Checks that the server's count of held bytes equals the bytes in its clients and pools, and
    /// that it is within the budget.
    fn audit(&mut self) {
        let (found, budget) = (self.sim.footprint(), self.config.memory_budget);
        let held = found.buffers + found.shared + found.contexts + found.spares;
        self.check(found.held == held, || format!("{held} bytes are held: {found:?}"));
        self.check(held <= budget, || format!("{held} bytes are held, of {budget}: {found:?}"));
    }

    fn add(&mut self, peer: Peer, is_outgoing: bool, is_hostile: bool) {
        let (sent, received) = (Vec::new(), Vec::new());
        let [has_stopped, has_ended, has_broken] = [false; 3];
        self.actors.push(Actor { peer, sent, received, is_hostile, has_stopped, has_ended, has_broken, is_outgoing });
    }

    fn connect(&mut self) {
        let hostile = if self.is_short() { 3 } else { 1 };
        let (peer, is_hostile) = match self.random.random_range(0..6) {
            kind if kind < hostile => (self.sim.connect_raw(), true),
            3 | 4 if self.config.max_connections_per_address.is_some() => {
                let host = self.random.random_range(1..4);
                (self.sim.connect_from([198, 51, 100, host].into(), "/"), false)
            }
            _ => (self.sim.connect("/"), false),
        };
        if is_hostile && self.is_short() {
            peer.send_raw(&hoard(&mut self.random));
        }
        self.add(peer, false, is_hostile);
        if !is_hostile && self.random.random_bool(0.2) {
            // This peer sends its first message without waiting for the response.
            self.next += 1;
            let last = self.actors.len() - 1;
            self.actors[last].peer.send_raw(&frame(self.next));
            self.actors[last].sent.push(self.next);
        }
    }

    fn act_as_peer(&mut self) {
        if self.actors.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.actors.len());
        let random = &mut self.random;
        let actor = &mut self.actors[index];
        match random.random_range(0..100) {
            0..=59 => {
                for _ in 0..random.random_range(1..6) {
                    if actor.has_ended || actor.peer.ready_state() as u8 > ReadyState::Open as u8 {
                        break;
                    }
                    self.next += 1;
                    let most = if random.random_bool(0.1) { 4_000 } else { 40 };
                    let text = numbered(self.next, random.random_range(0..most));
                    if random.random_bool(0.5) {
                        actor.peer.send(&text);
                    } else {
                        actor.peer.send(text.as_bytes());
                    }
                    actor.sent.push(self.next);
                }
            }
            60..=64 => actor.peer.ping(b"?"),
            65..=72 => {
                actor.peer.stop_reading();
                actor.has_stopped = true;
            }
            73..=82 => actor.peer.resume_reading(),
            83..=86 => {
                actor.peer.close(CloseCode::Normal, "bye");
                actor.has_ended = true;
            }
            87..=89 => {
                actor.peer.half_close();
                (actor.has_ended, actor.has_broken) = (true, true);
            }
            90 => {
                actor.peer.reset();
                (actor.has_ended, actor.has_broken) = (true, true);
            }
            91 => {
                actor.peer.hang_up();
                (actor.has_ended, actor.has_broken) = (true, true);
            }
            92 => {
                let mut actor = self.actors.swap_remove(index);
                actor.receive();
            }
            _ if actor.is_hostile || random.random_bool(0.3) => {
                actor.is_hostile = true;
                actor.peer.send_raw(&rubbish(random));
            }
            _ => {}
        }
    }

    /// Ends the faults and lets every peer read. Everything that waits must then arrive.
    fn settle(&mut self) {
        let mut faults = Faults::none();
        faults.window = self.faults.window;
        self.sim.set_faults(faults);
        self.sim.remark("the faults are over");
        settle_application(&mut self.sim);
        self.actors.iter().for_each(|actor| actor.peer.resume_reading());
        let (before, peers) = (self.sim.turns(), self.actors.len() as u64);
        self.sim.run_until_idle();
        // New connections that could not be accepted are accepted a little later.
        self.sim.run_for(Duration::from_millis(200));
        let turns = self.sim.turns() - before;
        self.check(turns < 2_000 + 200 * peers, || format!("{turns} turns until everything was done"));
        // Messages beyond the rate are read a little later, and so are clients that hold too much
        // memory.
        if self.has_rates() || self.is_short() {
            self.sim.run_for(Duration::from_secs(60));
        }
        self.audit();
        while let Some(peer) = self.sim.accept() {
            self.add(peer, true, false);
        }
        self.actors.iter_mut().for_each(Actor::receive);
    }

    fn has_rates(&self) -> bool {
        self.config.rates.messages_per_second.is_some() || self.config.rates.bytes_per_second.is_some()
    }

    fn is_short(&self) -> bool {
        self.config.memory_budget < Config::default().memory_budget
    }

    /// Checks the open connections: the peers have received everything, and the server has received
    /// everything from them. No client is stuck at a limit.
    fn judge_living(&mut self) {
        let mut known_ids = Vec::new();
        for actor in &self.actors {
            let state = actor.peer.ready_state();
            let is_between = matches!(state, ReadyState::Connecting | ReadyState::Closing);
            if is_between && !actor.is_hostile && !actor.has_broken && self.faults.half_close == 0.0 {
                let known = actor.known(&self.sim);
                self.wrongs.push(format!("{:?} is left {state:?}: {known:?}", actor.peer.addr()));
            }
        }
        for actor in &self.actors {
            let Some((id, known)) = actor.known(&self.sim) else { continue };
            if known.reason.is_some() || !known.opened {
                continue;
            }
            known_ids.push(*id);
            if actor.is_hostile || actor.has_ended || !actor.peer.is_open() || self.faults.half_close > 0.0 {
                continue;
            }
            if !actor.has_received_all(known) {
                self.wrongs.push(format!("{id} is open and has received {:?}, not {known:?}", actor.received));
            }
            if known.heard != actor.sent {
                self.wrongs
                    .push(format!("{id} is open, and the server received {:?}, not {:?}", known.heard, actor.sent));
            }
        }
        let clients = self.sim.clients();
        let (len, is_open) = (clients.len(), |id: &ClientId| clients.ready_state(*id) == ReadyState::Open);
        let open = known_ids.iter().filter(|id| is_open(id)).count();
        self.check(open <= len, || format!("{open} are open, and the server knows of {len}"));
    }

    /// Disconnects all peers, and checks that nothing is left.
    fn leave(&mut self) {
        for (index, actor) in self.actors.iter_mut().enumerate() {
            match index % 3 {
                // A peer that announced a frame and did not send it cannot send a Close.
                _ if actor.is_hostile || !actor.peer.is_open() => actor.peer.hang_up(),
                0 => actor.peer.close(CloseCode::Away, ""),
                1 => actor.peer.half_close(),
                _ => actor.peer.hang_up(),
            }
            actor.has_ended = true;
        }
        self.sim.run_for(Duration::from_secs(20));
        self.actors.iter_mut().for_each(Actor::receive);
        let footprint = self.sim.footprint();
        self.check(footprint.connections == 0, || format!("a connection is left: {footprint:?}"));
        self.check(footprint.held == footprint.spares, || format!("memory is left: {footprint:?}"));
        self.check(footprint.spares < 600 << 10, || format!("too much memory is kept: {footprint:?}"));
        let (clients, topics) = (self.sim.clients(), ["0", "1", "2", "3"]);
        let left = (clients.len(), clients.iter_all().count(), topics.map(|topic| clients.subscribers(topic)));
        self.check(left == (0, 0, [0; 4]), || format!("left: {left:?}"));
        let has_timers = self.sim.handler().has_timers();
        self.check(!has_timers, || "timers have not fired".to_owned());
        // After that the loop sleeps.
        let before = self.sim.turns();
        self.sim.run_for(Duration::from_secs(24 * 60 * 60));
        let turns = self.sim.turns() - before;
        self.check(turns < 20, || format!("{turns} turns in a day without clients"));
    }

    fn judge_dead(&mut self) {
        for (id, known) in &self.sim.handler().known {
            if (known.opened || known.is_outgoing) != known.reason.is_some() {
                self.wrongs.push(format!("{id} did not get one on_close for each on_open: {known:?}"));
            }
        }
        for actor in &self.actors {
            let Some((id, known)) = actor.known(&self.sim) else { continue };
            let Some(reason) = &known.reason else { continue };
            let mut wrongs = Vec::new();
            if !actor.has_received_in_order(known) {
                wrongs.push(format!("received {:?}, of {known:?}", actor.received));
            }
            if !actor.is_hostile && !actor.sent.starts_with(&known.heard) {
                wrongs.push(format!("the server received {:?}, of {:?}", known.heard, actor.sent));
            }
            // The server has received everything that the peer sent before its Close.
            let sent_close = matches!(reason, CloseReason::Peer(_)) && !actor.is_hostile && !actor.has_broken;
            if sent_close && known.heard != actor.sent {
                wrongs.push(format!("the server received {:?}, not {:?}", known.heard, actor.sent));
            }
            // Timeouts occurred only for peers that caused them.
            let is_patient = !actor.is_hostile && !actor.has_stopped && !actor.has_broken;
            let is_undisturbed = self.faults.late == 0.0 && self.faults.half_close == 0.0;
            let in_vain = match reason {
                CloseReason::Timeout(Timeout::Close | Timeout::Write) => true,
                // A message that is not read for a while gets no more time than others.
                CloseReason::Timeout(Timeout::Message) => !self.has_rates() && !self.is_short(),
                _ => false,
            };
            if is_patient && is_undisturbed && in_vain {
                wrongs.push("but the peer was responsive".to_owned());
            }
            // We have sent a Close, and the peer has answered it. So the peer has received
            // everything before it.
            let was_clean = matches!(reason, CloseReason::Local(_)) && !actor.is_hostile && !actor.has_ended;
            if was_clean && !actor.has_received_all(known) {
                wrongs.push(format!("received {:?}, not {known:?}", actor.received));
            }
            self.wrongs.extend(wrongs.iter().map(|wrong| format!("{id}, closed because {reason}: {wrong}")));
        }
    }

    fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.wrongs.push(wrong());
        }
    }
}

/// Lets the application cancel its timers between two turns, as a host with its own loop would.
fn settle_application(sim: &mut Simulation<Application>) {
    let mut application = std::mem::replace(sim.handler_mut(), Application::new(0, &Config::default(), false));
    application.settle(sim.clients());
    *sim.handler_mut() = application;
}

impl Actor {
    fn receive(&mut self) {
        self.received.extend(self.peer.received().iter().filter_map(number_of_owned));
    }

    /// Whether the peer has received the messages that were accepted for it, in order and up to
    /// some message, and for each key none after a later one.
    fn has_received_in_order(&self, known: &Known) -> bool {
        let mut accepted = known.accepted.iter();
        let mut last = BTreeMap::new();
        self.received.iter().all(|number| match known.conflated.get(number) {
            Some(key) => last.insert(key, number).is_none_or(|before| before < number),
            None => accepted.next() == Some(number),
        })
    }

    /// Whether the peer has received all messages that were accepted for it, and the last one of
    /// each key.
    fn has_received_all(&self, known: &Known) -> bool {
        let plain = self.received.iter().filter(|number| !known.conflated.contains_key(number)).count();
        let lasts: BTreeMap<u64, u32> = known.conflated.iter().map(|(number, key)| (*key, *number)).collect();
        plain == known.accepted.len()
            && self.has_received_in_order(known)
            && lasts.values().all(|last| self.received.contains(last))
    }

    /// Returns the model of this peer.
    fn known<'a>(&self, sim: &'a Simulation<Application>) -> Option<(&'a ClientId, &'a Known)> {
        let known = &sim.handler().known;
        if self.is_outgoing {
            let first = self.received.first()?;
            return known.iter().find(|(_, known)| known.is_outgoing && known.accepted.first() == Some(first));
        }
        let addr = Some(self.peer.addr());
        known.iter().find(|(_, known)| known.addr == addr && !known.is_outgoing)
    }
}

/// Returns a masked frame with a message of this number.
fn frame(number: u32) -> Vec<u8> {
    let text = numbered(number, 3);
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Returns a request and most of a message.
fn hoard(random: &mut StdRng) -> Vec<u8> {
    let most = vec![b'x'; random.random_range(4_000..31_000)];
    [REQUEST.as_bytes(), &[0x82, 0xfe, 0x79, 0x18, 0, 0, 0, 0], &most].concat()
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n";

/// Returns bytes that a server must tolerate.
fn rubbish(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..10) {
        8 | 9 => hoard(random),
        0 => REQUEST.as_bytes()[..random.random_range(0..REQUEST.len())].to_vec(),
        1 | 2 => REQUEST.as_bytes().to_vec(),
        3 => b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
        // A frame that is announced and does not arrive.
        4 => vec![0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4],
        // The first fragment of many.
        5 => [0x01, 0x81, 0, 0, 0, 0, b'a'].repeat(random.random_range(1..3)),
        // Pings without end.
        6 => [0x89, 0x80, 0, 0, 0, 0].repeat(random.random_range(1..3_000)),
        _ => {
            let mut bytes = vec![0; random.random_range(0..300)];
            random.fill_bytes(&mut bytes);
            bytes
        }
    }
}
