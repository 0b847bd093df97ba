//! Addresses of clients behind proxies.
//!
//! An address from a proxy counts only if the proxy is one of
//! [`trusted_proxies`](crate::Config::trusted_proxies). On a listener with the PROXY protocol,
//! every connection must begin with its header. In HTTP, the address comes from `X-Forwarded-For`
//! or `Forwarded`.

use super::engine::Engine;
use crate::protocol::forwarded::{TrustedProxies, client_address};
use crate::protocol::proxy::{self, ProxyHeader};
use crate::protocol::{CloseReason, Rejection, Request, State, Ticket};
use crate::server::app::Handler;
use crate::server::clients::Verdict;
use crate::server::config::{Config, ForwardedHeader};
use crate::server::data::ClientData;
use crate::server::net::Arrival;
use crate::server::observe::Reports;
use crate::server::table::{At, Client, Flags};
use http::StatusCode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The proxies to trust, and the header to read.
#[derive(Debug)]
pub(crate) struct Trust {
    proxies: TrustedProxies,
    header: ForwardedHeader,
    /// Connections without a valid PROXY header.
    bad_headers: Reports,
}

impl Trust {
    pub(crate) fn new(config: &Config) -> Trust {
        Trust {
            proxies: config.trusted_proxies.clone(),
            header: config.forwarded_header,
            bad_headers: Reports::default(),
        }
    }

    /// Connections without a valid PROXY header.
    pub(super) const fn bad_headers(&mut self) -> &mut Reports {
        &mut self.bad_headers
    }
}

/// Returns the address of a connection's peer. The peer of a Unix socket is on this host, so it
/// counts as 127.0.0.1.
fn peer_ip<D: ClientData>(client: &Client<D>) -> IpAddr {
    client.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip())
}

impl<H: Handler> Engine<H> {
    /// Refuses a new connection if its address has too many. Behind a proxy, the address is known
    /// later.
    pub(super) fn limit_new_connection(&mut self, index: usize, arrival: &Arrival) {
        if !self.clients.admission.counts_addresses() {
            return;
        }
        let client = &self.clients.table[index];
        let Some(peer) = client.peer_addr() else { return };
        if !arrival.is_proxied && !self.trust.proxies.contains(peer.ip()) {
            self.limit_address(index, peer.ip(), !arrival.is_secured());
        }
    }

    /// Counts a connection's address, and refuses the connection if the address has too many. An
    /// answer through TLS would need a handshake, which costs more than it is worth, so such a
    /// connection is dropped.
    fn limit_address(&mut self, index: usize, address: IpAddr, can_answer: bool) {
        let mut verdict = self.clients.count_address(index, address);
        if verdict == Verdict::Refused && !can_answer {
            verdict = Verdict::Dropped;
        }
        let At { client, shared, counters, now, .. } = self.clients.table.at(index);
        let connection = &mut client.connection;
        match verdict {
            Verdict::Admitted => return,
            Verdict::Refused => {
                connection.reject(shared, now, &Ticket::unreadable(), Rejection::TooManyConnections);
            }
            Verdict::Dropped => {
                connection.end(shared, CloseReason::Refused(StatusCode::TOO_MANY_REQUESTS));
                counters.turned_away += 1;
            }
        }
        self.clients.table.settle(index);
    }

    /// Refuses an upgrade through an HTTP proxy if the address that the proxy reported has too
    /// many.
    pub(super) fn limit_forwarded(&mut self, index: usize) -> Option<Rejection> {
        if !self.clients.admission.counts_addresses() || self.trust.proxies.is_empty() {
            return None;
        }
        let address = self.clients.table[index].connection.extra()?.proxied?.ip();
        (self.clients.count_address(index, address) != Verdict::Admitted).then_some(Rejection::TooManyConnections)
    }

    /// Receives bytes of a connection whose PROXY header is not complete. What follows the header
    /// comes from the client.
    pub(crate) fn receive_proxied(&mut self, index: usize, bytes: &[u8]) {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let peer = peer_ip(client);
        let header = &mut client.connection.extra_mut().proxy_header;
        header.extend_from_slice(bytes);
        let is_trusted = self.trust.proxies.contains(peer);
        let decoded = if is_trusted { proxy::decode(header) } else { Err(proxy::ProxyError::NoHeader) };
        match decoded {
            Ok(None) => {}
            Ok(Some((decoded, length))) => {
                let mut received = std::mem::take(header);
                client.flags.clear(Flags::WRAPPED);
                if let ProxyHeader::Proxied { source } = decoded {
                    let extra = client.connection.extra_mut();
                    (extra.proxied, extra.by_proxy_header) = (Some(source), Some(source));
                    let can_answer = !extra.awaits_tls();
                    self.limit_address(index, source.ip(), can_answer);
                }
                let rest = &mut received[length..];
                let may_begin = self.clients.table[index].connection.state() == State::Handshaking;
                if may_begin && !self.secure_after_header(index, rest) {
                    self.deliver(index, rest);
                }
            }
            Err(error) => {
                let why =
                    if is_trusted { error.to_string() } else { "its address is not one of trusted_proxies".to_owned() };
                log::debug!("{} is dropped, no valid PROXY header: {why}", client.id(index));
                if let Some(count) = self.trust.bad_headers.count(now) {
                    log::warn!(
                        "connections dropped without a valid PROXY header: {count}; the last from {peer}: {why}"
                    );
                }
                client.connection.end(shared, CloseReason::BadProxyHeader);
            }
        }
    }

    /// Remembers the address that a trusted HTTP proxy reports. A proxy can send requests of many
    /// clients over one connection, so nothing is left of the request before.
    pub(crate) fn note_forwarded(&mut self, index: usize, request: &Request<'_>) {
        if self.trust.proxies.is_empty() {
            return;
        }
        let client = &mut self.clients.table[index];
        let known = client.connection.extra().and_then(|extra| extra.by_proxy_header);
        let peer = known.map_or_else(|| peer_ip(client), |known| known.ip());
        let none = std::iter::empty;
        let address = match self.trust.header {
            ForwardedHeader::XForwardedFor => {
                client_address(peer, &self.trust.proxies, none(), request.values("x-forwarded-for"))
            }
            ForwardedHeader::Forwarded => {
                client_address(peer, &self.trust.proxies, request.values("forwarded"), none())
            }
        };
        let proxied = address.map(|address| SocketAddr::new(address, 0)).or(known);
        if proxied.is_some() || client.connection.extra().is_some() {
            client.connection.extra_mut().proxied = proxied;
        }
    }
}
