//! Memory that is reserved for a fixed number of connections.

use super::clients::Clients;
use crate::server::data::ClientData;
use crate::server::reserve::Reserve;

impl<D: ClientData> Clients<D> {
    /// Reserves memory, before any client has connected.
    pub(super) fn reserve(&mut self, reserve: &Reserve, read_buffer: usize) {
        self.places = reserve.places();
        self.max_connections = self.max_connections.min(reserve.connections);
        self.table.shared_mut().reserve(self.places, read_buffer);
        self.table.reserve(reserve);
        self.admission.reserve(self.places);
        self.rates.reserve(self.places);
    }

    /// Returns whether one more connection can be accepted. If memory is reserved, others wait.
    #[inline]
    pub(crate) fn has_place(&self) -> bool {
        self.table.len() < self.places
    }

    /// Keeps a topic of the handler's route when its last member leaves. With a
    /// [`reserve`](crate::Config::reserve), it has room for all connections, so that joining and
    /// leaving allocate nothing. Call it in [`on_start`](crate::Handler::on_start).
    pub fn keep_topic(&mut self, topic: &str) {
        self.table.keep_topic(self.route, topic);
    }
}
