//! Timers of the application.

use super::clients::Clients;
use crate::server::data::ClientData;
use crate::server::id::{ClientId, TimerId};
use std::time::Duration;

impl<D: ClientData> Clients<D> {
    /// Reads the clock: returns the time since the server was made. It never runs backwards. In a
    /// simulation, it is the simulated time (`Simulation::elapsed`), so a handler that uses it can
    /// be tested.
    ///
    /// ```
    /// # use lariat::{ClientId, Clients};
    /// # use std::time::Duration;
    /// /// Whether a client may throw the dice again. Its data is when it last did.
    /// fn may_throw(clients: &mut Clients<Option<Duration>>, id: ClientId) -> bool {
    ///     let now = clients.now();
    ///     let Some(last) = clients.data_mut(id) else { return false };
    ///     let may = last.is_none_or(|last| now - last >= Duration::from_secs(3));
    ///     if may {
    ///         *last = Some(now);
    ///     }
    ///     may
    /// }
    /// ```
    pub fn now(&self) -> Duration {
        self.table.clock().elapsed()
    }

    /// Calls `on_timer` once, with this token, when `after` has passed since this call. Never
    /// earlier, and less than two milliseconds later if the loop has nothing else to do. With zero,
    /// it is called as soon as the loop next calls timers.
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.table.set_timer(after, None, token, self.route)
    }

    /// Calls `on_timer` with this token again and again. The times of the calls lie exactly a
    /// `period` apart, which is at least a millisecond: the first is a period after this call, and
    /// a call that comes late does not delay the others. None comes early.
    ///
    /// If the loop is late by no more than 20 ms, it makes all calls. If it is later, because a
    /// handler took long or the process was stopped, it makes one call for all times that have
    /// passed, and the next at its own time.
    pub fn set_interval(&mut self, period: Duration, token: u64) -> TimerId {
        let period = period.max(Duration::from_millis(1));
        self.table.set_timer(period, Some(period), token, self.route)
    }

    /// As [`set_timer`](Self::set_timer), for one client: calls
    /// [`on_client_timer`](crate::Handler::on_client_timer) with the client, unless it has
    /// disconnected by then. The timer ends with its client. Returns `None` if the client has
    /// disconnected.
    ///
    /// ```
    /// use lariat::{ClientId, Clients, CloseCode, Handler, Message, TimerId};
    /// use std::time::Duration;
    ///
    /// struct Login;
    ///
    /// impl Handler for Login {
    ///     /// The timer of a client that has not sent its name yet.
    ///     type Data = Option<TimerId>;
    ///     fn on_open(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) {
    ///         let Some(mut client) = clients.get(id) else { return };
    ///         let timer = client.set_timer(Duration::from_secs(10), 0);
    ///         *client.data_mut() = Some(timer);
    ///     }
    ///     fn on_message(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, _: Message<'_>) {
    ///         if let Some(timer) = clients.data_mut(id).and_then(Option::take) {
    ///             clients.cancel_timer(timer);
    ///         }
    ///     }
    ///     fn on_client_timer(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, _: TimerId, _: u64) {
    ///         let _ = clients.close(id, CloseCode::Policy, "send your name within ten seconds");
    ///     }
    /// }
    /// ```
    pub fn set_client_timer(&mut self, id: ClientId, after: Duration, token: u64) -> Option<TimerId> {
        let index = self.find(id)?;
        Some(self.table.set_client_timer(index, after, None, token))
    }

    /// As [`set_interval`](Self::set_interval), for one client: calls
    /// [`on_client_timer`](crate::Handler::on_client_timer) with the client, until it has
    /// disconnected. Returns `None` if that is so already.
    pub fn set_client_interval(&mut self, id: ClientId, period: Duration, token: u64) -> Option<TimerId> {
        let index = self.find(id)?;
        let period = period.max(Duration::from_millis(1));
        Some(self.table.set_client_timer(index, period, Some(period), token))
    }

    /// Cancels a timer. Returns `false` if it has expired or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.table.cancel_timer(timer)
    }
}
