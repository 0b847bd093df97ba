//! A server with several loops on threads of its own.

use crate::common::WAIT;
use lariat::{ClientData, Clients, Config, Drain, Handler, ListenOptions, LocalAddr, Outcome, Remote, Server};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

pub struct Running<D: ClientData = ()> {
    pub addr: SocketAddr,
    pub remote: Remote<D>,
    thread: JoinHandle<Outcome>,
}

pub fn serve<H>(count: usize, make: impl Fn() -> H + Send + Sync + 'static) -> Running<H::Data>
where
    H: Handler,
    H::Data: ClientData + 'static,
{
    serve_with(Config::default(), ListenOptions::default(), count, make)
}

pub fn serve_with<H>(
    config: Config,
    options: ListenOptions,
    count: usize,
    make: impl Fn() -> H + Send + Sync + 'static,
) -> Running<H::Data>
where
    H: Handler,
    H::Data: ClientData + 'static,
{
    let server = Server::new(config).expect("a valid configuration").options(options);
    let server = server.listen("127.0.0.1:0").expect("a free port");
    // A remote from before works as well as one from after.
    let remote = server.remote();
    let server = server.loops(count).expect("loops");
    let Some(LocalAddr::Tcp(addr)) = server.local_addrs().into_iter().next() else { panic!("not TCP") };
    let thread = std::thread::spawn(move || server.run(make).expect("a poller that works"));
    Running { addr, remote, thread }
}

impl<D: ClientData + 'static> Running<D> {
    /// Asks one loop.
    pub fn ask<T: Send + 'static>(&self, number: usize, ask: impl FnOnce(&mut Clients<D>) -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        let call = move |clients: &mut Clients<D>| drop(sender.send(ask(clients)));
        self.remote.on_loop(number).run(call).expect("it runs");
        receiver.recv_timeout(WAIT).expect("an answer")
    }

    /// Asks all loops.
    pub fn ask_all<T: Send + 'static>(&self, ask: impl Fn(&mut Clients<D>) -> T + Send + Sync + 'static) -> Vec<T> {
        let (sender, receiver) = mpsc::channel();
        let call = move |clients: &mut Clients<D>| {
            clients.ask_loops(ask, move |_, answers| drop(sender.send(answers)));
        };
        self.remote.run(call).expect("it runs");
        receiver.recv_timeout(WAIT).expect("answers")
    }

    /// Returns the number of open clients of each loop.
    pub fn open(&self) -> Vec<usize> {
        self.ask_all(|clients| clients.len())
    }

    /// Waits until all loops together have so many connections.
    pub fn wait_for_connections(&self, count: usize) {
        self.ask_until(0, move |clients| clients.connections_of_all_loops() == count);
    }

    /// Asks a loop again and again, once in each of its turns, until the answer is yes.
    pub fn ask_until(&self, number: usize, is_so: impl Fn(&mut Clients<D>) -> bool + Clone + Send + 'static) {
        let start = Instant::now();
        while !self.ask(number, is_so.clone()) {
            assert!(start.elapsed() < WAIT, "it does not come");
        }
    }

    pub fn stop(self, drain: Drain) -> Outcome {
        self.remote.shutdown(drain).expect("it runs");
        self.join()
    }

    pub fn join(self) -> Outcome {
        self.thread.join().expect("no panic")
    }
}
