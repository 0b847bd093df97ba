//! What a simulated loop hands over: the messages that a process would get, in their format, and
//! the sockets.

use super::event_loop::EventLoop;
use super::handover::{Incoming, tell_loop};
use crate::server::app::Handler;
use crate::server::handover::{HandoverError, Message, decode};
use crate::server::net::{Listener, Socket};
use std::collections::VecDeque;

/// The messages of a loop.
#[derive(Debug)]
pub(crate) struct Recorded {
    messages: VecDeque<(Vec<u8>, VecDeque<Socket>)>,
}

impl Recorded {
    /// Lets something happen to each message.
    pub(crate) fn alter(&mut self, mut alter: impl FnMut(usize, &mut Vec<u8>)) {
        self.messages.iter_mut().enumerate().for_each(|(number, (bytes, _))| alter(number, bytes));
    }
}

impl Incoming for Recorded {
    fn next(&mut self) -> Result<(Message, VecDeque<Socket>), HandoverError> {
        let next = self.messages.pop_front();
        let (bytes, sockets) = next.ok_or_else(|| HandoverError::Malformed("too few messages".to_owned()))?;
        Ok((decode(&bytes)?, sockets))
    }

    fn received(&mut self) -> Result<(), HandoverError> {
        Ok(())
    }
}

impl<H: Handler> EventLoop<H> {
    /// Records what another process would get. Also returns how many connections would stay behind.
    pub(crate) fn record(&mut self) -> Result<(Recorded, usize), HandoverError> {
        self.do_what_is_asked(Ok)?;
        let (mut messages, mut moved) = (VecDeque::new(), Vec::new());
        let now = self.poller.now();
        self.engine.clients.table.begin_turn(now);
        let frozen = now.elapsed().as_nanos() as u64;
        let counts = tell_loop(&mut self.engine, frozen, &mut moved, |message, engine, indexes| {
            let bytes = minicbor::to_vec(message).map_err(|error| HandoverError::Unable(error.to_string()))?;
            let sockets = indexes.iter().filter_map(|index| engine.clients.table[*index].simulated_socket_again());
            messages.push_back((bytes, sockets.collect()));
            Ok(())
        })?;
        Ok((Recorded { messages }, counts.left))
    }

    /// Returns the simulated listeners once more.
    pub(crate) fn listeners_again(&self) -> Vec<Listener> {
        self.listeners.iter().filter_map(Listener::simulated_again).collect()
    }
}
