//! Replaces `secured` in a build without the feature `tls`: no client has a session.

use super::engine::Engine;
use crate::protocol::CloseReason;
use crate::server::app::Handler;
use crate::server::net::Arrival;
use crate::server::table::At;

impl<H: Handler> Engine<H> {
    pub(super) const fn begin_secured(&mut self) {}

    pub(super) const fn secure(&mut self, _: usize, _: &Arrival) {}

    pub(super) const fn secure_after_header(&mut self, _: usize, _: &mut [u8]) -> bool {
        false
    }

    pub(super) const fn secure_outgoing(&mut self, _: usize) {}

    pub(super) const fn read_secured(&mut self, _: usize) -> Option<usize> {
        None
    }

    pub(super) const fn cut_off(&self, _: usize) -> Option<CloseReason> {
        None
    }

    pub(super) const fn has_begun_session(&self, _: usize) -> bool {
        false
    }

    pub(super) fn receive_end(&mut self, index: usize) {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        client.connection.receive_eof(shared, now);
    }

    pub(super) const fn write_secured(&mut self, _: usize) -> bool {
        false
    }
}
