//! Servers that take over from one another, in one process.

use crate::common::{WAIT, until};
use lariat::{
    ClientData, ClientId, Clients, Closures, Config, Drain, Handler, LocalAddr, Outcome, Remote, RemoteError, Server,
    Stats,
};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

pub struct Running<H: Handler> {
    pub addr: SocketAddr,
    pub remote: Remote<H::Data>,
    ended: Receiver<thread::Result<io::Result<Outcome>>>,
}

/// Starts a server that can be taken over at a path, or takes over there.
pub fn serve<H: Handler>(path: &Path, make: impl FnOnce() -> H + Send + 'static) -> Running<H> {
    serve_with(Config::default(), path, make)
}

pub fn serve_with<H: Handler>(config: Config, path: &Path, make: impl FnOnce() -> H + Send + 'static) -> Running<H> {
    run(taking_over(config, path).listen("127.0.0.1:0").expect("a port"), make)
}

/// Returns a server that can be taken over at a path, or takes over there. It does not listen yet.
#[track_caller]
pub fn taking_over<D: ClientData>(config: Config, path: &Path) -> Server<D> {
    try_taking_over(config, path).expect("it can be taken over")
}

/// [`taking_over`], if that is possible.
pub fn try_taking_over<D: ClientData>(config: Config, path: &Path) -> io::Result<Server<D>> {
    Server::new(config).expect("a poller").take_over(path)
}

/// Tries to take over, and returns why that fails.
#[track_caller]
pub fn fails<H: Handler>(config: Config, path: &Path, make: impl FnOnce() -> H) -> io::Error {
    let server = try_taking_over(config, path).and_then(|server| server.listen("127.0.0.1:0"));
    let started = server.and_then(|server| server.start(make()));
    match started {
        Ok(_) => panic!("it has taken over"),
        Err(error) => error,
    }
}

/// Returns the only client.
pub fn only(clients: &Clients<()>) -> ClientId {
    clients.iter().next().expect("a client")
}

/// The config of a server whose clients may be far behind.
pub fn roomy() -> Config {
    let mut config = Config::default();
    config.limits.max_unsent = 64 << 20;
    config.memory_budget = 1 << 30;
    config
}

/// Sends every message back.
pub fn echo() -> Closures<()> {
    nothing_saved(Closures::new().on_message(|clients, id, message| {
        let _ = clients.send(id, message);
    }))
}

/// These closures keep nothing.
pub fn nothing_saved(closures: Closures<()>) -> Closures<()> {
    closures.saved_as(|_| Some(Vec::new()), |_, _| Ok(()))
}

pub fn run<H: Handler>(server: Server<H::Data>, make: impl FnOnce() -> H + Send + 'static) -> Running<H> {
    let Some(LocalAddr::Tcp(addr)) = server.local_addrs().into_iter().next() else { panic!("not TCP") };
    let remote = server.remote();
    let thread = server.spawn(make).expect("a thread");
    let (end, ended) = mpsc::channel();
    thread::spawn(move || end.send(thread.join()));
    Running { addr, remote, ended }
}

impl<H: Handler> Running<H> {
    pub fn ask<T: Send + 'static>(&self, call: impl FnOnce(&mut Clients<H::Data>) -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let mut call = Some(move |clients: &mut Clients<H::Data>| drop(answer.send(call(clients))));
        // It is frozen for moments.
        until(|| match self.remote.run(call.take().expect("it comes back")) {
            Ok(()) => true,
            Err(refused) => {
                assert_eq!(refused.error, RemoteError::Full);
                call = Some(refused.call);
                false
            }
        });
        answered.recv_timeout(WAIT).expect("an answer")
    }

    pub fn stats(&self) -> Stats {
        self.ask(|clients| clients.stats())
    }

    /// Another server takes over, with this config and this handler.
    pub fn replace<N: Handler<Data = H::Data>>(
        self,
        config: Config,
        path: &Path,
        make: impl FnOnce() -> N + Send + 'static,
    ) -> Running<N> {
        let next = serve_with(config, path, make);
        self.handed_over();
        next
    }

    /// Waits until the server has stopped.
    pub fn outcome(self) -> io::Result<Outcome> {
        self.ended.recv_timeout(WAIT).expect("it stops").expect("no panic")
    }

    /// Waits until another server has taken over, and returns how many connections that has.
    pub fn handed_over(self) -> usize {
        let outcome = self.outcome().expect("a poller that works");
        assert!(!outcome.interrupted);
        assert!(outcome.replaced || outcome.handed_over == 0);
        outcome.handed_over
    }
}

impl<H: Handler> Drop for Running<H> {
    fn drop(&mut self) {
        // It may be frozen.
        while self.remote.shutdown(Drain::default().deadline(Duration::ZERO)) == Err(RemoteError::Full) {
            thread::yield_now();
        }
        // The outcome may have been taken.
        let _ = self.ended.recv_timeout(WAIT);
    }
}
