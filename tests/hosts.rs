//! Tests hosts with an edge-triggered loop that drives the server's loop: epoll(7), mio and tokio.
//!
//! An edge comes once. A host that has seen it calls `turn`, and then waits for the next edge or
//! for `timeout`. So the server must remember what it has not read from the kernel by then.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use common::{Wire, close, descriptors, request, text};
use lariat::{ClientId, Clients, Config, Drain, EventLoop, Handler, LocalAddr, Message, Remote, Server, TimerId};
use mio::unix::SourceFd;
use rustix::event::epoll;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

/// The longest time that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time that a host waits for an edge before it asks whether the test is over. It does not turn
/// then.
const GLANCE: Duration = Duration::from_millis(20);

// ---- hosts -------------------------------------------------------------------------------------

/// A loop that watches one descriptor, edge-triggered.
trait Host {
    fn watch(fd: BorrowedFd<'_>) -> Self;

    /// Waits for an edge or for `timeout`, and then calls `turn`. Returns without a call after a
    /// [`GLANCE`].
    fn wait(&mut self, timeout: Option<Duration>, turn: &mut dyn FnMut());
}

fn at_most_a_glance(timeout: Option<Duration>) -> Duration {
    timeout.unwrap_or(GLANCE).min(GLANCE)
}

fn has_passed(timeout: Option<Duration>, since: Instant) -> bool {
    timeout.is_some_and(|timeout| since.elapsed() >= timeout)
}

struct Epoll(OwnedFd);

impl Host for Epoll {
    fn watch(fd: BorrowedFd<'_>) -> Epoll {
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, fd, epoll::EventData::new_u64(0), flags).expect("it can be watched");
        Epoll(poller)
    }

    fn wait(&mut self, timeout: Option<Duration>, turn: &mut dyn FnMut()) {
        let since = Instant::now();
        let wait = at_most_a_glance(timeout).try_into().expect("a short time");
        let mut events = Vec::with_capacity(4);
        let spare = rustix::buffer::spare_capacity(&mut events);
        let count = epoll::wait(&self.0, spare, Some(&wait)).expect("epoll works");
        if count > 0 || has_passed(timeout, since) {
            turn();
        }
    }
}

struct Mio(mio::Poll, mio::Events);

impl Host for Mio {
    fn watch(fd: BorrowedFd<'_>) -> Mio {
        let poll = mio::Poll::new().expect("a poller");
        let raw = fd.as_raw_fd();
        let mut source = SourceFd(&raw);
        poll.registry().register(&mut source, mio::Token(0), mio::Interest::READABLE).expect("it can be watched");
        Mio(poll, mio::Events::with_capacity(4))
    }

    fn wait(&mut self, timeout: Option<Duration>, turn: &mut dyn FnMut()) {
        let since = Instant::now();
        self.0.poll(&mut self.1, Some(at_most_a_glance(timeout))).expect("the poller works");
        if !self.1.is_empty() || has_passed(timeout, since) {
            turn();
        }
    }
}

struct Tokio(Runtime, AsyncFd<RawFd>);

impl Host for Tokio {
    fn watch(fd: BorrowedFd<'_>) -> Tokio {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        #[allow(deprecated, reason = "what replaces it is unsafe")]
        let fd = AsyncFd::with_interest(fd.as_raw_fd(), Interest::READABLE).expect("it can be watched");
        drop(entered);
        Tokio(runtime, fd)
    }

    fn wait(&mut self, timeout: Option<Duration>, turn: &mut dyn FnMut()) {
        let since = Instant::now();
        self.0.block_on(async {
            match tokio::time::timeout(at_most_a_glance(timeout), self.1.readable()).await {
                Ok(guard) => {
                    turn();
                    guard.expect("the runtime works").clear_ready();
                }
                Err(_) if has_passed(timeout, since) => turn(),
                Err(_) => {}
            }
        });
    }
}

// ---- a server in a host ------------------------------------------------------------------------

/// Echoes messages. It answers `large` with more than a socket accepts, and `timer` when a timer
/// has fired.
#[derive(Default)]
struct App {
    waiting: Vec<ClientId>,
}

/// More than two sockets accept.
const LARGE: usize = 12 << 20;

impl Handler for App {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text() {
            Some("large") => clients.send(id, &vec![7; LARGE]).expect("it fits"),
            Some("timer") => {
                self.waiting.push(id);
                clients.set_timer(Duration::from_millis(self.waiting.len() as u64 % 7), 0);
            }
            _ => clients.send(id, message).expect("it fits"),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        let id = self.waiting.pop().expect("each timer has a client");
        clients.send(id, "it is time").expect("it is open");
    }
}

struct Hosted<H> {
    host: H,
    event_loop: EventLoop<App>,
    addr: SocketAddr,
}

impl<H: Host> Hosted<H> {
    fn new(config: Config) -> Hosted<H> {
        let server = Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
        let event_loop = server.start(App::default()).expect("a loop");
        Hosted { host: H::watch(event_loop.as_fd()), event_loop, addr }
    }

    /// Turns as a host does until `done`.
    #[track_caller]
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut EventLoop<App>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&mut self.event_loop) {
            assert!(Instant::now() < deadline, "{what}: it did not happen in time");
            let (host, event_loop) = (&mut self.host, &mut self.event_loop);
            let timeout = event_loop.timeout();
            host.wait(timeout, &mut || event_loop.turn(Some(Duration::ZERO)).expect("the poller works"));
        }
    }

    /// Turns while another thread runs `call`, and returns its result.
    #[track_caller]
    fn run_beside<T: Send + 'static>(&mut self, what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
        let thread: JoinHandle<T> = std::thread::spawn(call);
        self.run_until(what, |_| thread.is_finished());
        thread.join().expect("the other thread has ended without a panic")
    }

    /// Connects this many clients and waits until they are open.
    #[track_caller]
    fn connect(&mut self, count: usize) -> Vec<Wire> {
        let addr = self.addr;
        // All clients have connected and sent their requests before the host looks.
        let mut wires: Vec<Wire> = (0..count).map(|_| Wire::connect(addr)).collect();
        for wire in &mut wires {
            wire.stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
            wire.send(request("/").as_bytes());
        }
        self.run_beside("handshakes", move || {
            for wire in &mut wires {
                assert_eq!(wire.response().status(), 101);
            }
            wires
        })
    }
}

/// Checks everything that can become ready for many clients at once, while the host does not look.
#[track_caller]
fn check_that_no_client_is_forgotten<H: Host>(count: usize, set: impl FnOnce(&mut Config)) {
    let mut config = Config::default();
    set(&mut config);
    (config.limits.max_unsent, config.memory_budget) = (2 * LARGE, 1 << 30);
    let mut hosted = Hosted::<H>::new(config);
    let mut wires = hosted.connect(count);
    for round in 0..3 {
        // All clients send at once.
        wires.iter_mut().for_each(|wire| wire.send(&text("hello")));
        wires = hosted.run_beside(&format!("echo {round}"), move || {
            wires.iter_mut().for_each(|wire| wire.expect_text("hello"));
            wires
        });
    }
    // Timers.
    wires.iter_mut().for_each(|wire| wire.send(&text("timer")));
    wires = hosted.run_beside("timers", move || {
        wires.iter_mut().for_each(|wire| wire.expect_text("it is time"));
        wires
    });
    // Calls of another thread come among many other events.
    wires.iter_mut().for_each(|wire| wire.send(&text("hello")));
    let remote: Remote<()> = hosted.event_loop.remote();
    remote.run(|clients| assert!(clients.broadcast("from afar") > 0)).expect("the queue has room");
    wires = hosted.run_beside("a remote's call", move || {
        for wire in &mut wires {
            let mut both = [wire.frame().payload, wire.frame().payload];
            both.sort();
            assert_eq!(both, [b"from afar".to_vec(), b"hello".to_vec()]);
        }
        wires
    });
    // Some clients have room for unsent bytes again, all at once.
    let slow = count.min(8);
    wires[..slow].iter_mut().for_each(|wire| wire.send(&text("large")));
    hosted.run_until("the clients are blocked", |event_loop| {
        let clients = event_loop.clients_mut();
        let ids: Vec<ClientId> = clients.iter().collect();
        ids.iter().filter(|id| clients.buffered_amount(**id) > 0).count() == slow
    });
    let mut slow_wires: Vec<Wire> = wires.drain(..slow).collect();
    slow_wires = hosted.run_beside("what was blocked", move || {
        slow_wires.iter_mut().for_each(|wire| assert_eq!(wire.frame().payload.len(), LARGE));
        slow_wires
    });
    wires.append(&mut slow_wires);
    // A third closes, a third disconnects and a third resets, all at once.
    for (index, mut wire) in wires.into_iter().enumerate() {
        match index % 3 {
            0 => wire.send(&close(1000, "")),
            1 => drop(wire),
            _ => wire.reset(),
        }
    }
    hosted.run_until("they leave", |event_loop| event_loop.clients_mut().stats().connections.open == 0);
    // The server stops.
    let wires = hosted.connect(count.min(20));
    hosted.event_loop.clients_mut().shutdown(Drain::default());
    wires.into_iter().for_each(|mut wire| wire.send(&close(1001, "")));
    hosted.run_until("it stops", |event_loop| event_loop.outcome().is_some());
}

fn many() -> usize {
    // Two descriptors for each client, and some for everything else.
    3_000.min(descriptors().saturating_sub(200) / 2)
}

#[test]
fn epoll_serves_all_clients_with_the_default_configuration() {
    check_that_no_client_is_forgotten::<Epoll>(many(), |_| ());
}

#[test]
fn mio_serves_all_clients_with_the_default_configuration() {
    check_that_no_client_is_forgotten::<Mio>(many(), |_| ());
}

#[test]
fn tokio_serves_all_clients_with_the_default_configuration() {
    check_that_no_client_is_forgotten::<Tokio>(many(), |_| ());
}

/// The fewest events and new connections at a time.
fn narrow<H: Host>() {
    for events in [1, 2, 3, 7, 50, 100, 101] {
        check_that_no_client_is_forgotten::<H>(100, |config| config.events_per_turn = events);
        check_that_no_client_is_forgotten::<H>(100, |config| {
            (config.events_per_turn, config.accepts_per_turn) = (events, 1)
        });
    }
}

#[test]
fn epoll_serves_all_clients_with_few_events_per_turn() {
    narrow::<Epoll>();
}

#[test]
fn mio_serves_all_clients_with_few_events_per_turn() {
    narrow::<Mio>();
}

#[test]
fn tokio_serves_all_clients_with_few_events_per_turn() {
    narrow::<Tokio>();
}

/// A host must not be woken without work.
#[test]
fn an_idle_server_does_not_keep_its_host_awake() {
    for events in [1, 1_024] {
        let mut config = Config::default();
        config.events_per_turn = events;
        let mut hosted = Hosted::<Epoll>::new(config);
        let wires = hosted.connect(10);
        let (mut glances, mut busy) = (0, 0);
        hosted.run_until("it is idle", |event_loop| {
            busy += usize::from(event_loop.timeout() == Some(Duration::ZERO));
            glances += 1;
            glances > 30
        });
        assert!(busy < 20, "the server had work {busy} times of {glances}");
        assert!(hosted.event_loop.timeout().is_some_and(|timeout| timeout > Duration::from_secs(10)));
        drop(wires);
    }
}
