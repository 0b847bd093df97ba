//! A server in a thread.

use super::WAIT;
use lariat::{ClientData, Clients, Config, Drain, EventLoop, Handler, LocalAddr, Outcome, Remote, Server};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A server in its own thread. It stops when this value is dropped.
pub struct Running<D: ClientData = ()> {
    pub addr: SocketAddr,
    pub remote: Remote<D>,
    thread: Option<JoinHandle<Outcome>>,
}

/// Starts a server on a free port of 127.0.0.1, with the default [`Config`].
pub fn serve<H>(handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    serve_with(Config::default(), handler)
}

/// Starts a server on a free port of 127.0.0.1.
pub fn serve_with<H>(config: Config, handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    run(Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port"), handler)
}

/// Starts a server on a free port of 127.0.0.1 with a handler that is created in the server's
/// thread. A router needs this, because it cannot be sent to another thread.
pub fn serve_made<H: Handler>(make: impl FnOnce() -> H + Send + 'static) -> Running<H::Data> {
    run_made(Server::bind("127.0.0.1:0").expect("a free port"), make)
}

/// Runs a server in a thread.
pub fn run<H>(server: Server<H::Data>, handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    run_made(server, move || handler)
}

fn run_made<H: Handler>(server: Server<H::Data>, make: impl FnOnce() -> H + Send + 'static) -> Running<H::Data> {
    let addr = server
        .local_addrs()
        .iter()
        .find_map(|addr| match addr {
            LocalAddr::Tcp(addr) => Some(*addr),
            _ => None,
        })
        .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let remote = server.remote();
    let thread = std::thread::spawn(move || {
        let mut event_loop = server.start(make()).expect("the listener can be watched");
        event_loop.run().expect("the poller works")
    });
    Running { addr, remote, thread: Some(thread) }
}

impl<D: ClientData> Running<D> {
    /// Runs `call` on the loop's thread and returns what it returns.
    pub fn ask<T: Send + 'static>(&self, call: impl FnOnce(&mut Clients<D>) -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let call = move |clients: &mut Clients<D>| answer.send(call(clients)).expect("the test waits");
        self.remote.run(call).expect("the server runs");
        answered.recv_timeout(WAIT).expect("the loop turns")
    }

    /// Waits until the server stops by itself.
    pub fn outcome(mut self) -> Outcome {
        self.thread.take().expect("not joined before").join().expect("the loop has not panicked")
    }

    /// Stops the server.
    pub fn stop(self, drain: Drain) -> Outcome {
        self.remote.shutdown(drain).expect("the server runs");
        self.outcome()
    }
}

impl<D: ClientData> Drop for Running<D> {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The server may have stopped already.
        let _ = self.remote.shutdown(Drain::default().deadline(Duration::ZERO));
        let outcome = thread.join();
        assert!(std::thread::panicking() || outcome.is_ok(), "the loop has panicked");
    }
}

/// Turns a loop until something has happened.
#[track_caller]
pub fn turn_until<H: Handler>(event_loop: &mut EventLoop<H>, mut done: impl FnMut(&mut EventLoop<H>) -> bool) {
    let deadline = Instant::now() + WAIT;
    while !done(event_loop) {
        assert!(Instant::now() < deadline, "it did not happen in time");
        event_loop.turn(Some(Duration::from_millis(10))).expect("the poller works");
    }
}
