//! What the table reserves for a fixed number of connections.

use super::client::Extra;
use super::table::Table;
use crate::protocol::{Connection, Reserved};
use crate::server::data::ClientData;
use crate::server::reserve::Reserve;

/// The rare state of connections that come. Empty if nothing is reserved.
#[derive(Debug, Default)]
pub(super) struct ReservedExtras(Vec<Reserved<Extra>>);

impl ReservedExtras {
    /// Gives a new connection its rare state.
    pub(super) fn give(&mut self, connection: &mut Connection<Extra>) {
        if let Some(reserved) = self.0.pop() {
            if let Err(reserved) = connection.reserve(reserved) {
                self.0.push(reserved);
            }
        }
    }

    /// Takes it back from one that has ended.
    pub(super) fn take_back(&mut self, connection: &mut Connection<Extra>) {
        if let Some(mut reserved) = connection.take_reserved() {
            reserved.extra_mut().clear();
            self.0.push(reserved);
        }
    }
}

impl Extra {
    fn reserved(reserve: &Reserve) -> Extra {
        Extra {
            subscriptions: Vec::with_capacity(reserve.topics_per_client),
            timers: Vec::with_capacity(reserve.timers_per_client),
            ..Extra::default()
        }
    }

    /// Forgets everything, but keeps the lists.
    fn clear(&mut self) {
        let Extra { mut subscriptions, mut timers, .. } = std::mem::take(self);
        subscriptions.clear();
        timers.clear();
        *self = Extra { subscriptions, timers, ..Extra::default() };
    }
}

impl<D: ClientData> Table<D> {
    /// Reserves memory. The table must be empty.
    pub(crate) fn reserve(&mut self, reserve: &Reserve) {
        let places = reserve.places();
        self.slab.reserve(places);
        for queue in [&mut self.readable.waiting, &mut self.writable.waiting, &mut self.ended] {
            queue.reserve_exact(places);
        }
        self.timed.reserve(places);
        self.expect_route(0);
        self.counters_mut().reserve();
        self.timers.reserve(reserve.all_timers());
        // A map grows unless at least half of it is free.
        self.timer_extras.reserve(2 * reserve.all_timers());
        self.reserved.0 = (0..places).map(|_| Reserved::new(Extra::reserved(reserve))).collect();
    }

    /// Keeps a topic of a route, with room for all connections that are reserved.
    pub(crate) fn keep_topic(&mut self, route: u16, name: &str) {
        let connections = self.reserved.0.len();
        self.topics.keep(route, name, connections);
    }
}
