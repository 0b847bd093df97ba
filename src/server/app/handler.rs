//! The trait that an application implements.

use crate::protocol::{Answer, CloseReason, Message, Position, Request, Trace, Upgrade};
use crate::server::backplane::{Kept, Member, PublishError, StreamPosition};
use crate::server::clients::{Audience, Clients, Event};
use crate::server::data::ClientData;
use crate::server::id::{ClientId, TimerId};
use crate::server::observe::Turns;

/// Why a handler cannot restore what another process has saved.
#[cfg(all(unix, feature = "handover"))]
pub type RestoreError = Box<dyn std::error::Error + Send + Sync>;

/// An application. Every method has a default, so an application implements only what it needs.
///
/// A callback that blocks stops all clients of its loop. Work that takes long belongs on another
/// thread, which answers through a [`Remote`](crate::Remote).
///
/// # What you can rely on
///
/// * **Callbacks run one at a time**, on the thread that turns the loop, and never inside one
///   another. Calls of [`Clients`] only queue, so none of them causes a callback before the current
///   one has returned.
/// * **A client's callbacks have an order**: [`on_request`](Self::on_request) (for a server to which we
///   connect, [`on_connect`](Self::on_connect)), then [`on_open`](Self::on_open), then messages,
///   pings, pongs and drains in any number, then [`on_close`](Self::on_close). `on_request` is
///   called once, or with [`Limits::http`](crate::Limits::http) for each request of the connection.
/// * **Each `on_open` has one `on_close`**, which is the last callback for its client. This holds
///   for every end: a Close frame, FIN, a reset, a timeout, a limit, a panic and a shutdown. A
///   client of [`Clients::connect`] has an `on_close` even if it was never open, and so has a
///   [streamed response](crate::HttpResponse::streamed). Other answers have neither.
/// * **Messages are complete, checked and in order.** Text is UTF-8. No message is longer than
///   [`max_message`](crate::Limits::max_message). After [`Clients::close`], no more messages of
///   this client are delivered.
/// * **The id is valid in every callback**, `on_close` included, and never again means another
///   client.
/// * **A panic ends one client.** It is logged, the client is closed with 1011, and the loop goes
///   on. With `panic = "abort"`, the program ends.
/// * **Timers are never early.**
/// * **Events of other threads are not lost.** What [`Remote::post`](crate::Remote::post) has taken
///   reaches [`on_event`](Self::on_event), unless the server stops first.
///
/// Not guaranteed:
///
/// * The order of callbacks of different clients.
/// * That `on_close` comes soon. A peer that vanishes without FIN is noticed by
///   [`idle_timeout`](crate::Limits::idle_timeout), by
///   [`write_timeout`](crate::Limits::write_timeout), or when the kernel gives up.
/// * That a client is still open in its callback. The peer may have closed, or another client's
///   callback may have closed it, so calls of `Clients` can fail with
///   [`SendError`](crate::SendError).
/// * That `on_close` is called when the [`EventLoop`](crate::EventLoop) is dropped while it runs.
pub trait Handler {
    /// The application's data of each client, stored inline in the client's slab entry. With
    /// [`Default`], it exists from the beginning. Without, it is
    /// [given when the client is accepted](ClientData). After an HTTP response, all is as at the
    /// beginning for the next request of the connection.
    type Data: ClientData;

    /// Called before the first turn of the loop. Set timers and connect to other servers here. If
    /// this process takes over from another one, the timers and connections that are begun here
    /// are dropped: those of the other process go on.
    fn on_start(&mut self, clients: &mut Clients<Self::Data>) {
        let _ = clients;
    }

    /// Called with each request if the server has [several loops](crate::Loops), before
    /// [`on_request`](Self::on_request). Returns the number of the loop that is to answer it, or
    /// `None` for the loop that has the connection: that is the default. Numbers are taken modulo
    /// the [number of loops](Clients::loops).
    ///
    /// The connection goes to that loop before anything is answered, and all further callbacks
    /// are called there. So state that clients share can stay in a handler without locks: choose
    /// the same loop for all of them. [`loop_for`](Clients::loop_for) spreads names, such as those
    /// of rooms, over the loops. [`Router::on_loop`](crate::Router::on_loop) gives a route to one
    /// loop.
    ///
    /// Requests that that loop cannot take, because it is far behind or has stopped, get 503.
    fn choose_loop(&mut self, clients: &mut Clients<Self::Data>, request: &Request<'_>) -> Option<usize> {
        let _ = (clients, request);
        None
    }

    /// Called when a client requests a resource. By default, every upgrade is accepted without a
    /// subprotocol, and plain HTTP gets 426.
    ///
    /// Check here [`Request::is_same_origin`] (RFC 6455 §10.2), and choose a subprotocol. A server
    /// on a loopback address also needs [`Request::names_local_host`], against DNS rebinding.
    fn on_request(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, request: &Request<'_>) -> Answer {
        let _ = (clients, id, request);
        Answer::Upgrade(Upgrade::new())
    }

    /// Called when a connection of [`Clients::connect`] is established and the request has been
    /// written to it, or with TLS the first message of its handshake.
    fn on_connect(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) {
        let _ = (clients, id);
    }

    /// Called when the TLS handshake of a connection of [`Clients::connect`] to a `wss://` URL is
    /// over, between `on_connect` and `on_open`.
    fn on_secured(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) {
        let _ = (clients, id);
    }

    /// Called when the opening handshake has succeeded.
    fn on_open(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) {
        let _ = (clients, id);
    }

    /// Called for each message, complete and checked.
    fn on_message(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, message: Message<'_>) {
        let _ = (clients, id, message);
    }

    /// Called for each piece of a message as it arrives, if
    /// [`Clients::receive_in_pieces`] was called for the client. A compressed message is
    /// decompressed. Pieces of a text end between characters.
    fn on_piece(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, piece: Message<'_>, position: Position) {
        let _ = (clients, id, piece, position);
    }

    /// Called for each ping. It has already been answered, unless
    /// [`answer_pings`](crate::Limits::answer_pings) is `false`. Then answer it here or later, with
    /// [`Clients::pong`] and the same payload.
    fn on_ping(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, payload: &[u8]) {
        let _ = (clients, id, payload);
    }

    /// Called for each pong.
    fn on_pong(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, payload: &[u8]) {
        let _ = (clients, id, payload);
    }

    /// Called when a client's unsent bytes, which were above
    /// [`high_water`](crate::Limits::high_water), no longer are.
    fn on_drain(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) {
        let _ = (clients, id);
    }

    /// Called when a client of the handler's route has joined a topic, if the handler [watches
    /// topics](Clients::watch_topics). It comes soon after [`Clients::subscribe`]: at the end of
    /// the turn, before its output is written. For one client, the calls of this method and of
    /// [`on_unsubscribe`](Self::on_unsubscribe) have the order of its joins and leaves, and all
    /// come before its `on_close`. If it was subscribed in
    /// [`on_request`](Self::on_request), this may come before [`on_open`](Self::on_open).
    ///
    /// What is asked for here is reported in the next turn. So two handlers that answer each other
    /// do not stop the loop.
    fn on_subscribe(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, topic: &str) {
        let _ = (clients, id, topic);
    }

    /// Called when a client of the handler's route has left a topic, if the handler [watches
    /// topics](Clients::watch_topics): by [`Clients::unsubscribe`], or because it disconnects. It
    /// is no longer a member. If it disconnects, this is called for each of its topics, right
    /// before [`on_close`](Self::on_close), and its data can still be read.
    fn on_unsubscribe(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, topic: &str) {
        let _ = (clients, id, topic);
    }

    /// Called when a timer of [`Clients::set_timer`] or [`Clients::set_interval`] has expired.
    /// `token` is the application's own.
    fn on_timer(&mut self, clients: &mut Clients<Self::Data>, timer: TimerId, token: u64) {
        let _ = (clients, timer, token);
    }

    /// Called when a timer of [`Clients::set_client_timer`] or [`Clients::set_client_interval`] has
    /// expired. `token` is the application's own. The client may be closing, or not be open yet.
    fn on_client_timer(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, timer: TimerId, token: u64) {
        let _ = (clients, id, timer, token);
    }

    /// Called for each event that another thread has [posted](crate::Remote::post), in the order of
    /// its calls. By default, a warning with the name of the event's type is logged.
    fn on_event(&mut self, clients: &mut Clients<Self::Data>, event: Event) {
        event.log_unhandled(clients);
    }

    /// Called for each message of a topic with a history that a client of the handler's route has
    /// [subscribed to](Clients::subscribe_from), in the order of the topic: for the members of the
    /// topic on this loop when the message is published, on whatever server, and for a client that
    /// has come back with each message that it has missed. By default, the message is sent to
    /// them.
    ///
    /// A client needs the [position](Kept::position) of its last message when it comes back. So put
    /// it into what you send:
    ///
    /// ```
    /// # use lariat::backplane::Kept;
    /// # use lariat::{Audience, Clients, Handler};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// # type Data = ();
    /// fn on_kept(&mut self, clients: &mut Clients<()>, _: &str, kept: &Kept, to: Audience<'_>) {
    ///     let text = String::from_utf8_lossy(kept.message.as_bytes());
    ///     to.send(clients, &format!("{} {text}", kept.position));
    /// }
    /// # }
    /// ```
    fn on_kept(&mut self, clients: &mut Clients<Self::Data>, topic: &str, kept: &Kept, to: Audience<'_>) {
        let _ = topic;
        to.send(clients, &*kept.message);
    }

    /// Called if messages of a topic may have been lost, for the members of the topic on this loop
    /// or for one client that has come back. Tell them to load the state anew. By default, nothing
    /// happens.
    ///
    /// If the topic has a history, what follows begins behind `position`. Without a history,
    /// `position` is `None`: the server was cut off from the [backplane](crate::Loops::backplane)
    /// for a while.
    fn on_gap(
        &mut self,
        clients: &mut Clients<Self::Data>,
        topic: &str,
        to: Audience<'_>,
        position: Option<StreamPosition>,
    ) {
        let _ = (clients, topic, to, position);
    }

    /// Called when a client has got what it had missed of a topic with a history, to which it has
    /// [subscribed](Clients::subscribe_from). It is a member now. The topic ends at `position`: the
    /// next message is the one behind it. By default, nothing happens.
    fn on_caught(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, topic: &str, position: StreamPosition) {
        let _ = (clients, id, topic, position);
    }

    /// Called with what has come of [`Clients::publish_kept`], and its token.
    fn on_published(
        &mut self,
        clients: &mut Clients<Self::Data>,
        token: u64,
        outcome: Result<StreamPosition, PublishError>,
    ) {
        let _ = (clients, token, outcome);
    }

    /// Called with the answer to [`Clients::ask_members`], and its token.
    fn on_members(
        &mut self,
        clients: &mut Clients<Self::Data>,
        token: u64,
        outcome: Result<Vec<Member>, PublishError>,
    ) {
        let _ = (clients, token, outcome);
    }

    /// Called for each step of a connection that [`Clients::trace`] or [`Clients::trace_all`]
    /// records, soon after it happened: [`Clients::now`] is its time, to the turn. If this callback
    /// sends to a traced client, that is traced as well.
    fn on_trace(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, trace: &Trace) {
        let _ = (clients, id, trace);
    }

    /// Called with what the loop has done since the last call. [`Clients::watch_turns`] turns this
    /// on.
    fn on_turns(&mut self, clients: &mut Clients<Self::Data>, turns: &Turns) {
        let _ = (clients, turns);
    }

    /// Returns what the handler keeps, for the process that [takes
    /// over](crate::Server::take_over). It is called at the end of a turn, when no callback runs.
    /// The handler must not change: this process goes on with it if the other one fails.
    /// With the feature `serde`, `lariat::saved` turns any type of serde into bytes.
    ///
    /// By default, a handler without fields keeps nothing. Any other one returns `None`: it cannot
    /// be handed over, and the log says so.
    #[cfg(all(unix, feature = "handover"))]
    fn save(&mut self, clients: &mut Clients<Self::Data>) -> Option<Vec<u8>> {
        let _ = clients;
        (size_of_val(self) == 0).then(Vec::new)
    }

    /// Returns the data of a client, for the process that takes over. Called for each client that
    /// had [`on_open`](Self::on_open), after [`save`](Self::save).
    ///
    /// By default, data without size is nothing. For any other, it returns `None`, and nothing can
    /// be handed over.
    #[cfg(all(unix, feature = "handover"))]
    fn save_client(&mut self, clients: &mut Clients<Self::Data>, id: ClientId) -> Option<Vec<u8>> {
        let _ = (clients, id);
        (size_of::<Self::Data>() == 0).then(Vec::new)
    }

    /// Called with what the other process's handler has [saved](Self::save), after
    /// [`on_start`](Self::on_start), before the first client is restored. All ids of clients and
    /// timers stay valid. The timers that `on_start` has set are dropped before this, because those
    /// of the other process go on; so are connections that it has begun. Those that this method
    /// sets and begins stay.
    ///
    /// # Errors
    ///
    /// The bytes make no sense. The other process then goes on as if nothing had happened, and this
    /// one does not start.
    #[cfg(all(unix, feature = "handover"))]
    fn restore(&mut self, clients: &mut Clients<Self::Data>, saved: &[u8]) -> Result<(), RestoreError> {
        let _ = clients;
        if saved.is_empty() { Ok(()) } else { Err("the handler has no method restore".into()) }
    }

    /// Called with what the other process's handler has saved of a client. Set its data. The client
    /// had its [`on_open`](Self::on_open) there, so it has none here.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    #[cfg(all(unix, feature = "handover"))]
    fn restore_client(
        &mut self,
        clients: &mut Clients<Self::Data>,
        id: ClientId,
        saved: &[u8],
    ) -> Result<(), RestoreError> {
        let _ = (clients, id);
        if saved.is_empty() { Ok(()) } else { Err("the handler has no method restore_client".into()) }
    }

    /// Called when a client has disconnected, once for each client that had
    /// [`on_open`](Self::on_open), for each client of [`Clients::connect`], and for each [streamed
    /// response](crate::HttpResponse::streamed). This is the last time that its data can be read.
    fn on_close(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, reason: &CloseReason) {
        let _ = (clients, id, reason);
    }
}
