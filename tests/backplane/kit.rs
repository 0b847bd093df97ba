//! Servers that share topics, and what happens to their connections.

use crate::common::WAIT;
use lariat::backplane::{Backplane, BackplaneEvents, BackplaneLink, MemoryBackplane, MemoryEngine, NodeId};
use lariat::{Clients, Config, Drain, Handler, LocalAddr, Outcome, Remote, Server};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Tells its number when it is started.
struct Named(MemoryBackplane, Sender<NodeId>);

impl Backplane for Named {
    fn start(self: Box<Self>, node: NodeId, events: BackplaneEvents) -> io::Result<Box<dyn BackplaneLink>> {
        self.1.send(node).expect("the test waits");
        Box::new(self.0).start(node, events)
    }
}

pub struct Running {
    pub addr: SocketAddr,
    pub remote: Remote<()>,
    pub node: NodeId,
    thread: JoinHandle<Outcome>,
}

/// Runs a server with so many loops.
pub fn serve<H>(engine: &MemoryEngine, loops: usize, make: impl Fn() -> H + Send + Sync + 'static) -> Running
where
    H: Handler<Data = ()>,
{
    serve_with(Config::default(), engine, loops, make)
}

pub fn serve_with<H>(
    config: Config,
    engine: &MemoryEngine,
    loops: usize,
    make: impl Fn() -> H + Send + Sync + 'static,
) -> Running
where
    H: Handler<Data = ()>,
{
    let (sender, started) = channel();
    let server = Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
    let Some(LocalAddr::Tcp(addr)) = server.local_addrs().into_iter().next() else { panic!("not TCP") };
    let remote = server.remote();
    let server = server.loops(loops).and_then(|server| server.backplane(Named(engine.backplane(), sender)));
    let server = server.expect("it starts");
    let thread = std::thread::spawn(move || match loops {
        1 => server.start(make()).and_then(|mut event_loop| event_loop.run()).expect("a poller that works"),
        _ => server.run(make).expect("a poller that works"),
    });
    let node = started.recv_timeout(WAIT).expect("it starts");
    Running { addr, remote, node, thread }
}

impl Running {
    /// Asks one loop.
    pub fn ask<T: Send + 'static>(&self, number: usize, ask: impl FnOnce(&mut Clients<()>) -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        let call = move |clients: &mut Clients<()>| drop(sender.send(ask(clients)));
        self.remote.on_loop(number).run(call).expect("it runs");
        receiver.recv_timeout(WAIT).expect("an answer")
    }

    /// Asks a loop again and again until the answer is yes.
    pub fn ask_until(&self, number: usize, is_so: impl Fn(&mut Clients<()>) -> bool + Clone + Send + 'static) {
        let start = Instant::now();
        while !self.ask(number, is_so.clone()) {
            assert!(start.elapsed() < WAIT, "it does not come");
        }
    }

    pub fn stop(self) {
        self.remote.shutdown(Drain::default()).expect("it runs");
        self.thread.join().expect("no panic");
    }
}
