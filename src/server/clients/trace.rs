//! Who is told a client's story?

use super::clients::Clients;
use crate::protocol::Connection;
use crate::server::id::ClientId;

impl<D> Clients<D> {
    /// From now on, [`on_trace`](crate::Handler::on_trace) of the handler that asks for it is told
    /// what happens on this client's connection, on whichever route that is; if it is asked for
    /// in [`on_request`](crate::Handler::on_request), from the request on. Short messages that
    /// have come in the same read as the one being handled are not told any more. `false`: it
    /// is gone.
    pub fn trace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        let connection = &mut self.table[index].connection;
        connection.trace(Some(id.to_u64()));
        let traced_by = &mut connection.extra_mut().traced_by;
        if !traced_by.contains(&route) {
            traced_by.push(route);
        }
        true
    }

    /// Ends [`trace`](Self::trace), for the handler that asks. `false`: it is gone.
    pub fn untrace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        let connection = &mut self.table[index].connection;
        let traced_by = &mut connection.extra_mut().traced_by;
        traced_by.retain(|other| *other != route);
        if traced_by.is_empty() && self.trace_new.is_none() {
            connection.trace(None);
        }
        true
    }

    /// Every client that comes from now on is traced, its opening handshake included, and the
    /// handler of its route is told.
    pub fn trace_all(&mut self) {
        self.trace_new = Some(Connection::trace);
    }

    /// Ends [`trace_all`](Self::trace_all) and every [`trace`](Self::trace), for those who are here
    /// as well.
    pub fn untrace_all(&mut self) {
        self.trace_new = None;
        for (_, client) in self.table.iter_mut().filter(|(_, client)| client.connection.is_traced()) {
            client.connection.trace(None);
            client.connection.extra_mut().traced_by.clear();
        }
    }

    /// The routes whose handlers are told the story of a client.
    pub(crate) fn listeners_to(&self, index: usize) -> Vec<u16> {
        let client = &self.table[index];
        let mut routes = client.connection.extra().map_or_else(Vec::new, |extra| extra.traced_by.clone());
        if self.trace_new.is_some() && !routes.contains(&client.route) {
            routes.push(client.route);
        }
        routes
    }
}
