//! Streams of the application's own.

use super::clients::Clients;
use crate::parts::ADOPTING;
use crate::protocol::{Connection, Role};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::Socket;
use crate::server::table::At;
use std::io;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// A connected stream for [`Clients::adopt`] or [`Clients::connect_over`], and how far it has come.
/// The accept key of a 101 response is `tungstenite::handshake::derive_accept_key`, with
/// tungstenite's feature `handshake`.
///
/// ```
/// use lariat::{Adopted, ClientId, Clients};
/// use std::io;
/// use std::net::TcpStream;
///
/// /// Another HTTP server has answered the opening handshake, and has read a little more than the
/// /// request.
/// fn take_over(clients: &mut Clients<()>, stream: TcpStream, read_beyond: &[u8]) -> io::Result<ClientId> {
///     clients.adopt(Adopted::from(stream).upgraded().subprotocol("chat.v1").received(read_beyond))
/// }
/// ```
#[derive(Debug)]
pub struct Adopted {
    stream: Stream,
    received: Vec<u8>,
    is_upgraded: bool,
    subprotocol: Option<String>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl From<TcpStream> for Adopted {
    fn from(stream: TcpStream) -> Adopted {
        Adopted::new(Stream::Tcp(stream))
    }
}

#[cfg(unix)]
impl From<UnixStream> for Adopted {
    fn from(stream: UnixStream) -> Adopted {
        Adopted::new(Stream::Unix(stream))
    }
}

impl Adopted {
    const fn new(stream: Stream) -> Adopted {
        Adopted { stream, received: Vec::new(), is_upgraded: false, subprotocol: None }
    }

    /// Returns the socket, and what was received.
    pub(super) fn into_parts(self) -> io::Result<(Socket, Vec<u8>)> {
        Ok((self.stream.into_socket()?, self.received))
    }

    /// The 101 response has been sent already, without an extension (RFC 6455 §4.2.2). The client
    /// is open, and `on_request` is not called.
    #[must_use]
    pub fn upgraded(mut self) -> Adopted {
        self.is_upgraded = true;
        self
    }

    /// Sets the subprotocol that the 101 response has chosen. Without [`upgraded`](Self::upgraded), it
    /// is ignored: `on_request` chooses.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Adopted {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds bytes that have been read from the stream already, and that the server is to handle
    /// first.
    #[must_use]
    pub fn received(mut self, bytes: &[u8]) -> Adopted {
        self.received.extend_from_slice(bytes);
        self
    }
}

impl Stream {
    fn into_socket(self) -> io::Result<Socket> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                #[cfg(target_vendor = "apple")]
                socket2::SockRef::from(&stream).set_nosigpipe(true)?;
                Ok(Socket::Stream(mio::net::TcpStream::from_std(stream)))
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                #[cfg(target_vendor = "apple")]
                socket2::SockRef::from(&stream).set_nosigpipe(true)?;
                Ok(Socket::from_unix(mio::net::UnixStream::from_std(stream)))
            }
        }
    }
}

impl<D: ClientData> Clients<D> {
    /// Serves a stream that the application has accepted itself, as if a listener had.
    ///
    /// The client sends its request, and all is as for any other client. If another HTTP server has
    /// done the opening handshake, say so with [`Adopted::upgraded`]: the client is open at once,
    /// so messages can be sent to it, and `on_open` is called in the next turn. It belongs to the
    /// handler's route; use [`on_route`](Self::on_route) for another. If its [data](ClientData) has no
    /// default, set it right after this call with [`set_data`](Self::set_data): otherwise `on_open`
    /// finds none. Other threads adopt through [`Remote::run`](crate::Remote::run).
    ///
    /// The stream is used as it is, without TLS and without a header of the PROXY protocol.
    ///
    /// [`max_connections_per_address`](crate::Config::max_connections_per_address) does not apply
    /// to adopted streams.
    ///
    /// # Errors
    ///
    /// The stream cannot be made non-blocking. Or the server shuts down or is full
    /// ([`ConnectionRefused`](io::ErrorKind::ConnectionRefused)). The stream is then closed.
    pub fn adopt(&mut self, stream: impl Into<Adopted>) -> io::Result<ClientId> {
        ADOPTING.use_it();
        let Adopted { stream, received, is_upgraded, subprotocol } = stream.into();
        if self.adopts_no_more() {
            let why = "the server shuts down, is full or has used up its memory budget";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
        }
        let index = self.insert(stream.into_socket()?, Connection::new(Role::Server, self.table.now()));
        self.table.counters_mut().accepted += 1;
        let route = self.route;
        let At { client, shared, now, .. } = self.table.at(index);
        let id = client.id(index);
        if is_upgraded {
            client.route = route;
            client.connection.adopt(shared, now);
        }
        if !received.is_empty() {
            client.connection.hold(shared, now, &received);
        }
        if let Some(chosen) = subprotocol.filter(|_| is_upgraded) {
            self.table.set_subprotocol(index, &chosen);
        }
        log::debug!("{id} adopted from {}", self.shown_address(index));
        self.table.queue_adopted(id);
        self.relieve();
        Ok(id)
    }
}
