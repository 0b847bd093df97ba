//! A simulated server hands over to the next one.

use super::simulation::Simulation;
use crate::server::app::Handler;
use crate::server::handover::HandoverError;

impl<H: Handler> Simulation<H> {
    /// Hands over to another server, as between two processes
    /// ([`Server::take_over`](crate::Server::take_over)): everything that goes along is written in
    /// the format of a handover and read again. `make` gets the old handler, and makes the new one.
    /// Peers notice nothing. No time passes.
    ///
    /// ```
    /// use lariat::sim::Simulation;
    /// use lariat::{ClientId, Clients, Config, Handler, Message, RestoreError};
    ///
    /// /// Counts messages.
    /// struct Count(u8);
    ///
    /// impl Handler for Count {
    ///     type Data = ();
    ///     fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, _: Message<'_>) {
    ///         self.0 += 1;
    ///         let _ = clients.send(id, &self.0.to_string());
    ///     }
    ///     fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
    ///         Some(vec![self.0])
    ///     }
    ///     fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
    ///         let [count] = saved else { return Err("not one byte".into()) };
    ///         self.0 = *count;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = Simulation::new(1, Config::default(), Count(0));
    /// let anna = server.connect("/");
    /// anna.send("a");
    /// server.run_until_idle();
    ///
    /// server.hand_over(|_| Count(0)).expect("it can be handed over");
    /// anna.send("b");
    /// server.run_until_idle();
    /// assert_eq!(anna.received_text(), ["1", "2"]);
    /// ```
    ///
    /// # Errors
    ///
    /// A [`HandoverError`], and nothing has changed, except that `make` may have been called:
    /// something would stay behind, the handler cannot save or restore, or there is a backplane.
    ///
    /// # Panics
    ///
    /// With several loops, or if the simulation has stopped.
    pub fn hand_over(&mut self, make: impl FnOnce(&mut H) -> H) -> Result<(), HandoverError> {
        self.hand_over_altered(make, |_, _| {})
    }

    /// Like [`hand_over`](Self::hand_over), but `alter` may change each message before it is read.
    /// It gets the number of the message, from 0 on. Bytes from another program may be anything.
    ///
    /// # Errors
    ///
    /// As [`hand_over`](Self::hand_over).
    ///
    /// # Panics
    ///
    /// As [`hand_over`](Self::hand_over).
    pub fn hand_over_altered(
        &mut self,
        make: impl FnOnce(&mut H) -> H,
        alter: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<(), HandoverError> {
        assert!(self.others.is_empty() && self.outcome.is_none(), "one loop that runs");
        let network = self.network.0;
        // Both servers have all sockets until one of them is dropped.
        network.with(|network| network.hands_over = true);
        let outcome = self.hand_over_to(make, alter);
        network.with(|network| network.hands_over = false);
        outcome
    }

    fn hand_over_to(
        &mut self,
        make: impl FnOnce(&mut H) -> H,
        alter: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<(), HandoverError> {
        let (mut recorded, left) = self.first.event_loop.record()?;
        if left > 0 {
            return Err(HandoverError::Unable(format!("{left} connections would stay behind")));
        }
        recorded.alter(alter);
        let handler = make(self.first.event_loop.handler_mut());
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.first = self.first.take_over(self.network.0, self.seed, handler, recorded)?;
        Ok(())
    }
}
