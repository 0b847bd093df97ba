//! Requests that another loop of the server answers.
//!
//! The application says so before its `on_request` is called, and so before it knows the client. At
//! the end of the turn, the connection goes to the other loop with its request, and gets a new id
//! there.

use super::engine::Engine;
use crate::protocol::{Connection, Rejection, Request, Role, State, Ticket};
use crate::server::app::Handler;
use crate::server::clients::{Asking, Leaving, OwnedRequest};
use crate::server::net::Socket;
use crate::server::table::At;
#[cfg(feature = "tls")]
use crate::server::table::Flags;
use std::io;

impl<H: Handler> Engine<H> {
    /// Notes that a client leaves with its request, if another loop is to answer it. Returns
    /// whether that is settled, so that the request is not to be answered here.
    pub(super) fn leaves_with(&mut self, index: usize, request: &Request<'_>, head: &[u8]) -> bool {
        let loops = self.clients.loops();
        if loops == 1 || self.clients.is_arriving(self.clients.table[index].id(index)) {
            return false;
        }
        let mut chosen = None;
        self.call(index, |handler, clients, _| chosen = Some(handler.choose_loop(clients, request)));
        let rejection = match chosen {
            // The handler has panicked.
            None => Rejection::BadAnswer("internal error"),
            Some(None) => return false,
            Some(Some(number)) if number % loops == self.clients.loop_number() => return false,
            Some(Some(number)) if self.clients.takes_request(number % loops) => {
                let request = OwnedRequest { head: head.to_vec(), body: request.body().to_vec() };
                let id = self.clients.table[index].id(index);
                self.clients.leaves(Leaving { id, number: number % loops, request });
                return true;
            }
            // The other loop has stopped, or is far behind.
            Some(Some(_)) => Rejection::Unavailable,
        };
        let At { client, shared, now, .. } = self.clients.table.at(index);
        client.connection.reject(shared, now, &Ticket::new(request), rejection);
        true
    }

    /// Gives the clients that leave to their next loops. `unwatch` takes a socket from the poller.
    #[inline]
    pub(crate) fn let_leave(&mut self, unwatch: impl Fn(&mut Socket) -> io::Result<()>) {
        if self.clients.is_any_leaving() {
            self.let_all_leave(unwatch);
        }
    }

    #[inline(never)]
    fn let_all_leave(&mut self, unwatch: impl Fn(&mut Socket) -> io::Result<()>) {
        for Leaving { id, number, request } in self.clients.take_leaving() {
            self.deliver_traces();
            let Some(index) = self.clients.find(id) else { continue };
            let client = &mut self.clients.table[index];
            if client.connection.state() != State::Deciding {
                // It has ended since, or was refused for lack of memory.
                continue;
            }
            if let Err(error) = unwatch(client.socket.open(&self.key)) {
                self.broke(index, error.kind());
                self.clients.table.settle(index);
                continue;
            }
            log::debug!("{id} goes to loop {number} with its request");
            let socket = std::mem::replace(client.socket.open(&self.key), Socket::Unconnected);
            self.clients.hand_request(index, number, socket, request);
            self.clients.remove(&self.key, index);
        }
    }

    /// Answers the request of a client that comes from another loop. `watch` registers its socket
    /// with the poller.
    pub(crate) fn take_over(&mut self, asking: Asking, watch: impl FnOnce(&mut Socket, usize) -> io::Result<()>) {
        let Asking { socket, request, rest, proxied, by_proxy_header, group, .. } = asking;
        let connection = Connection::new(Role::Server, self.clients.table.now().before(rest.waited));
        let index = self.clients.insert(socket, connection);
        if let Some(group) = group {
            self.clients.admission.set_group(index, group);
        }
        let At { client, shared, now, .. } = self.clients.table.at(index);
        if proxied.is_some() || by_proxy_header.is_some() {
            let extra = client.connection.extra_mut();
            (extra.proxied, extra.by_proxy_header) = (proxied, by_proxy_header);
        }
        client.connection.go_on_undecided(shared, now, &rest);
        #[cfg(feature = "tls")]
        if let Some(session) = asking.session {
            client.flags.set(Flags::WRAPPED);
            self.clients.table.put_session(index, session);
        }
        let address = self.clients.shown_address(index);
        log::debug!("{} came from another loop, connected from {address}", self.clients.table[index].id(index));
        if let Err(error) = watch(self.clients.table[index].socket.open(&self.key), index) {
            log::error!("cannot register a connection of another loop with the poller: {error}");
            return self.abandon(index);
        }
        let id = self.clients.table[index].id(index);
        self.clients.set_arriving(Some(id));
        self.request(index, &request.head, &request.body);
        self.clients.set_arriving(None);
        self.report_refusal(index);
        // What has arrived behind the request is handled next.
        self.clients.table.queue_read(index);
        self.clients.table.settle(index);
        self.deliver_traces();
        self.clients.relieve();
    }
}
