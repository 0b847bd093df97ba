//! New connections: those that wait at the listeners, and those that other loops have accepted.

use super::event_loop::EventLoop;
use crate::parts::LOOPS;
use crate::server::app::Handler;
use crate::server::clients::Handed;
use crate::server::net::{Socket, is_exhaustion};
use std::io;
use std::time::Duration;

/// The pause before accepting is tried again after descriptors have run out.
const RETRY_ACCEPT: Duration = Duration::from_millis(100);

impl<H: Handler> EventLoop<H> {
    /// Accepts connections until none is left, or the turn's share is used up.
    pub(super) fn accept(&mut self) {
        if self.accept_again.is_some_and(|again| !again.is_due(self.engine.clients.table.now())) {
            return;
        }
        // If accepting fails again, `exhausted` sets another pause.
        let is_retry = self.accept_again.take().is_some();
        if self.has_new_connections {
            self.accept_waiting(is_retry);
            self.has_new_connections = self.listeners.iter().any(|listener| listener.ready);
        }
    }

    #[inline(never)]
    fn accept_waiting(&mut self, is_retry: bool) {
        let mut share = self.accepts_per_turn;
        for index in 0..self.listeners.len() {
            while self.listeners[index].ready && share > 0 && self.engine.clients.has_place() {
                share -= 1;
                match self.listeners[index].accept() {
                    Ok(socket) => {
                        let Some(socket) = self.hand_on(index, socket) else { continue };
                        // Before the table takes its place, so that small blocks lie together.
                        self.make_read_buffer();
                        let poller = &self.poller;
                        let watch = |socket: &mut _, client| poller.watch(socket, client);
                        self.engine.accept(socket, &self.listeners[index].arrival, watch);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.listeners[index].ready = false,
                    Err(error) if is_exhaustion(&error) => {
                        self.exhausted(index, &error, is_retry);
                        return;
                    }
                    // The peer has already closed (such as ECONNABORTED): go on to the next.
                    Err(error) => {
                        self.engine.clients.table.counters_mut().accept_errors += 1;
                        log::debug!("accept: {error}");
                    }
                }
            }
        }
    }

    /// Gives a new connection to another loop, if that has fewer. Returns it if not.
    fn hand_on(&self, listener: usize, socket: Socket) -> Option<Socket> {
        let listener = &self.listeners[listener];
        if !LOOPS.is_used() || listener.is_one_of_several() {
            return Some(socket);
        }
        self.engine.clients.hand_on(socket, &listener.arrival)
    }

    /// Serves the connections that other loops have given to this one.
    pub(super) fn accept_handed(&mut self) {
        for handed in self.engine.clients.take_handed() {
            let poller = &self.poller;
            let watch = |socket: &mut _, client| poller.watch(socket, client);
            match handed {
                Handed::New { socket, arrival } => self.engine.accept(socket, &arrival, watch),
                Handed::Asking(asking) => self.engine.take_over(*asking, watch),
            }
        }
    }

    /// Handles that descriptors or memory have run out: turns waiting connections away, and pauses
    /// accepting.
    #[cold]
    fn exhausted(&mut self, index: usize, error: &io::Error, is_retry: bool) {
        if !is_retry {
            let clients = self.engine.clients.len_all();
            log::error!(
                "new connections are turned away, with {clients} clients open: {error}. `ulimit -n` sets the limit."
            );
        }
        let counters = self.engine.clients.table.counters_mut();
        counters.accept_errors += 1;
        for _ in 0..self.accepts_per_turn {
            if !self.spare.turn_away(&self.listeners[index]) {
                break;
            }
            counters.turned_away += 1;
        }
        self.accept_again = Some(self.engine.clients.table.now().after(RETRY_ACCEPT));
    }
}
