//! Listening sockets.

use super::socket::Socket;
#[cfg(unix)]
use crate::parts::UNIX_SOCKETS;
#[cfg(unix)]
use crate::protocol::Escaped;
#[cfg(feature = "tls")]
use crate::protocol::tls::ServerTls;
use crate::server::config::ListenOptions;
#[cfg(feature = "sim")]
use crate::server::net::memory::Backlog;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: ListeningSocket,
    pub(crate) arrival: Arrival,
    /// Whether there may be connections to accept. No new edge reports them.
    pub(crate) ready: bool,
    /// The backlog, if other sockets may listen on the same address (`SO_REUSEPORT`).
    shared: Option<i32>,
}

/// How a connection begins.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// A header of the PROXY protocol comes first.
    pub(crate) is_proxied: bool,
    /// TLS comes after that.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerTls>,
}

impl Arrival {
    /// Whether TLS comes first.
    #[cfg(feature = "tls")]
    pub(crate) const fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) const fn is_secured(&self) -> bool {
        false
    }
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(mio::net::TcpListener),
    #[cfg(unix)]
    Unix(mio::net::UnixListener, Option<UnixPath>),
    #[cfg(feature = "sim")]
    Simulated(Backlog),
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
    /// Listens on a TCP address. An error names the address.
    pub(crate) fn tcp(addr: SocketAddr, options: &ListenOptions) -> io::Result<Listener> {
        Listener::bind_tcp(addr, options).map_err(|error| cannot_listen(addr, error))
    }

    fn bind_tcp(addr: SocketAddr, options: &ListenOptions) -> io::Result<Listener> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        if addr.is_ipv6() {
            socket.set_only_v6(!options.dual_stack)?;
        }
        #[cfg(unix)]
        {
            socket.set_reuse_address(true)?;
            if options.reuse_port {
                socket.set_reuse_port(true)?;
            }
        }
        socket.bind(&addr.into())?;
        socket.listen(backlog(options))?;
        Listener::from_tcp(socket.into(), options)
    }

    /// Takes over a socket that is already listening.
    pub(crate) fn from_tcp(listener: TcpListener, options: &ListenOptions) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let socket = socket2::SockRef::from(&listener);
        // On Linux, accepted sockets inherit it; elsewhere `accept` sets it.
        socket.set_tcp_nodelay(true)?;
        if let Some(after) = options.keepalive {
            socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(after))?;
        }
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(options.user_timeout)?;
        Ok(Listener::new(ListeningSocket::Tcp(mio::net::TcpListener::from_std(listener)), options))
    }

    /// Listens on a Unix socket. Creates its file, and removes it at the end. An error names it.
    #[cfg(unix)]
    pub(crate) fn unix(path: &Path, options: &ListenOptions) -> io::Result<Listener> {
        let name = || LocalAddr::Unix(path.to_owned());
        Listener::bind_unix(path, options).map_err(|error| cannot_listen(name(), error))
    }

    #[cfg(unix)]
    fn bind_unix(path: &Path, options: &ListenOptions) -> io::Result<Listener> {
        let address = socket2::SockAddr::unix(path)?;
        let mode = options.unix_mode.unwrap_or_default();
        if mode > 0o777 {
            let problem = format!("{mode:#o} is no mode of a socket: at most 0o777");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && remove_stale(path, &address)? => {
                socket.bind(&address)?;
            }
            outcome => outcome?,
        }
        // From here on, dropping it removes the file.
        let path = UnixPath::of(path)?;
        // Nobody can connect before it listens.
        path.set_owner_and_mode(options)?;
        socket.listen(backlog(options))?;
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        Listener::from_unix(listener, Some(path), options)
    }

    /// Takes over a Unix socket that is already listening. Does not remove its file.
    #[cfg(unix)]
    pub(crate) fn from_unix(
        listener: UnixListener,
        path: Option<UnixPath>,
        options: &ListenOptions,
    ) -> io::Result<Listener> {
        UNIX_SOCKETS.use_it();
        listener.set_nonblocking(true)?;
        let listener = mio::net::UnixListener::from_std(listener);
        Ok(Listener::new(ListeningSocket::Unix(listener, path), options))
    }

    /// Listens on a simulated network.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(backlog: Backlog, options: &ListenOptions) -> Listener {
        Listener::new(ListeningSocket::Simulated(backlog), options)
    }

    fn new(socket: ListeningSocket, options: &ListenOptions) -> Listener {
        let arrival = Arrival {
            is_proxied: options.proxy_protocol,
            #[cfg(feature = "tls")]
            tls: options.tls.clone(),
        };
        // Only TCP sockets share an address, and only where `another` makes them.
        let shares = cfg!(unix) && options.reuse_port && matches!(socket, ListeningSocket::Tcp(_));
        let shared = shares.then(|| backlog(options));
        Listener { socket, arrival, ready: true, shared }
    }

    /// Returns whether other loops of the server listen on the same address, so that the kernel
    /// chooses among them.
    pub(crate) const fn is_one_of_several(&self) -> bool {
        self.shared.is_some()
    }

    /// Returns another socket that listens on the same address, with the same options, if they
    /// allow that.
    #[cfg(unix)]
    pub(crate) fn another(&self) -> Option<io::Result<Listener>> {
        match (&self.socket, self.shared) {
            (ListeningSocket::Tcp(first), Some(backlog)) => Some(self.another_tcp(first, backlog)),
            _ => None,
        }
    }

    #[cfg(unix)]
    fn another_tcp(&self, first: &mio::net::TcpListener, backlog: i32) -> io::Result<Listener> {
        let (addr, first) = (first.local_addr()?, socket2::SockRef::from(first));
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        if addr.is_ipv6() {
            socket.set_only_v6(first.only_v6()?)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into()).and_then(|()| socket.listen(backlog)).map_err(|error| cannot_listen(addr, error))?;
        let options = ListenOptions {
            reuse_port: true,
            keepalive: first.keepalive()?.then(|| first.tcp_keepalive_time()).transpose()?,
            #[cfg(target_os = "linux")]
            user_timeout: first.tcp_user_timeout()?,
            ..ListenOptions::default()
        };
        let listener = Listener::from_tcp(socket.into(), &options)?;
        Ok(Listener { arrival: self.arrival.clone(), shared: self.shared, ..listener })
    }

    /// Returns another socket as one of several on the address of this one.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn like(&self, other: Listener) -> Listener {
        Listener { arrival: self.arrival.clone(), shared: self.shared, ..other }
    }

    #[cfg(not(unix))]
    pub(crate) const fn another(&self) -> Option<io::Result<Listener>> {
        None
    }

    pub(crate) fn local_addr(&self) -> io::Result<LocalAddr> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().map(LocalAddr::Tcp),
            #[cfg(unix)]
            ListeningSocket::Unix(_, Some(path)) => Ok(LocalAddr::Unix(path.path.clone())),
            #[cfg(unix)]
            ListeningSocket::Unix(listener, None) => {
                let path = listener.local_addr()?.as_pathname().map(Path::to_path_buf);
                Ok(LocalAddr::Unix(path.unwrap_or_default()))
            }
            #[cfg(feature = "sim")]
            ListeningSocket::Simulated(backlog) => Ok(LocalAddr::Tcp(backlog.local_addr())),
        }
    }

    /// Returns its descriptor, for another process.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        match &self.socket {
            ListeningSocket::Tcp(listener) => Some(listener.as_fd()),
            #[cfg(unix)]
            ListeningSocket::Unix(listener, _) => Some(listener.as_fd()),
            #[cfg(feature = "sim")]
            ListeningSocket::Simulated(_) => None,
        }
    }

    /// Returns the same simulated socket once more.
    #[cfg(all(unix, feature = "handover", feature = "sim"))]
    pub(crate) fn simulated_again(&self) -> Option<Listener> {
        let ListeningSocket::Simulated(backlog) = &self.socket else { return None };
        let socket = ListeningSocket::Simulated(Backlog(backlog.0));
        Some(Listener { socket, arrival: self.arrival.clone(), ready: true, shared: None })
    }

    /// Returns whether its file is removed at the end, if it has one.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) const fn has_own_file(&self) -> bool {
        !matches!(self.socket, ListeningSocket::Unix(_, None))
    }

    /// Another process listens on the socket as well: its file stays when this is dropped.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) const fn leave_file(&mut self) {
        if let ListeningSocket::Unix(_, Some(path)) = &mut self.socket {
            path.is_ours = false;
        }
    }

    /// Listens on another process's Unix socket, whose file is this one. The file stays that
    /// process's, until it [is ours](Self::own_file).
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn inherited_unix(
        socket: std::os::fd::OwnedFd,
        path: &Path,
        options: &ListenOptions,
    ) -> io::Result<Listener> {
        let mut path = UnixPath::of(path)?;
        path.is_ours = false;
        path.wanted = Some(Box::new(options.clone()));
        Listener::from_unix(UnixListener::from(socket), Some(path), options)
    }

    /// Another process has handed over: its file gets our owner and mode, and is removed when this
    /// is dropped.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn own_file(&mut self) {
        if let ListeningSocket::Unix(_, Some(path)) = &mut self.socket {
            path.is_ours = true;
            let wanted = path.wanted.take();
            if let Some(Err(error)) = wanted.map(|options| path.set_owner_and_mode(&options)) {
                log::warn!("{}: {error}", path.path.display());
            }
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            ListeningSocket::Unix(listener, _) => listener.register(registry, token, Interest::READABLE),
            #[cfg(feature = "sim")]
            ListeningSocket::Simulated(_) => Ok(()),
        }
    }

    /// Ends the registration. It would outlive this listener if another process has the socket too.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener.deregister(registry),
            ListeningSocket::Unix(listener, _) => listener.deregister(registry),
            #[cfg(feature = "sim")]
            ListeningSocket::Simulated(_) => Ok(()),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<Socket> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                #[cfg(not(target_os = "linux"))]
                stream.set_nodelay(true)?;
                // Without MSG_NOSIGNAL, an option of the socket prevents SIGPIPE.
                #[cfg(target_vendor = "apple")]
                socket2::SockRef::from(&stream).set_nosigpipe(true)?;
                Ok(Socket::Stream(stream))
            }
            #[cfg(unix)]
            ListeningSocket::Unix(..) if !UNIX_SOCKETS.is_used() => Err(io::ErrorKind::WouldBlock.into()),
            #[cfg(unix)]
            ListeningSocket::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                #[cfg(target_vendor = "apple")]
                socket2::SockRef::from(&stream).set_nosigpipe(true)?;
                Ok(Socket::from_unix(stream))
            }
            #[cfg(feature = "sim")]
            ListeningSocket::Simulated(backlog) => backlog.accept(),
        }
    }
}

fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog.max(1)).unwrap_or(i32::MAX)
}

/// Adds the address to an error of a listening socket and keeps its kind.
fn cannot_listen<A: fmt::Display + fmt::Debug + Send + Sync + 'static>(address: A, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), CannotListen { address, error })
}

/// A server cannot listen there. A program without Unix sockets does not contain how paths are
/// written.
#[derive(Debug)]
struct CannotListen<A> {
    address: A,
    error: io::Error,
}

impl<A: fmt::Display> fmt::Display for CannotListen<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl<A: fmt::Display + fmt::Debug> std::error::Error for CannotListen<A> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Removes the file of a socket on which no server listens. Returns whether it did.
#[cfg(unix)]
fn remove_stale(path: &Path, address: &socket2::SockAddr) -> io::Result<bool> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let find = || std::fs::symlink_metadata(path);
    let found = find()?;
    if !found.file_type().is_socket() {
        return Ok(false);
    }
    // Another server may have created its file, and not listen yet.
    for _ in 0..STALE_ATTEMPTS {
        std::thread::yield_now();
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        client.set_nonblocking(true)?;
        match client.connect(address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            // Another server listens (`WouldBlock`: its backlog is full), or may listen.
            Ok(()) | Err(_) => return Ok(false),
        }
    }
    let is_same = find().is_ok_and(|now| (now.dev(), now.ino()) == (found.dev(), found.ino()));
    if is_same {
        std::fs::remove_file(path)?;
        log::warn!("{} was left behind by a server that has ended: it is replaced", Escaped(path.display()));
    }
    Ok(is_same)
}

/// A socket is stale if it refuses this many connections in a row.
#[cfg(unix)]
const STALE_ATTEMPTS: u32 = 50;

/// A socket's file: removed with its listener, if it is still the same file.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct UnixPath {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Otherwise it is another process's.
    is_ours: bool,
    /// The owner and the mode that it gets when it is.
    #[cfg(feature = "handover")]
    wanted: Option<Box<ListenOptions>>,
}

#[cfg(unix)]
impl UnixPath {
    fn of(path: &Path) -> io::Result<UnixPath> {
        use std::os::unix::fs::MetadataExt;
        let path = std::path::absolute(path)?;
        let metadata = std::fs::symlink_metadata(&path)?;
        Ok(UnixPath {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            is_ours: true,
            #[cfg(feature = "handover")]
            wanted: None,
        })
    }

    fn set_owner_and_mode(&self, options: &ListenOptions) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown};
        let says = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| io::Error::new(error.kind(), format!("cannot set its {what}: {error}"))
        };
        if let Some(group) = options.unix_group {
            chown(&self.path, None, Some(group)).map_err(says("group"))?;
        }
        if let Some(mode) = options.unix_mode {
            std::fs::set_permissions(&self.path, PermissionsExt::from_mode(mode)).map_err(says("mode"))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
impl Drop for UnixPath {
    fn drop(&mut self) {
        if !UNIX_SOCKETS.is_used() || !self.is_ours {
            return;
        }
        let is_same = UnixPath::of(&self.path)
            .map(std::mem::ManuallyDrop::new)
            .is_ok_and(|found| (found.device, found.inode) == (self.device, self.inode));
        if is_same {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The response to connections for which there is no descriptor.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A spare descriptor. When descriptors run out, it is closed to accept a new connection and turn
/// it away. That connection would otherwise wait in the backlog without an answer.
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

    /// Turns one new connection away with a response. Returns `false` if there was none, or no
    /// spare descriptor.
    pub(crate) fn turn_away(&mut self, listener: &Listener) -> bool {
        if self.0.take().is_none() {
            self.0 = SpareDescriptor::open();
            return false;
        }
        let new_connection = listener.accept();
        let turned_away = new_connection.is_ok();
        if let Ok(mut socket) = new_connection {
            // Bytes left unread would make the kernel send a reset, which can eat the response. It
            // is a new socket: it takes these few bytes at once, or it is broken.
            let _ = socket.read(&mut [0; 8 << 10]);
            if !listener.arrival.is_secured() {
                let _ = socket.write(TURNED_AWAY).and_then(|_| socket.shutdown_write());
            }
        }
        self.0 = SpareDescriptor::open();
        turned_away
    }
}

/// Returns whether an error of `accept` means that descriptors or memory have run out.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_exhaustion =
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS));
    #[cfg(not(unix))]
    let is_exhaustion = error.kind() == io::ErrorKind::OutOfMemory;
    is_exhaustion
}

/// Returns such an error of `accept`.
#[cfg(feature = "sim")]
pub(crate) fn exhaustion() -> io::Error {
    #[cfg(unix)]
    let error = io::Error::from_raw_os_error(libc::EMFILE);
    #[cfg(not(unix))]
    let error = io::ErrorKind::OutOfMemory.into();
    error
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let options = ListenOptions {
            keepalive: Some(Duration::from_secs(77)),
            user_timeout: Some(Duration::from_secs(11)),
            reuse_port: true,
            ..ListenOptions::default()
        };
        let first = Listener::tcp(([127, 0, 0, 1], 0).into(), &options).expect("a free port");
        let LocalAddr::Tcp(addr) = first.local_addr().expect("an address") else { panic!("not TCP") };
        let second = Listener::tcp(addr, &options).expect("SO_REUSEPORT shares the port");
        let _client = std::net::TcpStream::connect(addr).expect("somebody listens");
        let accepted = loop {
            match first.accept().or_else(|_| second.accept()) {
                Ok(socket) => break socket,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let Socket::Stream(stream) = accepted else { panic!("not a stream") };
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(77));
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(Duration::from_secs(11)));
    }
}
