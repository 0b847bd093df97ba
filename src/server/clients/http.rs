//! Streamed HTTP responses.

use super::clients::Clients;
use crate::protocol::SendError;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::At;

impl<D: ClientData> Clients<D> {
    /// Queues a piece of the body of a response that was begun with
    /// [`HttpResponse::streamed`](crate::HttpResponse::streamed). All pieces of a turn are sent in
    /// one write. [`on_drain`](crate::Handler::on_drain) reports when unsent bytes, which were above
    /// [`high_water`](crate::Limits::high_water), no longer are.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`]; [`SendError::NotOpen`] if no response is being streamed to this client;
    /// [`SendError::Full`] if more than [`max_unsent`](crate::Limits::max_unsent) bytes would be
    /// unsent, which ends the connection.
    pub fn send_body(&mut self, id: ClientId, piece: impl AsRef<[u8]>) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.send_body(shared, piece.as_ref());
        self.queued(index, outcome)
    }

    /// Ends the body of a streamed response. The connection closes when all of it has been sent.
    /// To end the connection without a complete body, use [`terminate`](Self::terminate): the client
    /// gets a reset.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`]; [`SendError::NotOpen`] if no response is being streamed to this client.
    pub fn end_body(&mut self, id: ClientId) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, now, .. } = self.table.at(index);
        client.connection.end_body(shared, now)?;
        self.table.settle(index);
        self.relieve();
        Ok(())
    }

    /// Ends a streamed response because the server stops. The peer sees that the body is not
    /// complete.
    pub(crate) fn break_off_body(&mut self, id: ClientId) {
        let Some(index) = self.find(id) else { return };
        let At { client, shared, now, .. } = self.table.at(index);
        client.connection.break_off_body(shared, now);
        self.table.settle(index);
    }
}
