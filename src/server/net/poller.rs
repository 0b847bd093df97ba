//! Readiness and the clock.
//!
//! They come from the kernel through mio, or in a simulation from a network in memory. The loop
//! sees neither; it gets [`Ready`] events.

use super::listener::Listener;
use super::socket::{Readiness, Socket};
use crate::protocol::time::Moment;
#[cfg(feature = "sim")]
use crate::server::net::memory::NetworkRef;
use mio::{Events, Poll, Registry, Token, Waker};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Tokens from here on are not clients.
const FIRST_OTHER: usize = FIRST_LISTENER - 3;
const FIRST_LISTENER: usize = usize::MAX / 2;
const WAKER: Token = Token(FIRST_LISTENER - 1);
#[cfg(all(unix, feature = "signals"))]
pub(crate) const SIGNALS: Token = Token(FIRST_LISTENER - 2);

#[cfg(all(unix, feature = "handover"))]
const HANDOVER: Token = Token(FIRST_LISTENER - 3);

/// Where a loop waits.
pub(crate) enum Poller {
    Kernel(Kernel),
    #[cfg(feature = "sim")]
    Simulated(NetworkRef),
}

/// The operating system's.
pub(crate) struct Kernel {
    poll: Poll,
    events: Events,
    /// When its clock began.
    start: Instant,
}

/// The clock of a poller, for those who need the time in the middle of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Kernel(Instant),
    #[cfg(feature = "sim")]
    Simulated(NetworkRef),
}

impl Clock {
    /// Reads the clock.
    #[inline]
    pub(crate) fn now(self) -> Moment {
        match self {
            Clock::Kernel(start) => Moment::new(clock().saturating_duration_since(start)),
            #[cfg(feature = "sim")]
            Clock::Simulated(network) => network.now(),
        }
    }
}

/// An event of a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Another thread may have left a call.
    Remote,
    #[cfg(all(unix, feature = "signals"))]
    Signal,
    /// Another process wants to take over.
    #[cfg(all(unix, feature = "handover"))]
    Handover,
    /// This listener has new connections.
    Listener(usize),
    Client(Readiness),
}

/// How a wait ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    /// A signal has interrupted it, as happens when the process is stopped and continued.
    pub(crate) was_interrupted: bool,
    /// It may have left events. An edge-triggered host loop is not notified of them again.
    pub(crate) has_more: bool,
}

impl Kernel {
    pub(crate) fn new(events_per_turn: usize) -> io::Result<Kernel> {
        Ok(Kernel { poll: Poll::new()?, events: Events::with_capacity(events_per_turn), start: clock() })
    }

    /// Returns another one, with the same clock.
    pub(crate) fn beside(&self, events_per_turn: usize) -> io::Result<Kernel> {
        Ok(Kernel { poll: Poll::new()?, events: Events::with_capacity(events_per_turn), start: self.start })
    }

    /// When its clock began, in nanoseconds of the host's monotonic clock.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn began(&self) -> u64 {
        let elapsed = Clock::Kernel(self.start).now().elapsed();
        monotonic().saturating_sub(elapsed).as_nanos() as u64
    }

    /// Goes on with the clock of another process of this host.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn begin_at(&mut self, began: u64) {
        let elapsed = monotonic().saturating_sub(Duration::from_nanos(began));
        self.start = clock().checked_sub(elapsed).unwrap_or(self.start);
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.registry(), WAKER)
    }

    fn wait(&mut self, timeout: Option<Duration>, mut tell: impl FnMut(Ready)) -> io::Result<Waited> {
        let mut count = 0;
        let was_interrupted = match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => false,
            // A signal is neither an error nor a shutdown.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => return Err(error),
        };
        for event in &self.events {
            count += 1;
            tell(match event.token() {
                Token(client) if client < FIRST_OTHER => Ready::Client(Readiness {
                    client,
                    readable: event.is_readable(),
                    writable: event.is_writable(),
                    read_closed: event.is_read_closed() | event.is_error(),
                }),
                WAKER => Ready::Remote,
                #[cfg(all(unix, feature = "signals"))]
                SIGNALS => Ready::Signal,
                #[cfg(all(unix, feature = "handover"))]
                HANDOVER => Ready::Handover,
                Token(token) => Ready::Listener(token.saturating_sub(FIRST_LISTENER)),
            });
        }
        Ok(Waited { was_interrupted, has_more: was_interrupted || count >= self.events.capacity() })
    }
}

/// The host's monotonic clock, which all its processes share.
#[cfg(all(unix, feature = "handover"))]
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

impl Poller {
    /// Waits until something is ready, and reports it. Waits at most for `timeout`, or without a
    /// limit if that is `None`.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, tell: impl FnMut(Ready)) -> io::Result<Waited> {
        match self {
            Poller::Kernel(kernel) => kernel.wait(timeout, tell),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => Ok(Waited { was_interrupted: network.wait(timeout, tell), has_more: false }),
        }
    }

    /// Returns whether a simulated process has been stopped since the last wait. A real process
    /// does not know.
    pub(crate) fn was_stopped(&self) -> bool {
        match self {
            Poller::Kernel(_) => false,
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => network.was_interrupted(),
        }
    }

    /// Returns the time. Everywhere else, the time is an argument.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        match self {
            Poller::Kernel(kernel) => Clock::Kernel(kernel.start).now(),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => network.now(),
        }
    }

    /// Returns the clock.
    #[inline]
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Poller::Kernel(kernel) => Clock::Kernel(kernel.start),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => Clock::Simulated(*network),
        }
    }

    /// Returns that moment on the host's clock.
    pub(crate) fn to_instant(&self, moment: Moment) -> Instant {
        match self {
            Poller::Kernel(kernel) => kernel.start + moment.elapsed(),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => unreachable!("a simulation does not hand out its loop"),
        }
    }

    /// Watches a listener, for as long as it exists.
    pub(crate) fn watch_listener(&self, listener: &mut Listener, index: usize) -> io::Result<()> {
        match self {
            Poller::Kernel(kernel) => listener.register(kernel.registry(), Token(FIRST_LISTENER + index)),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => Ok(()),
        }
    }

    /// Watches the listener for handovers.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn watch_handovers(&self, listener: &mut Listener) -> io::Result<()> {
        match self {
            Poller::Kernel(kernel) => listener.register(kernel.registry(), HANDOVER),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => Ok(()),
        }
    }

    /// Watches a listener no more: another process has its socket as well.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn unwatch_listener(&self, listener: &mut Listener) -> io::Result<()> {
        match self {
            Poller::Kernel(kernel) => listener.deregister(kernel.registry()),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => Ok(()),
        }
    }

    /// Returns when its clock began, in nanoseconds of the host's monotonic clock.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn began(&self) -> u64 {
        match self {
            Poller::Kernel(kernel) => kernel.began(),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => 0,
        }
    }

    /// Watches a client's socket, for as long as it exists.
    pub(crate) fn watch(&self, socket: &mut Socket, client: usize) -> io::Result<()> {
        match self {
            Poller::Kernel(kernel) => socket.register(kernel.registry(), Token(client)),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => {
                network.watch(socket, client);
                Ok(())
            }
        }
    }

    /// Watches a client's socket no more. Another loop may watch it then.
    pub(crate) fn unwatch(&self, socket: &mut Socket) -> io::Result<()> {
        match self {
            Poller::Kernel(kernel) => socket.deregister(kernel.registry()),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => {
                network.unwatch(socket);
                Ok(())
            }
        }
    }

    /// Begins to connect. A readiness event reports the result.
    pub(crate) fn connect(&self, address: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
        match self {
            Poller::Kernel(_) => Socket::connect(address, source),
            #[cfg(feature = "sim")]
            Poller::Simulated(network) => network.connect(address),
        }
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        match self {
            Poller::Kernel(kernel) => kernel.registry().as_fd(),
            #[cfg(feature = "sim")]
            Poller::Simulated(_) => unreachable!("a simulation does not hand out its loop"),
        }
    }
}
