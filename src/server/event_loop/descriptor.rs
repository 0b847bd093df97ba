//! The descriptor for a host's own loop.

use super::EventLoop;
use crate::server::app::Handler;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// The descriptor is readable when [`EventLoop::turn`] has something to do: for a host's own epoll,
/// kqueue, poll or select.
///
/// The host may be edge-triggered (epoll with `EPOLLET`, mio, tokio's `AsyncFd`). One turn takes at
/// most [`events_per_turn`](crate::Config::events_per_turn) events, and no further edge comes for
/// the rest. [`timeout`](EventLoop::timeout) is zero until they are taken, so the host must ask for
/// it before every wait.
impl<H: Handler> AsFd for EventLoop<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// The same descriptor as of [`AsFd`], for interfaces that take a number. It stays the loop's own:
/// do not close it.
impl<H: Handler> AsRawFd for EventLoop<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
