//! From which server this one takes over, and where the next one can.

#[cfg(feature = "tls")]
use crate::protocol::tls::ServerTls;
use crate::server::config::ListenOptions;
use crate::server::event_loop::{Handing, PASSED, offered};
use crate::server::handover::{Inherited, Predecessor, Taking};
use crate::server::net::{Listener, LocalAddr};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

/// The mode of the socket's file.
const MODE: u32 = 0o600;

/// The servers before and after this one.
#[derive(Debug, Default)]
pub(super) struct Succession {
    taking: Option<Arc<Taking>>,
    /// Listening sockets of the old server that nobody has asked for yet, with their addresses.
    inherited: Vec<(String, OwnedFd)>,
    began: Option<u64>,
    /// Where the next server asks.
    listener: Option<Listener>,
    /// The listening sockets of other loops.
    others: Vec<(String, OwnedFd)>,
    /// The TLS of the server's listeners, for loops that have none.
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
}

#[cfg(feature = "tls")]
fn tls_of(listeners: &[Listener]) -> Option<ServerTls> {
    listeners.iter().find_map(|listener| listener.arrival.tls.clone())
}

impl Succession {
    /// Takes over from the server at a path, if there is one, and listens there.
    pub(super) fn at(path: &Path, memory: usize) -> io::Result<Succession> {
        let options = ListenOptions { unix_mode: Some(MODE), ..ListenOptions::default() };
        match Taking::connect(path, memory)? {
            None => Ok(Succession { listener: Some(Listener::unix(path, &options)?), ..Succession::default() }),
            Some((taking, Inherited { listeners, handover, began })) => {
                let listener = handover.map(|socket| Listener::inherited_unix(socket, path, &options)).transpose()?;
                Ok(Succession::of(taking, listeners, began, listener))
            }
        }
    }

    /// Takes over from the server at the other end of a stream.
    pub(super) fn from(stream: UnixStream, memory: usize) -> io::Result<Succession> {
        let (taking, Inherited { listeners, began, .. }) = Taking::begin(stream, memory)?;
        Ok(Succession::of(taking, listeners, began, None))
    }

    fn of(taking: Taking, inherited: Vec<(String, OwnedFd)>, began: u64, listener: Option<Listener>) -> Succession {
        let taking = Some(Arc::new(taking));
        Succession { taking, inherited, began: Some(began), listener, ..Succession::default() }
    }

    pub(super) const fn began(&self) -> Option<u64> {
        self.began
    }

    pub(super) fn predecessor(&self) -> Option<&Predecessor> {
        self.taking.as_ref().map(|taking| &taking.predecessor)
    }

    /// That of another loop of the same server.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "their TLS is what counts"))]
    pub(super) fn beside(&self, listeners: &[Listener]) -> Succession {
        Succession {
            taking: self.taking.clone(),
            #[cfg(feature = "tls")]
            tls: tls_of(listeners),
            ..Succession::default()
        }
    }

    #[cfg_attr(not(feature = "tls"), expect(unused_variables, unused_mut, reason = "their TLS is what counts"))]
    pub(super) fn into_parts(self, listeners: &[Listener]) -> (Handing, Option<Arc<Taking>>) {
        let mut handing = Handing::new(self.listener, self.others);
        #[cfg(feature = "tls")]
        {
            handing.tls = self.tls.or_else(|| tls_of(listeners));
        }
        (handing, self.taking)
    }

    // ---- listening sockets ---------------------------------------------------------------------

    /// Notes the listening sockets of the other loops.
    pub(super) fn add_others<'a>(&mut self, listeners: impl Iterator<Item = &'a Listener>) -> io::Result<()> {
        if self.listener.is_some() {
            for listener in listeners {
                self.others.extend(offered(listener)?);
            }
        }
        Ok(())
    }

    /// Takes a socket of the old server that listens there. A port of 0 is any port.
    fn take(&mut self, is_meant: impl Fn(&str) -> bool) -> Option<OwnedFd> {
        let place = self.inherited.iter().position(|(address, _)| is_meant(address))?;
        Some(self.inherited.remove(place).1)
    }

    pub(super) fn listen_tcp(&mut self, addr: SocketAddr, options: &ListenOptions) -> io::Result<Listener> {
        let is_meant = |address: &str| {
            let address = address.parse::<SocketAddr>();
            address.is_ok_and(|other| other.ip() == addr.ip() && (addr.port() == 0 || other.port() == addr.port()))
        };
        match self.take(is_meant) {
            Some(socket) => Listener::from_tcp(TcpListener::from(socket), options),
            None => Listener::tcp(addr, options),
        }
    }

    pub(super) fn listen_unix(&mut self, path: &Path, options: &ListenOptions) -> io::Result<Listener> {
        let address = LocalAddr::Unix(std::path::absolute(path)?).to_string();
        match self.take(|other| other == address) {
            Some(socket) => Listener::inherited_unix(socket, path, options),
            None => Listener::unix(path, options),
        }
    }

    /// Listens on all that is left.
    pub(super) fn listen_on_rest(&mut self, options: &ListenOptions) -> io::Result<Vec<Listener>> {
        let rest = std::mem::take(&mut self.inherited);
        let listen = |(address, socket): (String, OwnedFd)| {
            if address.starts_with(PASSED) {
                return Listener::from_unix(UnixListener::from(socket), None, options);
            }
            match address.strip_prefix("unix:") {
                Some(path) => Listener::inherited_unix(socket, Path::new(path), options),
                None => Listener::from_tcp(TcpListener::from(socket), options),
            }
        };
        rest.into_iter().map(listen).collect()
    }

    /// Takes the socket of another loop on the same address, if the old server has one.
    pub(super) fn another(&mut self, like: &Listener, options: &ListenOptions) -> Option<io::Result<Listener>> {
        let LocalAddr::Tcp(addr) = like.local_addr().ok()? else { return None };
        let socket = self.take(|address| address.parse() == Ok(addr))?;
        Some(Listener::from_tcp(TcpListener::from(socket), options).map(|other| like.like(other)))
    }
}
