//! A host with its own event loop drives the server's loop.
#![cfg(unix)]

use crate::common::{Call, Folder, Script, WAIT, Wire, echo_script, request, script, text};
use lariat::{Closures, Config, Drain, EventLoop, Handler, LocalAddr, Remote, Router, Server};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A host whose own poller watches the server's descriptor.
struct Host {
    poll: Poll,
    event_loop: EventLoop<Script>,
    addr: SocketAddr,
}

impl Host {
    fn new(script: Script) -> Host {
        let server =
            Server::new(Config::default()).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
        let event_loop = server.start(script).expect("a loop");
        let poll = Poll::new().expect("a poller");
        let fd = event_loop.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).expect("it can be polled");
        Host { poll, event_loop, addr }
    }

    /// Waits as another event loop does, at most `longest`. Returns `false` if there was nothing to
    /// do.
    fn turn(&mut self, longest: Duration) -> bool {
        let timeout = self.event_loop.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let (waits, mut events) = (timeout.map_or(longest, |timeout| timeout.min(longest)), Events::with_capacity(4));
        self.poll.poll(&mut events, Some(waits)).expect("the host's poller works");
        let is_due = self.event_loop.next_deadline().is_some_and(|at| at <= Instant::now());
        if events.is_empty() && !is_due {
            return false;
        }
        let before = Instant::now();
        self.event_loop.turn(Some(Duration::ZERO)).expect("the poller works");
        assert!(before.elapsed() < WAIT, "a turn with timeout zero has waited");
        true
    }

    /// Turns until there is no more work at the moment.
    fn settle(&mut self) {
        let deadline = Instant::now() + WAIT;
        while self.turn(Duration::ZERO) {
            assert!(Instant::now() < deadline, "the loop does not become idle");
        }
    }

    #[track_caller]
    fn turn_until(&mut self, mut done: impl FnMut(&mut Host) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !done(self) {
            assert!(Instant::now() < deadline, "it did not happen in time");
            self.turn(Duration::from_millis(10));
        }
    }
}

#[test]
fn another_event_loop_serves_by_descriptor_and_deadline() {
    let (script, calls) = echo_script();
    let mut host = Host::new(script);
    host.settle();
    assert_eq!(host.event_loop.next_deadline(), None, "nothing is armed");

    let mut wire = Wire::connect(host.addr);
    wire.send(request("/").as_bytes());
    host.turn_until(|host| !host.event_loop.clients_mut().is_empty());
    assert_eq!(wire.response().status(), 101);
    let id = calls.open();
    host.settle();
    let deadline = host.event_loop.next_deadline().expect("a ping will be due");
    assert!(deadline > Instant::now() && deadline <= Instant::now() + Duration::from_secs(51));

    wire.send(&text("hello"));
    host.turn_until(|_| calls.so_far().contains(&Call::Message(id, b"hello".to_vec())));
    wire.expect_text("hello");

    // Between two turns, the host sends a message. It is pending until the next turn.
    host.settle();
    host.event_loop.clients_mut().send(id, "from the host").expect("it is open");
    assert!(host.event_loop.next_deadline().is_some_and(|at| at <= Instant::now()));
    host.settle();
    wire.expect_text("from the host");

    let start = Instant::now();
    host.event_loop.clients_mut().set_timer(Duration::from_millis(30), 5);
    assert!(host.event_loop.next_deadline().is_some_and(|at| at <= start + Duration::from_millis(80)));
    host.turn_until(|_| calls.so_far().contains(&Call::Timer(5)));
    assert!(start.elapsed() >= Duration::from_millis(29));

    host.event_loop.remote().send(id, "from a remote").expect("the queue has room");
    assert!(host.event_loop.next_deadline().is_some_and(|at| at <= Instant::now()));
    host.settle();
    wire.expect_text("from a remote");

    host.event_loop.clients_mut().shutdown(Drain::default().deadline(Duration::from_millis(50)));
    host.turn_until(|host| host.event_loop.outcome().is_some());
    assert_eq!(host.event_loop.outcome().map(|outcome| outcome.dropped), Some(1));
    wire.expect_close(1001);
    // After the end, a turn does nothing.
    host.event_loop.turn(None).expect("nothing");
    assert_eq!(host.event_loop.local_addrs(), []);
}

#[test]
fn the_host_can_use_its_handler_and_clients() {
    struct Count(u32);
    impl Handler for Count {
        type Data = ();
    }
    let mut event_loop = Server::<()>::bind("127.0.0.1:0").and_then(|server| server.start(Count(1))).expect("a loop");
    event_loop.handler_mut().0 += 1;
    assert_eq!(event_loop.handler().0, 2);
}

#[test]
fn a_unix_socket_is_served_and_its_file_removed_at_the_end() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let server = Server::new(Config::default()).and_then(|server| server.listen_unix(&path)).expect("a free path");
    assert_eq!(server.local_addrs(), [LocalAddr::Unix(path.clone())]);
    let occupied = Server::<()>::new(Config::default()).and_then(|server| server.listen_unix(&path));
    assert!(occupied.is_err(), "the path is taken");
    let (script, calls) = echo_script();
    let server = crate::common::run(server, script);
    let mut wire = Wire::open_unix(&path, "/");
    let id = calls.open();
    assert_eq!(server.ask(move |clients| clients.peer_addr(id)), None);
    wire.echo("hello");
    // The peer disconnects before it has read. This must not cause SIGPIPE.
    drop(wire);
    server.ask(move |clients| clients.send(id, &[0; 1 << 20]).is_ok());
    calls.close();
    drop(server);
    assert!(!path.exists(), "the file is still there");
}

#[test]
fn a_server_that_cannot_listen_somewhere_listens_elsewhere_as_before() {
    let folder = Folder::new();
    let (path, free) = (folder.path("socket"), folder.path("free"));
    let occupied = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
    let mut server = Server::<()>::bind("127.0.0.1:0").expect("a free port");
    let addrs = server.local_addrs();
    for path in [&path, &folder.path("none/socket")] {
        let error = server.listen_unix_also(path).expect_err("it cannot be made");
        assert!(error.to_string().contains(path.to_str().expect("a text")), "{error}");
        assert_eq!(server.local_addrs(), addrs);
    }
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other_addr = other.local_addr().expect("an address");
    server.listen_unix_also(&free).expect("a free path");
    server.listen_on_also(other).expect("a listener");
    server.listen_on_unix_also(occupied).expect("a listener");
    let wanted =
        [addrs[0].clone(), LocalAddr::Unix(free.clone()), LocalAddr::Tcp(other_addr), LocalAddr::Unix(path.clone())];
    assert_eq!(server.local_addrs(), wanted);

    let (script, _calls) = echo_script();
    let server = crate::common::run(server, script);
    for addr in [server.addr, other_addr] {
        Wire::open(addr).echo("over TCP");
    }
    for path in [&free, &path] {
        Wire::open_unix(path, "/").echo("over a Unix socket");
    }
    drop(server);
    assert_eq!((free.exists(), path.exists()), (false, true), "only its own file is removed");
}

#[test]
fn a_file_that_the_server_did_not_create_is_not_removed() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let server =
        Server::<()>::new(Config::default()).and_then(|server| server.listen_unix(&path)).expect("a free path");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "foreign").expect("a file");
    drop(server);
    assert!(path.exists(), "a foreign file was removed");
}

#[test]
fn tcp_and_unix_are_served_together() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let server = Server::new(Config::default()).and_then(|server| server.listen("127.0.0.1:0"));
    let server = server.and_then(|server| server.listen_unix(&path)).expect("both");
    let (script, _calls) = script();
    let server = crate::common::run(
        server,
        script.on_message(|clients, _, message| {
            clients.broadcast(message);
        }),
    );
    let (mut tcp, mut unix) = (Wire::open(server.addr), Wire::open_unix(&path, "/"));
    tcp.send(&text("to both"));
    tcp.expect_text("to both");
    unix.expect_text("to both");
}

#[test]
fn a_server_moves_to_the_thread_that_runs_it() {
    const fn is_send<T: Send>() {}
    is_send::<Server<Rc<()>>>();
    is_send::<Remote<Rc<()>>>();

    let server = Server::<Rc<Cell<u32>>>::bind("127.0.0.1:0").expect("a free port");
    let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
    let remote = server.remote();
    let thread = server.spawn(|| {
        // Neither these closures nor the clients' data nor the router could be sent.
        let opened = Rc::new(Cell::new(0));
        let count = Rc::clone(&opened);
        let greeter = Closures::<Rc<Cell<u32>>>::new().on_open(move |clients, id| {
            opened.set(opened.get() + 1);
            clients.data(id).expect("it is open").set(opened.get());
        });
        let teller = Closures::new().on_message(move |clients, id, _| {
            let _ = clients.send(id, &count.get().to_string());
        });
        Router::new().route("/greet", greeter).route("/tell", teller)
    });
    let thread = thread.expect("a thread");
    assert_eq!(thread.thread().name(), Some("lariat"));
    let greeted = [Wire::open_at(addr, "/greet"), Wire::open_at(addr, "/greet")];
    let mut asking = Wire::open_at(addr, "/tell");
    asking.send(&text("how many?"));
    asking.expect_text("2");
    drop(greeted);
    remote.shutdown(Drain::default()).expect("it runs");
    asking.expect_close(1001);
    drop(asking);
    let outcome = thread.join().expect("no panic").expect("the poller works");
    assert_eq!((outcome.dropped, outcome.interrupted), (0, false));
}

#[test]
fn a_handler_that_cannot_be_made_ends_its_thread() {
    let server = Server::<()>::bind("127.0.0.1:0").expect("a free port");
    let thread = server.spawn(|| -> Closures<()> { panic!("a panic on purpose") }).expect("a thread");
    assert!(thread.join().is_err());
}
