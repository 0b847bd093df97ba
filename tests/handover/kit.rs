//! Servers that take over from one another, in one process.

use crate::common::{WAIT, until};
use lariat::{
    ClientId, Clients, Closures, Config, Drain, Handler, LocalAddr, Outcome, Remote, RemoteError, Server, Stats,
};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// A folder for sockets, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lariat-handover-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a new folder");
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

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
    let server = Server::new(config).and_then(|server| server.take_over(path)).expect("it can be taken over");
    run(server.listen("127.0.0.1:0").expect("a port"), make)
}

/// Tries to take over, and returns why that fails.
#[track_caller]
pub fn fails<H: Handler>(config: Config, path: &Path, make: impl FnOnce() -> H) -> io::Error {
    let server = Server::new(config).expect("a poller").take_over(path);
    let started = server.and_then(|server| server.listen("127.0.0.1:0")).and_then(|server| server.start(make()));
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
