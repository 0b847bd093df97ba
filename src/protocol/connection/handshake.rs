//! Receives the opening handshake.

use super::error::CloseReason;
use super::shared::Shared;
use super::trace::{Side, Trace};
use super::{Connection, Event};
use crate::protocol::opening::{Rejection, Ticket, Unaccepted, head_end, not_http};
use crate::protocol::time::Tick;
use crate::protocol::wire::{Input, Role};
use std::borrow::Cow;

impl<X: Default> Connection<X> {
    /// Receives the opening handshake: a request, or the response to ours.
    // Not inline: messages take the other way, and a request takes two kilobytes of the stack.
    #[inline(never)]
    pub(super) fn receive_handshake<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Option<Event<'b>> {
        if self.is_receiving_body() {
            return self.receive_body(shared, now, input);
        }
        self.begin_request(now);
        match (self.receive_head(shared, now, input), self.role()) {
            (Ok(None), Role::Server) => None,
            (Ok(None), Role::Client) => {
                if let Some(bytes) = self.inbox.as_ref().and_then(|inbox| not_http(&inbox.head)) {
                    self.end(shared, CloseReason::Unaccepted(Unaccepted::NotHttp(bytes)));
                }
                None
            }
            (Ok(Some(head)), role) => {
                self.record(shared, || Trace::Handshake { side: Side::Peer, text: head.to_vec() });
                match role {
                    Role::Server => self.receive_request(shared, now, head),
                    Role::Client => self.receive_answer(shared, now, &head).map(Event::Opened),
                }
            }
            (Err(rejection), Role::Server) => {
                self.reject(shared, now, &Ticket::unreadable(), rejection);
                None
            }
            (Err(rejection), Role::Client) => {
                let head = self.inbox.as_ref().map_or(input.peek(), |inbox| &inbox.head);
                let why = match (not_http(head), rejection) {
                    (Some(bytes), _) => Unaccepted::NotHttp(bytes),
                    (None, Rejection::HeadTooLarge) => Unaccepted::BadResponse("its head is too large"),
                    (None, _) => Unaccepted::BadResponse("malformed"),
                };
                self.end(shared, CloseReason::Unaccepted(why));
                None
            }
        }
    }

    /// Handles a request whose head is complete. Returns it, unless its body is still to come.
    fn receive_request<'b>(&mut self, shared: &mut Shared, now: Tick, head: Cow<'b, [u8]>) -> Option<Event<'b>> {
        match self.begin_body(shared, now, &head) {
            Ok(true) => None,
            Ok(false) => {
                self.requested(shared);
                Some(Event::Request { head, body: Vec::new() })
            }
            Err(rejection) => {
                self.reject(shared, now, &Ticket::unreadable(), rejection);
                None
            }
        }
    }

    /// Receives a head, up to its empty line.
    fn receive_head<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Result<Option<Cow<'b, [u8]>>, Rejection> {
        let limit = shared.limits.max_head;
        let kept = self.inbox.as_ref().map_or(0, |inbox| inbox.head.len());
        let piece = &input.peek()[..input.len().min(limit.saturating_sub(kept))];
        if kept == 0 {
            if let Some(end) = head_end(piece, 0)? {
                return Ok(Some(Cow::Borrowed(input.take(end))));
            }
        }
        let mut inbox = shared.inbox(&mut self.inbox, now);
        if kept == 0 {
            inbox.begin_head();
        }
        inbox.head.extend_from_slice(piece);
        match head_end(&inbox.head, kept)? {
            Some(end) => {
                input.take(end - kept);
                inbox.head.truncate(end);
                let head = std::mem::take(&mut inbox.head);
                drop(inbox);
                self.release_inbox(shared);
                Ok(Some(Cow::Owned(head)))
            }
            None if inbox.head.len() >= limit => Err(Rejection::HeadTooLarge),
            None => {
                input.take_all();
                Ok(None)
            }
        }
    }
}
