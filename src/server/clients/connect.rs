//! Connections to other servers.
//!
//! Names are looked up on a thread of their own, because that can block for seconds. All else
//! happens in the loop, and the handler gets the same callbacks as for any client.

use super::adopt::Adopted;
use super::clients::Clients;
use crate::parts::ADOPTING;
#[cfg(feature = "tls")]
use crate::protocol::tls::ClientTls;
use crate::protocol::{CloseReason, Connection, Opening, OpeningError, Role, State};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::{Question, Resolver, Socket};
use crate::server::table::{At, Flags, Outgoing};
use http::{HeaderMap, HeaderName, HeaderValue};
#[cfg(feature = "tls")]
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Options of [`Clients::connect`]. Each field has a method that sets it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The subprotocols to offer. The first is preferred. Default: none.
    pub subprotocols: Vec<String>,
    /// Further headers, such as `Authorization`, `Origin` or `Cookie`. Default: none.
    pub headers: HeaderMap,
    /// Compression is not offered. Default `false`.
    pub uncompressed: bool,
    /// Where to connect, instead of the address of the URL's host. Default: none.
    pub address: Option<SocketAddr>,
    /// Which servers are trusted for `wss://`, and which certificate they see. Default `None`: the
    /// authorities that the platform trusts, and no certificate. The first connection reads them
    /// from files, which takes some milliseconds.
    #[cfg(feature = "tls")]
    pub tls: Option<ClientTls>,
    /// The local address. Each address has its own ports, about 28,000 on Linux. More connections
    /// to one server need several addresses. Default: the kernel chooses.
    pub source: Option<IpAddr>,
}

impl ConnectOptions {
    /// Without options.
    pub fn new() -> ConnectOptions {
        ConnectOptions::default()
    }

    /// Adds one of the [`subprotocols`](#structfield.subprotocols), as the last.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> ConnectOptions {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds one of the [`headers`](#structfield.headers).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> ConnectOptions {
        self.headers.append(name, value);
        self
    }

    /// Sets [`uncompressed`](#structfield.uncompressed).
    #[must_use]
    pub const fn uncompressed(mut self) -> ConnectOptions {
        self.uncompressed = true;
        self
    }

    /// Sets [`address`](#structfield.address).
    #[must_use]
    pub const fn address(mut self, address: SocketAddr) -> ConnectOptions {
        self.address = Some(address);
        self
    }

    /// Sets [`source`](#structfield.source).
    #[must_use]
    pub const fn source(mut self, address: IpAddr) -> ConnectOptions {
        self.source = Some(address);
        self
    }

    /// Sets [`tls`](#structfield.tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> ConnectOptions {
        self.tls = Some(tls);
        self
    }

    pub(crate) fn apply(&self, opening: &mut Opening) -> Result<(), OpeningError> {
        opening.offer(&self.subprotocols)?;
        for (name, value) in &self.headers {
            opening.header(name.clone(), value.clone())?;
        }
        if self.uncompressed {
            opening.uncompressed();
        }
        Ok(())
    }
}

impl<D: ClientData> Clients<D> {
    /// Connects to a server. The connection is a client of the same loop (RFC 6455 §4.1). With the
    /// feature `tls`, the URL may begin with `wss://`. The server's certificate is then verified;
    /// if it is not accepted, `on_close` gets `CloseReason::Tls`.
    ///
    /// `on_open` is called when the server has accepted. `on_close` is called when the connection
    /// has ended, or was not open within [`handshake_timeout`](crate::Limits::handshake_timeout).
    /// The client belongs to the handler's route.
    ///
    /// # Errors
    ///
    /// The URL or the options are invalid. If nothing answers at the address, `on_close` reports
    /// it.
    pub fn connect(&mut self, url: &str, options: &ConnectOptions) -> Result<ClientId, OpeningError> {
        let (id, name, port) = self.begin_connection(Socket::Unconnected, url, options)?;
        let address = options.address.or_else(|| Some(SocketAddr::new(name.parse().ok()?, port)));
        match address {
            Some(address) => self.resolved(id, vec![address]),
            None => self.resolve(id, name, port),
        }
        self.relieve();
        Ok(id)
    }

    /// Connects to a server over a stream that the application has opened itself: a Unix socket, or
    /// a TCP stream through a proxy. All else is as in [`connect`](Self::connect), but `on_connect`
    /// is not called, and [`address`](ConnectOptions#structfield.address) and
    /// [`source`](ConnectOptions#structfield.source) mean nothing. What was
    /// [received](Adopted::received) is handled first; the other settings of [`Adopted`] are
    /// ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the URL or the options are invalid, or if
    /// bytes of a `wss://` connection were received already. Or the stream cannot be made
    /// non-blocking. The stream is then closed.
    pub fn connect_over(
        &mut self,
        stream: impl Into<Adopted>,
        url: &str,
        options: &ConnectOptions,
    ) -> io::Result<ClientId> {
        ADOPTING.use_it();
        let (socket, received) = stream.into().into_parts()?;
        if !received.is_empty() && url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss:")) {
            let why = "bytes of TLS cannot be handed over";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let begun = self.begin_connection(socket, url, options);
        let (id, ..) = begun.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let At { client, shared, now, .. } = self.table.at(id.slot());
        if !received.is_empty() {
            client.connection.hold(shared, now, &received);
        }
        self.table.queue_adopted(id);
        self.relieve();
        Ok(id)
    }

    /// Adds a connection that sends its request once its socket takes it. Returns the host and the
    /// port of the URL as well.
    fn begin_connection(
        &mut self,
        socket: Socket,
        url: &str,
        options: &ConnectOptions,
    ) -> Result<(ClientId, String, u16), OpeningError> {
        let (mut opening, name, port) = Opening::parse(url)?;
        options.apply(&mut opening)?;
        #[cfg(feature = "tls")]
        let tls = if opening.is_secure() { Some(self.security(options, &name)?) } else { None };
        let now = self.table.now();
        let connection = Connection::connect(self.table.shared_mut(), now, &opening);
        let index = self.insert(socket, connection);
        self.table.counters_mut().connected += 1;
        let route = self.route;
        let outgoing = Outgoing {
            source: options.source,
            #[cfg(feature = "tls")]
            tls,
            ..Outgoing::default()
        };
        let client = &mut self.table[index];
        client.route = route;
        client.flags.set(Flags::BLOCKED);
        client.connection.extra_mut().outgoing = Some(Box::new(outgoing));
        Ok((client.id(index), name, port))
    }

    /// Returns how to secure a connection, and the server's name. Reads what the platform trusts,
    /// the first time.
    #[cfg(feature = "tls")]
    fn security(
        &mut self,
        options: &ConnectOptions,
        name: &str,
    ) -> Result<(ClientTls, ServerName<'static>), OpeningError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| OpeningError::BadUrl)?;
        let tls = match options.tls.as_ref().or(self.platform_tls.as_ref()) {
            Some(tls) => tls.clone(),
            None => {
                let tls = ClientTls::platform(None).map_err(|error| {
                    log::error!("{error}");
                    OpeningError::NoTrust
                })?;
                self.platform_tls.insert(tls).clone()
            }
        };
        Ok((tls, name))
    }

    /// Starts to look up a name, on another thread.
    fn resolve(&mut self, id: ClientId, name: String, port: u16) {
        let remote = self.remote.clone();
        let question = Question { id, name, port };
        let resolver = self.resolver.get_or_insert_with(|| {
            Resolver::start(move |id, addresses| {
                remote.run_always(move |clients| clients.resolved(id, addresses));
            })
        });
        if !resolver.ask(question) {
            self.resolved(id, Vec::new());
        }
    }

    /// Notes the addresses of a server and connects to the first.
    pub(crate) fn resolved(&mut self, id: ClientId, addresses: Vec<SocketAddr>) {
        let Some(index) = self.find(id) else { return };
        if let Some(outgoing) = &mut self.table[index].connection.extra_mut().outgoing {
            outgoing.addresses = addresses.into();
        }
        if !self.connect_to_next(index) {
            self.end(index, CloseReason::NameNotFound);
        }
    }

    /// Returns the address to which we are connecting, until the connection is established.
    pub(crate) fn connecting_to(&self, index: usize) -> Option<SocketAddr> {
        let client = &self.table[index];
        if client.connection.role() == Role::Server || client.connection.state() != State::Handshaking {
            return None;
        }
        client.connection.extra()?.outgoing.as_ref()?.trying
    }

    /// Notes that the connection is established: the request has been written. Returns whether that
    /// is new.
    pub(crate) fn note_connected(&mut self, index: usize) -> bool {
        let extra = self.table[index].connection.extra_if_any();
        let outgoing = extra.and_then(|extra| extra.outgoing.as_mut());
        outgoing.is_some_and(|outgoing| outgoing.trying.take().is_some())
    }

    /// Queues a connection to a server's next address. Returns `false` if there is none.
    pub(crate) fn connect_to_next(&mut self, index: usize) -> bool {
        let client = &mut self.table[index];
        let may_connect = client.connection.state() == State::Handshaking;
        let Some(outgoing) = &client.connection.extra_mut().outgoing else { return false };
        if outgoing.addresses.is_empty() || !may_connect {
            return false;
        }
        client.flags.set(Flags::BLOCKED);
        client.flags.clear(Flags::READ_CLOSED);
        self.table.queue_connect(index);
        true
    }
}
