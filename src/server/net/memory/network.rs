//! The network between a simulated server and its peers.
//!
//! It consists of [`Line`]s, a backlog of new connections and a clock that runs only while the loop
//! waits. A line is two streams of bytes, which arrive when [`Network::advance`] lets them. The
//! network behaves like a kernel with an edge-triggered poller: it reports readiness when bytes
//! arrive, when room returns after a short write, and at FIN or a reset. It reports each of them
//! once.

use super::faults::Faults;
use super::handles::{MAX_LINES, NetworkRef, Wire};
use super::layer::{MakeLayer, Wrapped};
use super::line::{Line, Marks, Watched};
use crate::protocol::time::{Epoch, Moment};
use crate::protocol::{CloseReason, Limits, Opening, Role, Shared};
use crate::server::config::Config;
use crate::server::net::{Readiness, Ready, Socket, exhaustion};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slab::Slab;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the simulated server listens: an address that is reserved for documentation.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80);

/// How long the network rests when all that is under way is delayed.
const PAUSE: Duration = Duration::from_micros(100);

/// What a loop of the server has of the network, as of a poller.
#[derive(Default)]
pub(super) struct Watcher {
    /// Lines whose edge is to be told, the longest waiting first: one turn takes only so many.
    to_tell: VecDeque<u32>,
    pub(super) ready: Vec<Ready>,
    /// Time has passed that the loop has not waited for.
    pub(super) was_interrupted: bool,
}

/// All lines of one simulation.
pub(crate) struct Network {
    pub(super) serial: u64,
    place: u8,
    pub(crate) faults: Faults,
    random: StdRng,
    pub(crate) now: Moment,
    epoch: Epoch,
    pub(crate) lines: Slab<Box<Line>>,
    /// Those on which something is to happen, the longest waiting first.
    active: VecDeque<u32>,
    /// One for each loop of the server.
    watchers: Vec<Watcher>,
    events_per_turn: usize,
    /// New connections that the server has not accepted.
    backlog: VecDeque<u32>,
    listener_edge: bool,
    is_listening: bool,
    /// Where the server can connect to, and the layers of the peers there.
    hosts: BTreeMap<SocketAddr, Option<MakeLayer>>,
    pub(crate) names: BTreeMap<String, IpAddr>,
    /// Peers to which the server has connected.
    pub(crate) dialled: VecDeque<u32>,
    connected_so_far: u32,
    /// What the connections of all peers share.
    pub(crate) shared: Shared,
    /// Of every byte that the server has read and written, and when.
    fingerprint: DefaultHasher,
    story: Option<Vec<String>>,
    /// Another server takes over: sockets that are dropped stay open, because it has them too.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) hands_over: bool,
}

impl Network {
    pub(super) fn new(network: NetworkRef, seed: u64, config: &Config) -> Network {
        let mut limits = Limits::default();
        // Peers keep no time, and are as generous as can be.
        (limits.ping_interval, limits.idle_timeout) = (None, None);
        (limits.max_message, limits.max_unsent) = (usize::MAX >> 1, usize::MAX >> 1);
        Network {
            serial: network.serial,
            place: network.place,
            faults: Faults::none(),
            random: StdRng::seed_from_u64(seed),
            now: Moment::default(),
            epoch: Epoch::default(),
            lines: Slab::new(),
            active: VecDeque::new(),
            watchers: vec![Watcher::default()],
            events_per_turn: config.events_per_turn,
            backlog: VecDeque::new(),
            listener_edge: false,
            is_listening: true,
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            dialled: VecDeque::new(),
            connected_so_far: 0,
            // Peers support everything that the server supports.
            shared: Shared::with_seed(limits, seed).with_deflate(config.deflate.clone()),
            fingerprint: DefaultHasher::new(),
            story: None,
            #[cfg(all(unix, feature = "handover"))]
            hands_over: false,
        }
    }

    pub(crate) fn line(&mut self, index: u32) -> &mut Line {
        &mut self.lines[index as usize]
    }

    /// Returns whether a fault of this probability is committed now.
    fn commits(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability)
    }

    /// Returns `count`, or less if a fault of this probability is committed.
    fn part_of(&mut self, count: usize, probability: f64) -> usize {
        if count > 1 && self.commits(probability) { self.random.random_range(1..count) } else { count }
    }

    pub(super) fn read(&mut self, index: u32, buffer: &mut [u8]) -> io::Result<usize> {
        if self.commits(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (arrived, room) = (self.line(index).inward.arrived(), buffer.len());
        if arrived > 0 && self.commits(self.faults.would_block) {
            self.tell_edge(index);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.part_of(arrived.min(room), self.faults.short_read);
        let line = self.line(index);
        if count == 0 {
            // A reset is reported once.
            return match line.error.take() {
                Some(error) => Err(error.into()),
                None if line.marks.has(Marks::RESET) || line.inward.is_over() => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        line.inward.take(&mut buffer[..count]);
        if count < room && count < arrived {
            // As if the rest had arrived after this read.
            self.tell_edge(index);
        }
        // Now there is room for more.
        self.activate(index);
        self.note(index, "read", &buffer[..count]);
        Ok(count)
    }

    pub(super) fn write(&mut self, index: u32, bytes: &[u8]) -> io::Result<usize> {
        if self.commits(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let window = self.faults.window;
        let line = self.line(index);
        if let Some(error) = line.error.take() {
            return Err(error.into());
        }
        if line.marks.has(Marks::RESET) || line.outward.has_ended() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = line.outward.room(window);
        let blocks = room == 0 || self.commits(self.faults.would_block);
        let count = if blocks { 0 } else { self.part_of(room.min(bytes.len()), self.faults.short_write) };
        let line = self.line(index);
        if count < bytes.len() {
            line.marks.set(Marks::WANTS_ROOM);
        }
        line.outward.put(&bytes[..count]);
        self.activate(index);
        if blocks {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.note(index, "write", &bytes[..count]);
        Ok(count)
    }

    pub(super) fn shutdown_write(&mut self, index: u32) {
        self.line(index).outward.end();
        self.activate(index);
        self.note(index, "FIN", b"");
    }

    /// The server has dropped its socket. If it has not read everything, the kernel sends a reset,
    /// and that eats what the peer has not read.
    pub(super) fn close(&mut self, index: u32) {
        #[cfg(all(unix, feature = "handover"))]
        if self.hands_over {
            return;
        }
        let line = self.line(index);
        line.marks.set(Marks::SERVER_GONE);
        line.watched = None;
        let has_unread = !line.inward.is_empty();
        line.outward.end();
        self.note(index, if has_unread { "close, with unread bytes" } else { "close" }, b"");
        if has_unread {
            self.reset_peer(index);
        }
        self.activate(index);
    }

    pub(super) fn watch(&mut self, index: u32, watched: Watched) {
        self.line(index).watched = Some(watched);
        self.tell_edge(index);
    }

    /// Nobody watches the line any more. An edge that has not been told is forgotten: who watches
    /// it next is told the state.
    pub(super) fn unwatch(&mut self, index: u32) {
        let line = self.line(index);
        line.watched = None;
        line.marks.clear(Marks::TO_TELL);
    }

    pub(super) fn watcher(&mut self, number: u8) -> &mut Watcher {
        &mut self.watchers[usize::from(number)]
    }

    /// The server has so many loops.
    pub(crate) fn set_loops(&mut self, count: usize) {
        self.watchers.resize_with(count, Watcher::default);
    }

    /// A loop of several turns.
    pub(crate) fn loop_turns(&mut self, number: u8) {
        self.fingerprint.write_u8(number);
        if self.story.is_some() {
            self.remark(&format!("loop {number} turns"));
        }
    }

    /// A loop has stopped: it takes no events any more.
    pub(crate) fn stop_loop(&mut self, number: u8) {
        *self.watcher(number) = Watcher::default();
    }

    /// Lets time pass while no loop waits.
    pub(super) fn pass_time(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.watchers.iter_mut().for_each(|watcher| watcher.was_interrupted = true);
    }

    pub(super) fn accept(&mut self) -> io::Result<Socket> {
        if !self.backlog.is_empty() && self.commits(self.faults.exhaustion) {
            self.remark("accept: no descriptor");
            return Err(exhaustion());
        }
        let Some(index) = self.backlog.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
        if self.commits(self.faults.aborted) {
            self.close(index);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.note(index, "accept", b"");
        Ok(Socket::Simulated(Wire::new(self.place, index)))
    }

    /// Connects the server to a host. The connection is refused if there is no such host.
    pub(super) fn connect(&mut self, address: SocketAddr) -> io::Result<Socket> {
        let mut line = Line::new(Role::Server, self.tick(), address);
        let host = self.hosts.get_mut(&address);
        let is_host = host.is_some();
        if let Some(make) = host {
            line.wrapped = make.as_mut().map(|make| Wrapped::new(make()));
        } else {
            line.error = Some(io::ErrorKind::ConnectionRefused);
            line.marks.set(Marks::RESET);
            line.marks.set(Marks::PEER_GONE);
            line.marks.set(Marks::UNWATCHED);
        }
        let index = self.insert(line);
        if is_host {
            self.dialled.push_back(index);
        }
        self.note(index, if is_host { "connect" } else { "connect, refused" }, b"");
        Ok(Socket::Simulated(Wire::new(self.place, index)))
    }
}

// ---- what happens while the loop waits ---------------------------------------------------------

impl Network {
    pub(super) fn wait(&mut self, number: u8, timeout: Option<Duration>) {
        let asked = self.now;
        if self.commits(self.faults.late) {
            let most = if self.random.random_bool(0.1) { 1_000_000 } else { 5_000 };
            self.now = self.now.after(Duration::from_micros(self.random.random_range(0..most)));
        }
        // The loop checks itself whether another thread has left a call.
        self.watcher(number).ready.push(Ready::Remote);
        loop {
            self.advance();
            self.tell_loop(number);
            let left = timeout.map(|timeout| asked.after(timeout).since(self.now));
            if self.watcher(number).ready.len() > 1 || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            // No time passes for a loop that has something to do.
            if self.watchers.len() > 1 && self.is_other_busy(number) {
                return;
            }
            if self.active.is_empty() {
                self.now = self.now.after(left.unwrap_or_default());
                return;
            }
            if self.faults.delay > 0.0 {
                self.now = self.now.after(left.unwrap_or(PAUSE).min(PAUSE));
            }
        }
    }

    /// Lets everything that is under way arrive, or some of it.
    pub(crate) fn advance(&mut self) {
        for _ in 0..self.active.len() {
            let Some(index) = self.active.pop_front() else { break };
            if self.commits(self.faults.delay) {
                self.active.push_back(index);
                continue;
            }
            self.line(index).marks.clear(Marks::ACTIVE);
            self.carry(index);
            let line = &mut *self.lines[index as usize];
            if let Some(Watched { by, .. }) = line.watched.filter(|_| line.marks.has(Marks::EDGE)) {
                if !line.marks.has(Marks::TO_TELL) {
                    line.marks.set(Marks::TO_TELL);
                    self.watchers[usize::from(by)].to_tell.push_back(index);
                }
            } else if line.is_over() {
                self.lines.remove(index as usize);
            }
        }
    }

    /// Reports events to a loop, as many as one turn takes.
    pub(crate) fn tell_loop(&mut self, number: u8) {
        while self.watcher(number).ready.len() <= self.events_per_turn {
            let Some(index) = self.watcher(number).to_tell.pop_front() else { break };
            self.tell(number, index);
        }
        // The first one accepts.
        if number == 0 && std::mem::take(&mut self.listener_edge) {
            self.watcher(number).ready.push(Ready::Listener(0));
        }
    }

    /// Reports the event of one line to a loop.
    fn tell(&mut self, number: u8, index: u32) {
        let window = self.faults.window;
        // The line may be over, and another one may have its place. Or another loop has it.
        let is_meant = |line: &&mut Box<Line>| line.marks.has(Marks::TO_TELL);
        let Some(line) = self.lines.get_mut(index as usize).filter(is_meant) else { return };
        let Some(Watched { client, .. }) = line.watched.filter(|watched| watched.by == number) else { return };
        line.marks.clear(Marks::TO_TELL);
        if !line.marks.has(Marks::EDGE) {
            return;
        }
        line.marks.clear(Marks::EDGE);
        let is_reset = line.marks.has(Marks::RESET);
        let read_closed = line.inward.end_has_arrived() || is_reset;
        self.watchers[usize::from(number)].ready.push(Ready::Client(Readiness {
            client: client as usize,
            readable: line.inward.arrived() > 0 || read_closed,
            writable: line.outward.room(window) > 0 || is_reset,
            read_closed,
        }));
    }

    /// Lets what is under way on one line arrive.
    fn carry(&mut self, index: u32) {
        let window = self.faults.window;
        let line = self.line(index);
        let carries = !line.inward.is_empty() || !line.outward.is_empty();
        if carries && self.commits(self.faults.reset) {
            self.reset_by_peer(index);
        }
        if carries && self.commits(self.faults.half_close) {
            self.line(index).marks.set(Marks::FINISHES);
            self.note(index, "the peer's half is closed by a fault", b"");
        }
        if self.commits(self.faults.spurious) {
            self.line(index).marks.set(Marks::EDGE);
        }

        // To the server.
        self.line(index).send_unsent(window);
        let under_way = self.line(index).inward.under_way();
        let part = self.part_of(under_way, self.faults.short_read);
        let line = self.line(index);
        let has_come = line.inward.arrive(part);
        if has_come && line.marks.has(Marks::SERVER_GONE) {
            if part > 0 {
                self.reset_peer(index);
            }
        } else if has_come {
            line.marks.set(Marks::EDGE);
        }
        if part < under_way {
            self.activate(index);
        }

        // To the peer.
        let under_way = self.line(index).outward.under_way();
        let part = self.part_of(under_way, self.faults.short_read);
        let line = self.line(index);
        let has_come = line.outward.arrive(part);
        if part > 0 && line.marks.has(Marks::PEER_GONE) {
            // There is no reader.
            self.reset_by_peer(index);
        } else if has_come {
            self.hear(index);
        }
        if part < under_way {
            self.activate(index);
        }
        let line = self.line(index);
        if line.marks.has(Marks::WANTS_ROOM) && line.outward.room(window) > 0 {
            line.marks.clear(Marks::WANTS_ROOM);
            line.marks.set(Marks::EDGE);
        }
        if line.can_send(window) {
            self.activate(index);
        }
    }

    /// The server's end will get a readiness event.
    fn tell_edge(&mut self, index: u32) {
        self.line(index).marks.set(Marks::EDGE);
        self.activate(index);
    }

    pub(crate) fn activate(&mut self, index: u32) {
        let line = &mut self.lines[index as usize];
        if !line.marks.has(Marks::ACTIVE) {
            line.marks.set(Marks::ACTIVE);
            self.active.push_back(index);
        }
    }

    /// The peer's end sends a reset: what is under way is lost.
    pub(crate) fn reset_by_peer(&mut self, index: u32) {
        let line = self.line(index);
        if line.marks.has(Marks::RESET) {
            return;
        }
        line.inward.lose_under_way();
        line.outward.lose();
        line.error = Some(io::ErrorKind::ConnectionReset);
        line.marks.set(Marks::RESET);
        self.end_peer(index, CloseReason::Io(io::ErrorKind::ConnectionReset));
        self.tell_edge(index);
        self.note(index, "reset by the peer", b"");
    }

    /// The server's end sends a reset: what the peer has not read is lost.
    pub(super) fn reset_peer(&mut self, index: u32) {
        let line = self.line(index);
        line.inward.lose();
        line.outward.lose();
        line.marks.set(Marks::RESET);
        self.end_peer(index, CloseReason::Io(io::ErrorKind::ConnectionReset));
        self.note(index, "reset by the server", b"");
    }

    /// Whether something happens without time passing.
    pub(crate) fn is_busy(&self) -> bool {
        !self.active.is_empty() || (0..self.watchers.len()).any(|number| self.is_loop_busy(number as u8))
    }

    fn is_other_busy(&self, number: u8) -> bool {
        (0..self.watchers.len() as u8).any(|other| other != number && self.is_loop_busy(other))
    }

    /// Whether a loop has events to take.
    pub(crate) fn is_loop_busy(&self, number: u8) -> bool {
        let watcher = &self.watchers[usize::from(number)];
        (number == 0 && self.listener_edge) || !watcher.to_tell.is_empty() || !watcher.ready.is_empty()
    }
}

// ---- how lines begin, and how they are recorded --------------------------------------------

impl Network {
    pub(crate) fn insert(&mut self, line: Line) -> u32 {
        assert!(self.lines.len() < MAX_LINES, "at most 16,777,216 connections in one simulation");
        let index = self.lines.insert(Box::new(line)) as u32;
        self.activate(index);
        index
    }

    /// Connects a peer to the server.
    pub(crate) fn dial(&mut self, opening: Option<&Opening>, ip: Option<IpAddr>) -> u32 {
        self.connected_so_far += 1;
        let [_, a, b, c] = self.connected_so_far.to_be_bytes();
        let address = match ip {
            Some(ip) => SocketAddr::new(ip, 50_000 + (self.connected_so_far % 15_000) as u16),
            None => SocketAddr::new(Ipv4Addr::new(10, a, b, c).into(), 50_000),
        };
        let mut line = Line::new(Role::Client, self.tick(), address);
        match opening {
            Some(opening) => line.connect(&mut self.shared, self.epoch.tick(self.now), opening),
            None => line.marks.set(Marks::RAW),
        }
        let index = self.insert(line);
        self.note(index, "dials", b"");
        if self.is_listening {
            self.backlog.push_back(index);
            self.listener_edge = true;
        } else {
            self.end_peer(index, CloseReason::Io(io::ErrorKind::ConnectionRefused));
            self.line(index).marks.set(Marks::SERVER_GONE);
        }
        index
    }

    /// Lets the server connect there from now on.
    pub(crate) fn add_host(&mut self, name: &str, port: u16, make: Option<MakeLayer>) {
        let known = self.names.len();
        let ip = name.parse().unwrap_or_else(|_| *self.names.entry(name.to_owned()).or_insert_with(|| numbered(known)));
        self.hosts.insert(SocketAddr::new(ip, port), make);
    }

    /// The server no longer listens. Waiting connections are refused.
    pub(crate) fn stop_listening(&mut self) {
        #[cfg(all(unix, feature = "handover"))]
        if self.hands_over {
            return;
        }
        self.is_listening = false;
        for index in std::mem::take(&mut self.backlog) {
            self.close(index);
        }
    }

    pub(crate) fn tick(&self) -> crate::protocol::time::Tick {
        self.epoch.tick(self.now)
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint.finish()
    }

    /// Returns roughly how many bytes of memory the network and the peers take.
    pub(crate) fn memory(&self) -> usize {
        let lines: usize = self.lines.iter().map(|(_, line)| line.memory()).sum();
        let to_tell: usize = self.watchers.iter().map(|watcher| watcher.to_tell.capacity()).sum();
        let ready: usize = self.watchers.iter().map(|watcher| watcher.ready.capacity()).sum();
        let queues =
            (self.active.capacity() + to_tell + self.backlog.capacity() + self.dialled.capacity()) * size_of::<u32>();
        let tables = self.lines.capacity() * (size_of::<usize>() * 2) + ready * size_of::<Ready>();
        lines + queues + tables + self.shared.memory()
    }

    pub(crate) fn record_story(&mut self) {
        self.story.get_or_insert_default();
    }

    pub(crate) fn take_story(&mut self) -> Vec<String> {
        self.story.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes that something has happened on a line. What a layer has put on the wire may be random:
    /// what counts is what was meant.
    pub(crate) fn note(&mut self, index: u32, what: &str, bytes: &[u8]) {
        self.fingerprint.write_u128(self.now.elapsed().as_nanos() << 32 | u128::from(index));
        self.fingerprint.write(what.as_bytes());
        match self.lines.get(index as usize).and_then(|line| line.wrapped.as_ref()) {
            None => self.fingerprint.write(bytes),
            Some(wrapped) => {
                self.fingerprint.write_usize(bytes.len());
                self.fingerprint.write_u64(wrapped.fingerprint());
            }
        }
        if self.story.is_some() {
            let shown = bytes[..bytes.len().min(48)].escape_ascii();
            let size = if bytes.is_empty() { String::new() } else { format!(" {} bytes: {shown}", bytes.len()) };
            self.remark(&format!("#{index} {what}{size}"));
        }
    }

    /// Adds a line to the story, if it is recorded.
    pub(crate) fn remark(&mut self, what: &str) {
        let elapsed = self.now.elapsed().as_secs_f64() * 1e3;
        if let Some(story) = &mut self.story {
            story.push(format!("{elapsed:>12.3} ms  {what}"));
        }
    }
}

/// Returns an address for a host name, from the range that is reserved for documentation.
fn numbered(count: usize) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, count as u8).into()
}
