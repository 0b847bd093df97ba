//! What a simulated server and its loop hold of a network: handles, as small as descriptors.
//!
//! The networks of a thread are in a table of that thread, as the sockets of a process are in its
//! table of descriptors. So a simulated socket is a number, as small as a real one.

use super::line::Watched;
use super::network::{Network, SERVER};
use crate::protocol::time::Moment;
use crate::server::config::Config;
use crate::server::net::{Ready, Socket};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

thread_local! {
    static TABLE: RefCell<Table> = const { RefCell::new(Table { networks: Vec::new(), count: 0 }) };
}

struct Table {
    networks: Vec<Option<Box<Network>>>,
    /// How many there have been.
    count: u64,
}

/// A simulation's network, by its place in the table of its thread, as one loop of the server sees
/// it.
#[derive(Clone, Copy)]
pub(crate) struct NetworkRef {
    pub(super) place: u8,
    /// The number of the loop.
    number: u8,
    pub(super) serial: u64,
}

/// A value of this type stays in its thread, because another thread has another table.
pub(crate) type Stays = PhantomData<Rc<()>>;

/// The server's end of a line: eight bits say in which network, twenty-four where.
#[derive(Debug)]
pub(crate) struct Wire(u32);

/// Lines in one network, at most.
pub(super) const MAX_LINES: usize = 1 << 24;

// ---- the table ---------------------------------------------------------------------------------

impl NetworkRef {
    pub(crate) fn new(seed: u64, config: &Config) -> NetworkRef {
        TABLE.with_borrow_mut(|table| {
            let place = table.networks.iter().position(Option::is_none).unwrap_or(table.networks.len());
            assert!(place < 256, "at most 256 simulations in one thread at a time");
            if place == table.networks.len() {
                table.networks.push(None);
            }
            table.count += 1;
            let network = NetworkRef { place: place as u8, number: 0, serial: table.count };
            table.networks[place] = Some(Box::new(Network::new(network, seed, config)));
            network
        })
    }

    /// Returns the network as another loop of the server sees it.
    pub(crate) const fn on_loop(self, number: u8) -> NetworkRef {
        NetworkRef { number, ..self }
    }

    /// `None` after the simulation.
    pub(crate) fn find<T>(self, call: impl FnOnce(&mut Network) -> T) -> Option<T> {
        find(self.place, |network| (network.serial == self.serial).then(|| call(network))).flatten()
    }

    /// Calls something on the network of a simulation that is not over.
    pub(crate) fn with<T>(self, call: impl FnOnce(&mut Network) -> T) -> T {
        self.find(call).expect("the simulation is not over, and in this thread")
    }

    pub(crate) fn end(self) {
        let network = TABLE.try_with(|table| table.borrow_mut().networks[usize::from(self.place)].take());
        drop(network);
    }

    // ---- what a loop asks of a poller ----------------------------------------------------------

    pub(crate) fn now(self) -> Moment {
        self.with(|network| network.now)
    }

    /// Returns whether time has passed since the last wait although the loop did not wait.
    pub(crate) fn wait(self, timeout: Option<Duration>, tell: impl FnMut(Ready)) -> bool {
        let mut ready = self.with(|network| {
            network.wait(self.number, timeout);
            std::mem::take(&mut network.watcher(self.number).ready)
        });
        ready.iter().copied().for_each(tell);
        ready.clear();
        self.with(|network| {
            let watcher = network.watcher(self.number);
            watcher.ready = ready;
            std::mem::take(&mut watcher.was_interrupted)
        })
    }

    pub(crate) fn was_interrupted(self) -> bool {
        self.with(|network| std::mem::take(&mut network.watcher(self.number).was_interrupted))
    }

    /// Lets time pass while the loop does not wait.
    pub(crate) fn pass_time(self, by: Duration) {
        self.with(|network| network.pass_time(by));
    }

    pub(crate) fn watch(self, socket: &Socket, client: usize) {
        if let Socket::Simulated(wire) = socket {
            let watched = Watched { by: self.number, client: client as u32 };
            self.with(|network| network.watch(wire.line(), watched));
        }
    }

    pub(crate) fn unwatch(self, socket: &Socket) {
        if let Socket::Simulated(wire) = socket {
            self.with(|network| network.unwatch(wire.line()));
        }
    }

    pub(crate) fn connect(self, address: SocketAddr) -> io::Result<Socket> {
        self.with(|network| network.connect(address))
    }
}

/// The server's listening socket.
#[derive(Debug)]
pub(crate) struct Backlog(pub(crate) NetworkRef);

impl Backlog {
    pub(crate) fn accept(&self) -> io::Result<Socket> {
        self.0.with(Network::accept)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        SERVER
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.0.find(Network::stop_listening);
    }
}

impl fmt::Debug for NetworkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({})", self.serial)
    }
}

fn find<T>(place: u8, call: impl FnOnce(&mut Network) -> T) -> Option<T> {
    let in_table =
        |table: &RefCell<Table>| table.borrow_mut().networks.get_mut(usize::from(place))?.as_deref_mut().map(call);
    TABLE.try_with(in_table).ok().flatten()
}

// ---- what a server does to a socket ------------------------------------------------------------

impl Wire {
    pub(super) fn new(place: u8, line: u32) -> Wire {
        Wire(u32::from(place) << 24 | line)
    }

    const fn line(&self) -> u32 {
        self.0 & (MAX_LINES as u32 - 1)
    }

    fn with<T>(&self, call: impl FnOnce(&mut Network, u32) -> T) -> io::Result<T> {
        find((self.0 >> 24) as u8, |network| call(network, self.line()))
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The same socket once more, for the server that takes over.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) const fn again(&self) -> Wire {
        Wire(self.0)
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|network, line| network.read(line, buffer))?
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|network, line| network.write(line, bytes))?
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.with(|network, line| network.shutdown_write(line))
    }

    pub(crate) fn reset(&self) {
        // The simulation may be over.
        let _ = self.with(|network, line| network.reset_peer(line));
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.with(|network, line| network.line(line).address).ok()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The simulation may be over.
        let _ = self.with(|network, line| network.close(line));
    }
}
