//! Where do connections come from?

use super::config::Config;
use super::socket::Socket;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::path::{Path, PathBuf};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: ListeningSocket,
    /// There may be connections to accept; no new edge comes for them.
    pub(crate) ready: bool,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(mio::net::TcpListener),
    #[cfg(unix)]
    Unix(mio::net::UnixListener, UnixPath),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalAddr {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocalAddr::Tcp(addr) => write!(f, "{addr}"),
            #[cfg(unix)]
            LocalAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Listens on a TCP address. An IPv6 address means IPv6 alone.
    pub(crate) fn tcp(addr: SocketAddr, config: &Config) -> io::Result<Listener> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        #[cfg(unix)]
        {
            socket.set_reuse_address(true)?;
            if config.reuse_port {
                socket.set_reuse_port(true)?;
            }
        }
        socket.bind(&addr.into())?;
        socket.listen(config.backlog as i32)?;
        Listener::from_tcp(socket.into())
    }

    /// Takes over a socket that listens already.
    pub(crate) fn from_tcp(listener: TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        // On Linux, accepted sockets inherit it; elsewhere `accept` sets it.
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        Ok(Listener::new(ListeningSocket::Tcp(mio::net::TcpListener::from_std(listener))))
    }

    /// Listens on a Unix socket, whose file is made, and removed in the end.
    #[cfg(unix)]
    pub(crate) fn unix(path: &Path, config: &Config) -> io::Result<Listener> {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        let path = UnixPath::of(path)?;
        socket.listen(config.backlog as i32)?;
        socket.set_nonblocking(true)?;
        let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
        Ok(Listener::new(ListeningSocket::Unix(mio::net::UnixListener::from_std(listener), path)))
    }

    const fn new(socket: ListeningSocket) -> Listener {
        Listener { socket, ready: true }
    }

    pub(crate) fn local_addr(&self) -> io::Result<LocalAddr> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().map(LocalAddr::Tcp),
            #[cfg(unix)]
            ListeningSocket::Unix(_, path) => Ok(LocalAddr::Unix(path.path.clone())),
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            ListeningSocket::Unix(listener, _) => listener.register(registry, token, Interest::READABLE),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<Socket> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                #[cfg(not(target_os = "linux"))]
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            #[cfg(unix)]
            ListeningSocket::Unix(listener, _) => listener.accept().map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

/// A socket's file: removed with its listener, if it is still the same file.
#[cfg(unix)]
#[derive(Debug)]
struct UnixPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

#[cfg(unix)]
impl UnixPath {
    fn of(path: &Path) -> io::Result<UnixPath> {
        use std::os::unix::fs::MetadataExt;
        let path = std::path::absolute(path)?;
        let metadata = std::fs::symlink_metadata(&path)?;
        Ok(UnixPath { path, device: metadata.dev(), inode: metadata.ino() })
    }
}

#[cfg(unix)]
impl Drop for UnixPath {
    fn drop(&mut self) {
        let is_same = UnixPath::of(&self.path)
            .map(std::mem::ManuallyDrop::new)
            .is_ok_and(|found| (found.device, found.inode) == (self.device, self.inode));
        if is_same {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A descriptor that is kept for the day when there are none left: it is given up to accept a newcomer and
/// hang up on it, who would otherwise wait in the backlog without an answer.
#[derive(Debug)]
pub(crate) struct SpareDescriptor(Option<File>);

impl SpareDescriptor {
    pub(crate) fn new() -> SpareDescriptor {
        SpareDescriptor(SpareDescriptor::open())
    }

    #[cfg(unix)]
    fn open() -> Option<File> {
        File::open("/dev/null").ok()
    }

    #[cfg(not(unix))]
    fn open() -> Option<File> {
        None
    }

    /// Turns one newcomer away. `false`: there was none, or nothing to spare.
    pub(crate) fn turn_away(&mut self, listener: &Listener) -> bool {
        if self.0.take().is_none() {
            self.0 = SpareDescriptor::open();
            return false;
        }
        let turned_away = listener.accept().is_ok();
        self.0 = SpareDescriptor::open();
        turned_away
    }
}

/// Whether an error of `accept` says that descriptors or memory have run out.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_exhaustion =
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS));
    #[cfg(not(unix))]
    let is_exhaustion = error.kind() == io::ErrorKind::OutOfMemory;
    is_exhaustion
}
