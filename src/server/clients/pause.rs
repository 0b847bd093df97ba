//! Backpressure by the application: pausing clients.

use super::clients::Clients;
use crate::protocol::State;
use crate::server::data::ClientData;
use crate::server::id::ClientId;

impl<D: ClientData> Clients<D> {
    /// Pauses a client: stops reading from it, until [`resume`](Self::resume). Use it to hold back
    /// a client whose messages cannot be handled or forwarded as fast as they come. The peer's
    /// kernel then holds the peer back (TCP flow control).
    ///
    /// Returns `false` if the client is closing or has disconnected, or if an HTTP response is
    /// being sent to it: no request is read meanwhile.
    ///
    /// # While a client is paused
    ///
    /// * **No event is delivered.** A pause takes effect with the next message, also in the middle
    ///   of several that have arrived together. Those are kept, at most
    ///   [`read_buffer`](crate::Config::read_buffer) bytes for each paused client, which the
    ///   [`memory_budget`](crate::Config::memory_budget) counts.
    /// * **Messages can be sent** and are written as always. `on_drain` is called.
    /// * **Control frames wait** with the messages, in order. So the peer's pings are not answered,
    ///   and its Close frame is not seen.
    /// * **The peer's silence does not count**: neither
    ///   [`idle_timeout`](crate::Limits::idle_timeout) nor
    ///   [`message_timeout`](crate::Limits::message_timeout) ends the connection. Both begin again
    ///   when it is resumed. Pings are sent, so proxies do not take the connection for idle.
    ///   [`write_timeout`](crate::Limits::write_timeout) and
    ///   [`max_lifetime`](crate::Limits::max_lifetime) apply.
    /// * **The end of the stream is noticed late**: when the client is resumed, or when a write
    ///   fails.
    /// * **Closing ends the pause**: [`close`](Self::close) and a shutdown wait for the peer's Close
    ///   frame and drop the messages before it, also the ones that were kept.
    ///
    /// Before `on_open`, the opening handshake goes on and the pause begins with the first message.
    /// A client can be paused in `on_open`. Pauses are not counted: one `resume` ends them.
    ///
    /// ```
    /// # use lariat::{ClientId, Clients, Handler, Message};
    /// struct Jobs;
    ///
    /// impl Handler for Jobs {
    ///     /// Jobs that have not been answered.
    ///     type Data = u32;
    ///     fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
    ///         # let hand_to_a_thread = |_, _| ();
    ///         hand_to_a_thread(id, message);
    ///         let Some(jobs) = clients.data_mut(id) else { return };
    ///         *jobs += 1;
    ///         if *jobs == 16 {
    ///             clients.pause(id);
    ///         }
    ///     }
    /// }
    ///
    /// fn answered(clients: &mut Clients<u32>, id: ClientId, answer: &str) {
    ///     let Some(jobs) = clients.data_mut(id) else { return };
    ///     *jobs -= 1;
    ///     let _ = clients.send(id, answer);
    ///     clients.resume(id);
    /// }
    /// ```
    pub fn pause(&mut self, id: ClientId) -> bool {
        let Some(index) = self.find(id) else { return false };
        match self.table[index].connection.state() {
            State::Handshaking | State::Deciding | State::Open => {
                self.table.pause(index);
                true
            }
            State::Closing | State::Draining | State::Flushing | State::Responding | State::Closed => false,
        }
    }

    /// Ends a [`pause`](Self::pause). What was kept is delivered in the next turn, in order, then
    /// the client is read again. Returns `false` if the client was not paused.
    pub fn resume(&mut self, id: ClientId) -> bool {
        self.find(id).is_some_and(|index| self.table.resume(index))
    }

    /// Returns whether the client is [paused](Self::pause).
    pub fn is_paused(&self, id: ClientId) -> bool {
        self.find(id).is_some_and(|index| self.table[index].connection.is_paused())
    }

    /// Goes on reading from a client while more than [`high_water`](crate::Limits::high_water)
    /// bytes for it are unsent.
    ///
    /// Usually such a client is not read, so that one that only sends and never reads is stopped.
    /// An application that forwards messages stops it in another way: it pauses the client from
    /// which the unsent bytes came. If the loop stopped reading as well, two servers that forward
    /// to each other could wait for each other forever.
    ///
    /// The client is still closed at [`max_unsent`](crate::Limits::max_unsent).
    pub fn read_above_high_water(&mut self, id: ClientId) {
        if let Some(index) = self.find(id) {
            self.table[index].connection.extra_mut().reads_above_high_water = true;
        }
    }
}
