//! HTTP beside WebSocket: the bodies of requests, further requests, and streamed responses.
//!
//! ```text
//!             request                   answer                  all is sent
//!  Handshaking ─────► Deciding ──────────────────► Responding ─────────────► Handshaking
//!      │ ▲               │                             │
//!      └─┘ body          │ the last response           │ a streamed body has ended
//!                        ▼                             ▼
//!                     Draining                      Draining
//! ```
//!
//! Requests that arrive while a response is sent are held, or left in the socket, so responses keep
//! the order of their requests, and a client cannot make the server hold more than one.

use super::error::{CloseReason, SendError};
use super::shared::Shared;
use super::{Connection, Event, SHARE_FROM, State};
use crate::parts::HTTP;
use crate::protocol::opening::{After, Body, Bytes, Framing, HttpResponse, Rejection, Request, Ticket};
use crate::protocol::time::Tick;
use crate::protocol::wire::Input;
use http::StatusCode;
use std::borrow::Cow;
use std::io::Write;

/// A response that is being sent, after which something follows on the connection.
#[derive(Debug)]
pub(super) struct Responding {
    pub(super) status: StatusCode,
    /// What follows: another request, or more of the body.
    after: After,
}

impl<X: Default> Connection<X> {
    // ---- requests ------------------------------------------------------------------------------

    /// Begins to receive the body of the request with this head. Returns `false` if it has none.
    ///
    /// # Errors
    ///
    /// The body is not accepted.
    pub(super) fn begin_body(&mut self, shared: &mut Shared, now: Tick, head: &[u8]) -> Result<bool, Rejection> {
        if head.starts_with(b"GET ") || head.starts_with(b"HEAD ") {
            return Ok(false);
        }
        // If it is not valid, the driver finds that too.
        let mut request = Request::unread(head, &[]);
        if request.read().is_err() || request.framing() == Framing::None {
            return Ok(false);
        }
        match &shared.limits.http {
            Some(http) if HTTP.is_used() => {
                let body = Body::new(request.framing(), http.max_body)?;
                if request.expects_continue()? {
                    shared.outbox(&mut self.outbox).own().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                let mut inbox = shared.inbox(&mut self.inbox, now);
                inbox.head = head.to_vec();
                inbox.body = Some(Box::new(body));
                Ok(true)
            }
            Some(_) | None => Err(Rejection::BodyTooLarge),
        }
    }

    /// Whether the body of a request is arriving.
    pub(super) fn is_receiving_body(&self) -> bool {
        HTTP.is_used() && self.inbox.as_ref().is_some_and(|inbox| inbox.body.is_some())
    }

    /// Receives the next bytes of a body. Returns the request if it is complete.
    #[inline(never)]
    pub(super) fn receive_body<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Option<Event<'b>> {
        let mut inbox = shared.inbox(&mut self.inbox, now);
        let mut body = inbox.body.take()?;
        let taken = body.take(input.peek());
        match taken {
            Ok(count) => input.take(count),
            Err(rejection) => {
                drop(inbox);
                self.reject(shared, now, &Ticket::unreadable(), rejection);
                return None;
            }
        };
        if !body.is_complete() {
            inbox.body = Some(body);
            return None;
        }
        let head = std::mem::take(&mut inbox.head);
        drop(inbox);
        self.release_inbox(shared);
        self.requested(shared);
        Some(Event::Request { head: Cow::Owned(head), body: body.into_bytes() })
    }

    /// Notes that a request begins, if the connection has waited for it since its last response.
    pub(super) fn begin_request(&mut self, now: Tick) {
        if self.inbox.is_none() && self.requests() > 0 {
            self.since = now;
        }
    }

    /// How many requests have been answered.
    pub(super) fn requests(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.requests)
    }

    // ---- responses -----------------------------------------------------------------------------

    /// Deciding -> Responding, or Draining if the connection closes after the response.
    pub(super) fn respond(&mut self, shared: &mut Shared, now: Tick, ticket: &Ticket, response: HttpResponse) {
        let (status, after) = (response.status(), self.after(shared, ticket, &response));
        let has_body = ticket.wants_body() && response.may_have_body();
        let is_streamed = response.is_streamed();
        response.encode_head(after, &mut shared.outbox(&mut self.outbox).own());
        let stays = match after {
            After::Chunks | After::Body => has_body,
            After::Keep | After::Close => {
                if has_body {
                    self.queue_body(shared, response.into_body().into_inner());
                }
                after == After::Keep
            }
        };
        self.record_handshake(shared);
        if !stays {
            if is_streamed {
                // The application hears of its end, as of that of every stream.
                self.rare().responding = Some(Responding { status, after });
            }
            return self.responded(shared, now, status);
        }
        let total = self.buffered_amount();
        let rare = self.rare();
        (rare.responding, rare.response) = (Some(Responding { status, after }), total);
        self.since = now;
        self.enter(shared, State::Responding);
    }

    /// Decides what follows a response.
    fn after(&self, shared: &Shared, ticket: &Ticket, response: &HttpResponse) -> After {
        if !HTTP.is_used() {
            return After::Close;
        }
        match (response.is_streamed(), ticket.takes_chunks) {
            (true, true) => return After::Chunks,
            (true, false) => return After::Body,
            (false, _) => {}
        }
        let may_keep = shared.limits.http.as_ref().is_some_and(|http| self.requests() + 1 < http.max_requests);
        match may_keep && ticket.keeps_alive && !response.has_connection() {
            true => After::Keep,
            false => After::Close,
        }
    }

    /// Queues the whole body of a response. A large one is not copied.
    fn queue_body(&mut self, shared: &mut Shared, body: Bytes) {
        if body.len() < SHARE_FROM {
            shared.outbox(&mut self.outbox).own().extend_from_slice(&body);
        } else {
            let body = shared.share_body(body);
            shared.outbox(&mut self.outbox).append_shared(&body);
        }
    }

    /// Returns what follows the response that is being sent, or that was the last one.
    fn follows(&self) -> Option<After> {
        let responding = self.rare.as_ref()?.responding.as_ref().filter(|_| HTTP.is_used());
        responding.map(|responding| responding.after)
    }

    /// Whether a response is being streamed.
    pub fn is_streaming(&self) -> bool {
        self.state() == State::Responding && self.has_streamed()
    }

    /// Whether a response has been streamed, or was begun to be.
    pub fn has_streamed(&self) -> bool {
        matches!(self.follows(), Some(After::Chunks | After::Body))
    }

    /// Queues a piece of the body of a streamed response.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::Full`] if there would be more unsent bytes than
    /// [`max_unsent`](crate::Limits::max_unsent).
    pub fn send_body(&mut self, shared: &mut Shared, piece: &[u8]) -> Result<(), SendError> {
        if !self.is_streaming() {
            return Err(SendError::NotOpen);
        }
        self.check_unsent(shared, piece.len())?;
        // An empty chunk would end the body.
        if !piece.is_empty() {
            self.append_piece(shared, piece);
        }
        Ok(())
    }

    fn append_piece(&mut self, shared: &mut Shared, piece: &[u8]) {
        let is_chunked = self.is_chunked();
        let mut outbox = shared.outbox(&mut self.outbox);
        let mut own = outbox.own();
        if is_chunked {
            write!(own, "{:x}\r\n", piece.len()).expect("a Vec takes every write");
        }
        own.extend_from_slice(piece);
        if is_chunked {
            own.extend_from_slice(b"\r\n");
        }
    }

    fn is_chunked(&self) -> bool {
        self.follows() == Some(After::Chunks)
    }

    /// Responding -> Draining: the body of a streamed response is complete.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`].
    pub fn end_body(&mut self, shared: &mut Shared, now: Tick) -> Result<(), SendError> {
        if !self.is_streaming() {
            return Err(SendError::NotOpen);
        }
        if self.is_chunked() {
            shared.outbox(&mut self.outbox).own().extend_from_slice(b"0\r\n\r\n");
        }
        let total = self.buffered_amount();
        let rare = self.rare();
        rare.response = total;
        let status = rare.responding.as_ref().map_or(StatusCode::OK, |responding| responding.status);
        self.drain(shared, now, CloseReason::Refused(status));
        Ok(())
    }

    /// Responding -> Draining, or Closed: a streamed body is not completed. What is queued is sent
    /// without the last chunk, so that the peer does not take the beginning for the whole. In
    /// HTTP/1.0, only a reset can say that.
    pub fn break_off_body(&mut self, shared: &mut Shared, now: Tick) {
        match (self.is_streaming(), self.is_chunked()) {
            (false, _) => {}
            (true, true) => self.drain(shared, now, CloseReason::Terminated),
            (true, false) => self.end(shared, CloseReason::Terminated),
        }
    }

    /// Responding -> Flushing: the peer has sent FIN, so no other request follows.
    #[cold]
    pub(super) fn send_last_response(&mut self, shared: &mut Shared, now: Tick) {
        if let Some(Responding { status, .. }) = self.rare().responding.take() {
            self.drain(shared, now, CloseReason::Refused(status));
            self.enter(shared, State::Flushing);
        }
    }

    /// Responding -> Handshaking: the response has been sent, and another request may follow.
    #[cold]
    pub(super) fn response_sent(&mut self, shared: &mut Shared, now: Tick) {
        if self.has_streamed() {
            return;
        }
        let rare = self.rare();
        rare.answered = rare.responding.take().map(|responding| responding.status);
        rare.requests += 1;
        self.since = now;
        self.enter(shared, State::Handshaking);
    }

    /// Takes out the status of a response that has been sent, after which another request may
    /// follow. The driver must [receive what is held](Self::take_held), and read on.
    pub fn take_answered(&mut self) -> Option<StatusCode> {
        self.rare.as_mut().filter(|_| HTTP.is_used()).and_then(|rare| rare.answered.take())
    }
}
