//! One run: random peers, faults of all kinds, and a comparison with the model at the end.

use crate::application::{Application, numbered};
use crate::secured::{Talk, Tls, facts};
use lariat::sim::{Faults, Peer, Simulation};
use lariat::{Cause, CloseCode, Config, Excess, HandoverError, ListenOptions, ReadyState, Takeover};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// A peer and its state.
pub struct Actor {
    pub peer: Peer,
    /// The numbers of the messages that the peer sent.
    pub sent: Vec<u32>,
    pub received: Vec<u32>,
    /// The peer sent invalid bytes, or something other than WebSocket.
    pub is_hostile: bool,
    /// The peer has not read for a while.
    pub has_stopped: bool,
    /// The peer has begun to end the connection.
    pub has_ended: bool,
    /// The peer has closed its half without a Close frame, or has broken the connection.
    pub has_broken: bool,
    pub is_outgoing: bool,
    /// The peer speaks TLS.
    pub talk: Option<Rc<Talk>>,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub is_secured: bool,
    pub fingerprint: u64,
    pub opened: usize,
    pub messages: usize,
    /// The number of times that the server used each defence.
    pub defences: BTreeMap<&'static str, u64>,
    pub wrongs: Vec<String>,
}

pub struct Run {
    seed: u64,
    random: StdRng,
    pub sim: Simulation<Application>,
    pub actors: Vec<Actor>,
    pub faults: Faults,
    pub tls: Option<Tls>,
    pub config: Config,
    next: u32,
    pub wrongs: Vec<String>,
    /// Decides when the server hands over to the next one.
    handovers: StdRng,
    handed_over: u64,
    stayed: u64,
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
    let mut tls = Tls::of(seed);
    application.tls = tls.as_ref().map(|tls| tls.outgoing.clone());
    let options = tls.as_ref().map_or_else(ListenOptions::default, Tls::options);
    let mut sim = Simulation::with_options(seed, config.clone(), &options, application);
    let clock = sim.clock();
    sim.handler_mut().set_clock(clock);
    if tell {
        sim.record_story();
    }
    sim.set_faults(faults.clone());
    for host in ["203.0.113.1", "somewhere.test"] {
        match &mut tls {
            Some(tls) => sim.listen_through(host, 443, tls.host()),
            None => sim.listen(host, 80),
        }
    }
    let handovers = StdRng::seed_from_u64(seed ^ 0x4a4d);
    let (actors, wrongs) = (Vec::new(), Vec::new());
    let (next, handed_over, stayed) = (0, 0, 0);
    let mut run = Run { seed, random, sim, actors, faults, tls, config, next, wrongs, handovers, handed_over, stayed };
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
    let mut defences = BTreeMap::from([
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
        ("handovers", run.handed_over),
        ("handovers that were not possible", run.stayed),
    ]);
    defences.extend(facts(run.tls.as_ref(), &stats));
    Verdict { is_secured: run.tls.is_some(), defences, fingerprint: run.sim.fingerprint(), opened, messages, wrongs }
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
            self.accept();
            self.audit();
            self.hand_over();
        }
    }

    /// Now and then, the next server takes over, and neither the application nor the peers notice.
    /// It goes on without that if something would stay behind.
    fn hand_over(&mut self) {
        if !self.handovers.random_bool(0.3) {
            return;
        }
        match self.sim.hand_over(Application::take) {
            Ok(()) => {
                self.handed_over += 1;
                self.sim.remark("the next server has taken over");
            }
            Err(HandoverError::Unable(why)) if why.ends_with("would stay behind") => self.stayed += 1,
            Err(error) => self.wrongs.push(format!("the handover has failed: {error}")),
        }
        self.audit();
    }

    /// Lets something happen to a peer's TLS, now and then. Returns whether something has.
    fn act_on_tls(&mut self, index: usize) -> bool {
        let actor = &mut self.actors[index];
        let (Some(tls), Some(talk)) = (&mut self.tls, &actor.talk) else { return false };
        let random = tls.random();
        if !random.random_bool(0.12) {
            return false;
        }
        let may_be_damaged = !actor.has_ended && !actor.is_hostile && actor.peer.is_open();
        match random.random_range(0..10) {
            _ if talk.is_mute() => match random.random_range(0..3) {
                0 => actor.peer.half_close(),
                1 => actor.peer.reset(),
                _ => actor.hang_up(),
            },
            kind @ (0 | 1) if may_be_damaged => {
                let at = random.random_range(0..1 << 20);
                if kind == 0 {
                    talk.change(at)
                } else {
                    talk.cut(at)
                }
                // This message does not arrive, and nothing after it does.
                self.next += 1;
                actor.peer.send(&numbered(self.next, random.random_range(0..1_000)));
                (actor.has_ended, actor.has_broken) = (true, true);
            }
            _ => talk.renew_keys(&actor.peer),
        }
        true
    }

    /// Checks that the server's count of held bytes equals the bytes in its clients and pools, and
    /// that it is within the budget.
    pub fn audit(&mut self) {
        let (found, budget) = (self.sim.footprint(), self.config.memory_budget);
        let held = found.buffers + found.shared + found.contexts + found.spares;
        self.check(found.held == held, || format!("{held} bytes are held: {found:?}"));
        self.check(held <= budget, || format!("{held} bytes are held, of {budget}: {found:?}"));
    }

    /// Adds the peers to which the server has connected.
    pub fn accept(&mut self) {
        while let Some(peer) = self.sim.accept() {
            let talk = self.tls.as_mut().and_then(Tls::accepted);
            self.add(peer, talk, true, false);
        }
    }

    fn add(&mut self, peer: Peer, talk: Option<Rc<Talk>>, is_outgoing: bool, is_hostile: bool) {
        let (sent, received) = (Vec::new(), Vec::new());
        // A peer whose ciphertext will be damaged ends the connection with that, in the model.
        let is_damaged = talk.as_ref().is_some_and(|talk| talk.is_damaged());
        let [has_stopped, has_ended, has_broken] = [false, is_damaged, is_damaged];
        self.actors.push(Actor {
            peer,
            sent,
            received,
            is_hostile,
            has_stopped,
            has_ended,
            has_broken,
            is_outgoing,
            talk,
        });
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
        let talk = self.tls.as_mut().and_then(|tls| tls.secure(&peer, is_hostile));
        if is_hostile && self.is_short() {
            peer.send_raw(&hoard(&mut self.random));
        }
        self.add(peer, talk, false, is_hostile);
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
        if self.act_on_tls(index) {
            return;
        }
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
                if let Some(talk) = &actor.talk {
                    talk.forget_damage();
                }
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
                actor.hang_up();
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

    pub fn has_rates(&self) -> bool {
        self.config.rates.messages_per_second.is_some() || self.config.rates.bytes_per_second.is_some()
    }

    pub fn is_short(&self) -> bool {
        self.config.memory_budget < Config::default().memory_budget
    }

    pub fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.wrongs.push(wrong());
        }
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
