//! Common parts of the servers: `SERVER PORT` listens on 127.0.0.1:PORT and prints the address.
//!
//! Each server echoes messages. If its library makes it easy, it also sends each message on
//! `/broadcast` to all clients.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The path on which each message goes to all clients.
pub const BROADCAST: &str = "/broadcast";

/// The largest message that a server accepts, in bytes.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Listens on the port in the first argument. Accepted sockets inherit TCP_NODELAY.
pub fn listen() -> io::Result<TcpListener> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: SERVER PORT"))?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4_096)?;
    let listener = TcpListener::from(socket);
    println!("listens on {}", listener.local_addr()?);
    Ok(listener)
}

/// Returns a runtime with one thread, and a listener in it.
pub fn tokio_listen() -> io::Result<(tokio::runtime::Runtime, tokio::net::TcpListener)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = {
        let _guard = runtime.enter();
        tokio::net::TcpListener::from_std(listen()?)?
    };
    Ok((runtime, listener))
}
