//! Traces: every step of a connection, for handlers that ask for it.

use super::clients::Clients;
use crate::protocol::Connection;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::observe::Logged;
use crate::server::table::Extra;

#[cfg(feature = "tls")]
use crate::server::table::At;

/// Whether the log reports what the connection has sent and received.
fn is_logged(connection: &Connection<Extra>) -> bool {
    connection.extra().is_some_and(|extra| extra.logged.is_some())
}

impl<D: ClientData> Clients<D> {
    /// Traces a client of any route: [`on_trace`](crate::Handler::on_trace) of the handler that asks
    /// gets every step of this connection. If called in
    /// [`on_request`](crate::Handler::on_request), the trace begins with the request. Messages
    /// already read in the same batch are not traced. Returns `false` if the client has
    /// disconnected.
    ///
    /// With TLS, the handshake has mostly passed before anybody can ask. So what was agreed in it
    /// is the first step of the trace whenever that begins, as `Trace::Secured`. A handler that
    /// joins the trace of another one does not get it again; `Clients::tls` has the same.
    pub fn trace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        #[cfg(feature = "tls")]
        let begins = !self.is_listened_to(index);
        let connection = &mut self.table[index].connection;
        connection.trace(Some(id.to_u64()));
        let traced_by = &mut connection.extra_mut().traced_by;
        if !traced_by.contains(&route) {
            traced_by.push(route);
        }
        #[cfg(feature = "tls")]
        if begins {
            self.record_secured(index);
        }
        true
    }

    /// Ends [`trace`](Self::trace) for the handler that asks. Returns `false` if the client has
    /// disconnected.
    pub fn untrace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        let connection = &mut self.table[index].connection;
        let traced_by = &mut connection.extra_mut().traced_by;
        traced_by.retain(|other| *other != route);
        if traced_by.is_empty() && self.trace_new.is_none() && !is_logged(connection) {
            connection.trace(None);
        }
        true
    }

    /// Traces every new client, including its TLS handshake and its opening handshake. The handler
    /// of its route gets the trace.
    pub fn trace_all(&mut self) {
        self.trace_new = Some(Connection::trace);
    }

    /// Ends [`trace_all`](Self::trace_all) and every [`trace`](Self::trace), also of clients that
    /// are connected.
    pub fn untrace_all(&mut self) {
        self.trace_new = None;
        for (_, client) in self.table.iter_mut().filter(|(_, client)| client.connection.is_traced()) {
            client.connection.extra_mut().traced_by.clear();
            if !is_logged(&client.connection) {
                client.connection.trace(None);
            }
        }
    }

    /// Counts what a new connection sends and receives, for the log. Its trace reports each frame.
    #[cold]
    pub(crate) fn log_new(&mut self, index: usize) {
        let now = self.table.clock().now_nanos();
        let client = &mut self.table[index];
        let label = client.id(index).to_u64();
        client.connection.trace(Some(label));
        client.connection.extra_mut().logged = Some(Box::new(Logged::new(now)));
    }

    /// Whether some handler traces a client. The log alone does not count: it reports TLS itself.
    #[cfg(feature = "tls")]
    fn is_listened_to(&self, index: usize) -> bool {
        self.table[index].connection.is_traced() && !self.listeners_to(index).is_empty()
    }

    /// Records the end of a client's TLS handshake, if a handler traces it.
    #[cfg(feature = "tls")]
    pub(crate) fn record_secured(&mut self, index: usize) {
        let info = self.table.sessions().info(index).cloned();
        if let Some(info) = info.filter(|_| self.is_listened_to(index)) {
            let At { client, shared, .. } = self.table.at(index);
            client.connection.record_secured(shared, info);
        }
    }

    /// Returns the routes whose handlers trace a client.
    pub(crate) fn listeners_to(&self, index: usize) -> Vec<u16> {
        let client = &self.table[index];
        let mut routes = client.connection.extra().map_or_else(Vec::new, |extra| extra.traced_by.clone());
        if self.trace_new.is_some() && !routes.contains(&client.route) {
            routes.push(client.route);
        }
        routes
    }
}
