//! The stream of a connection.
//!
//! The loop knows only this enum and [`Readiness`], so that the same loop runs in a simulation.
//!
//! A connected Unix socket behaves like a TCP socket, and std and mio make the same calls for both.
//! So both are kept as mio's `TcpStream`. An enum of the two would take four more bytes for each
//! connection.

#[cfg(feature = "sim")]
use crate::server::net::memory::Wire;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

/// A non-blocking stream.
#[derive(Debug)]
pub(crate) enum Socket {
    Stream(mio::net::TcpStream),
    #[cfg(feature = "sim")]
    Simulated(Wire),
    /// No socket yet: the address is being looked up, or is not connected to.
    Unconnected,
}

impl Socket {
    /// What a Unix listener has accepted.
    #[cfg(unix)]
    pub(crate) fn from_unix(stream: mio::net::UnixStream) -> Socket {
        Socket::Stream(std::os::fd::OwnedFd::from(stream).into())
    }

    /// Begins to connect, from `source` if it is given. A readiness event reports the result.
    pub(crate) fn connect(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
        let stream = match source {
            None => mio::net::TcpStream::connect(addr)?,
            Some(source) => connect_from(source, addr)?,
        };
        stream.set_nodelay(true)?;
        #[cfg(target_vendor = "apple")]
        socket2::SockRef::from(&stream).set_nosigpipe(true)?;
        Ok(Socket::Stream(stream))
    }

    /// Reads at most `buffer.len()` bytes; 0 is the peer's FIN.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Stream(stream) => stream.read(buffer),
            #[cfg(feature = "sim")]
            Socket::Simulated(wire) => wire.read(buffer),
            Socket::Unconnected => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes as many bytes as the kernel takes. Never raises SIGPIPE, even if the host
    /// changes how that signal is handled.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // std passes MSG_NOSIGNAL (or has set SO_NOSIGPIPE); vectored writes would not.
            Socket::Stream(stream) => stream.write(bytes),
            #[cfg(feature = "sim")]
            Socket::Simulated(wire) => wire.write(bytes),
            Socket::Unconnected => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Sends FIN: nothing more will be written.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Socket::Stream(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "sim")]
            Socket::Simulated(wire) => wire.shutdown_write(),
            Socket::Unconnected => Ok(()),
        }
    }

    /// Lets the peer get RST instead of FIN when the socket is dropped. What is unsent is then
    /// lost. A Unix socket knows no resets: its peer reads the end of the stream.
    pub(crate) fn reset_when_dropped(&self) {
        match self {
            Socket::Stream(stream) => {
                // If the peer has disconnected, this fails, and nobody is left to be told.
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            #[cfg(feature = "sim")]
            Socket::Simulated(wire) => wire.reset(),
            Socket::Unconnected => {}
        }
    }

    /// Returns the peer's address, or `None` for a Unix socket or a peer that has disconnected.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Stream(stream) => stream.peer_addr().ok(),
            #[cfg(feature = "sim")]
            Socket::Simulated(wire) => wire.peer_addr(),
            Socket::Unconnected => None,
        }
    }

    /// Returns our own address, or `None` for a Unix socket or a simulated one.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Stream(stream) => stream.local_addr().ok(),
            #[cfg(feature = "sim")]
            Socket::Simulated(_) => None,
            Socket::Unconnected => None,
        }
    }

    /// Returns the descriptor of a kernel's socket.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match self {
            Socket::Stream(stream) => Some(std::os::fd::AsFd::as_fd(stream)),
            #[cfg(feature = "sim")]
            Socket::Simulated(_) => None,
            Socket::Unconnected => None,
        }
    }

    /// Returns the same simulated socket once more.
    #[cfg(all(unix, feature = "handover", feature = "sim"))]
    pub(crate) fn simulated_again(&self) -> Option<Socket> {
        match self {
            Socket::Simulated(wire) => Some(Socket::Simulated(wire.again())),
            Socket::Stream(_) | Socket::Unconnected => None,
        }
    }

    /// Returns whether there is a stream.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) const fn is_connected(&self) -> bool {
        !matches!(self, Socket::Unconnected)
    }

    /// Returns the stream of another process's descriptor.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn from_descriptor(descriptor: std::os::fd::OwnedFd) -> Socket {
        Socket::Stream(descriptor.into())
    }

    /// Ends the registration.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Socket::Stream(stream) => stream.deregister(registry),
            #[cfg(feature = "sim")]
            Socket::Simulated(_) => Ok(()),
            Socket::Unconnected => Ok(()),
        }
    }

    /// Registers for all events, for as long as the socket exists.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Socket::Stream(stream) => stream.register(registry, token, interest),
            #[cfg(feature = "sim")]
            Socket::Simulated(_) => Ok(()),
            Socket::Unconnected => Ok(()),
        }
    }
}

/// mio chooses no address of ours.
fn connect_from(source: IpAddr, addr: SocketAddr) -> io::Result<mio::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        // Under way, in the words of Unix and of Windows.
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(mio::net::TcpStream::from_std(socket.into()))
}

/// What a poller reports about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The client's place in the slab.
    pub(crate) client: usize,
    /// Bytes, FIN or an error can be read.
    pub(crate) readable: bool,
    /// There is room for bytes.
    pub(crate) writable: bool,
    /// FIN or an error has come. Read up to it, because no other edge follows.
    pub(crate) read_closed: bool,
}
