//! A handler that consists of several.

use super::handler::Handler;
#[cfg(all(unix, feature = "handover"))]
use super::handler::RestoreError;
use crate::protocol::{Answer, CloseReason, Message, Position, Request, Trace};
use crate::server::backplane::{Kept, Member, PublishError, StreamPosition};
use crate::server::clients::{Audience, Clients, Event};
use crate::server::data::ClientData;
#[cfg(all(unix, feature = "handover"))]
use crate::server::handover::SavedRoutes;
use crate::server::id::{ClientId, TimerId};
use crate::server::observe::Turns;
use http::{HeaderValue, StatusCode, header};
use std::any::Any;
use std::fmt;

/// A handler that passes each path to its own handler.
///
/// The handlers share one [`Data`](Handler::Data) type. Each route has its own topics and timers,
/// and [`Clients::iter`] returns only its clients. A path without a route gets 404.
///
/// ```no_run
/// # struct Echo; impl lariat::Handler for Echo { type Data = (); }
/// # struct Chat; impl lariat::Handler for Chat { type Data = (); }
/// let router = lariat::Router::new().route("/echo", Echo).route("/chat", Chat);
/// lariat::Server::bind("127.0.0.1:9998")?.run(router)
/// # ; Ok::<(), std::io::Error>(())
/// ```
///
/// A router can contain a router, directly or behind a handler that forwards every callback
/// (`on_start` included). Patterns are whole paths in both. The outer router decides first. A path
/// that it gives to the inner router, and for which that one has no route, gets 404.
///
/// ```
/// # struct Echo; impl lariat::Handler for Echo { type Data = (); }
/// # struct Chat; impl lariat::Handler for Chat { type Data = (); }
/// let api = lariat::Router::new().route("/api/echo", Echo).route("/api/chat", Chat);
/// let router = lariat::Router::new().route("/api/*", api).route("/chat", Chat);
/// ```
///
/// It is not `Send`, because handlers need not be: make it in the thread that runs it, as
/// [`Server::spawn`](crate::Server::spawn) does.
pub struct Router<D: ClientData> {
    routes: Vec<Route<D>>,
    /// The place in `routes` of each number from `first` on. Empty until `on_start`. Numbers are
    /// places then.
    by_number: Vec<u16>,
    /// The lowest number of a route here.
    first: u16,
}

impl<D: ClientData> fmt::Debug for Router<D> {
    /// Lists the paths of the routes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.routes.iter().map(|route| &route.paths).collect();
        f.debug_struct("Router").field("routes", &paths).finish_non_exhaustive()
    }
}

/// A handler, and its paths.
struct Route<D: ClientData> {
    paths: Vec<String>,
    handler: Box<dyn Handler<Data = D>>,
    /// What [`Clients::route`] is for this handler. Those of a router inside it follow.
    number: u16,
    /// The loop that has all its clients, if one does.
    on_loop: Option<usize>,
}

impl<D: ClientData> Default for Router<D> {
    fn default() -> Router<D> {
        Router::new()
    }
}

impl<D: ClientData> Router<D> {
    /// Creates a router without routes.
    pub const fn new() -> Router<D> {
        Router { routes: Vec::new(), by_number: Vec::new(), first: 0 }
    }

    /// Adds a handler for a path. A pattern that ends in `/*` matches all paths that begin with the
    /// part before the asterisk. The first route that matches is used.
    ///
    /// # Panics
    ///
    /// With more than 65,536 routes. With a path that no request can have: one that does not begin
    /// with a slash, has a query, or has an asterisk elsewhere. With a router as the handler if one
    /// of its paths can never be reached through this one.
    #[must_use]
    pub fn route<H>(mut self, path: impl Into<String>, handler: H) -> Router<D>
    where
        H: Handler<Data = D> + 'static,
    {
        let path = checked(path.into());
        if let Some(router) = (&handler as &dyn Any).downcast_ref::<Router<D>>() {
            router.check_below(&path);
        }
        assert!(self.routes.len() <= usize::from(u16::MAX), "at most 65,536 routes");
        let number = self.routes.len() as u16;
        self.routes.push(Route { paths: vec![path], handler: Box::new(handler), number, on_loop: None });
        self
    }

    /// Adds another path to the handler that was added last. The route keeps the name of its first
    /// path.
    ///
    /// # Panics
    ///
    /// If there is no route yet, or if no request can have the path.
    #[must_use]
    pub fn also(mut self, path: impl Into<String>) -> Router<D> {
        let path = checked(path.into());
        self.routes.last_mut().expect("add a route first").paths.push(path);
        self
    }

    /// Gives the handler that was added last to one loop of a server with
    /// [several](crate::Loops), by its number: all its clients are on that loop, wherever they were
    /// accepted. So what the handler keeps, it keeps once. Numbers beyond the last loop begin again
    /// at 0. The handler's own [`choose_loop`](Handler::choose_loop) is not called then.
    ///
    /// ```
    /// # #[derive(Default)] struct Rooms; impl lariat::Handler for Rooms { type Data = (); }
    /// # struct Echo; impl lariat::Handler for Echo { type Data = (); }
    /// use lariat::{Router, Server};
    ///
    /// let server = Server::<()>::bind("127.0.0.1:0")?.loops(2)?;
    /// # server.remote().shutdown(lariat::Drain::default())?;
    /// server.run(|| {
    ///     Router::new().route("/chat", Rooms::default()).on_loop(1).route("/echo", Echo)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no route yet.
    #[must_use]
    pub fn on_loop(mut self, number: usize) -> Router<D> {
        self.routes.last_mut().expect("add a route first").on_loop = Some(number);
        self
    }

    /// Every path here must be one that `outer` gives to this router.
    fn check_below(&self, outer: &str) {
        for path in self.routes.iter().flat_map(|route| &route.paths) {
            assert!(overlap(outer, path), "{path} can never be reached below {outer}: patterns are whole paths");
        }
    }

    /// Returns the first route that matches.
    fn find(&mut self, path: &str) -> Option<&mut Route<D>> {
        self.routes.iter_mut().find(|route| route.paths.iter().any(|pattern| fits(pattern, path)))
    }

    /// Returns the handler of the route with this number, or of a route inside it.
    fn handler(&mut self, number: u16) -> Option<&mut Box<dyn Handler<Data = D>>> {
        let place = number.checked_sub(self.first)?;
        let place = match self.by_number.is_empty() {
            true => place,
            false => *self.by_number.get(usize::from(place))?,
        };
        self.routes.get_mut(usize::from(place)).map(|route| &mut route.handler)
    }
}

fn not_found() -> Answer {
    let mut response = http::Response::new(
        "404 Not Found: no route has this path. A trailing slash matters, and a proxy may have changed the path\n",
    );
    *response.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response.into()
}

/// Checks that some request can match a pattern.
fn checked(pattern: String) -> String {
    assert!(pattern.starts_with('/'), "{pattern:?} is no path: it must begin with a slash");
    assert!(!pattern.contains(['?', '#']), "{pattern:?} is no path: it must not have a query or a fragment");
    let rest = pattern.strip_suffix("/*").unwrap_or(&pattern);
    assert!(!rest.contains('*'), "{pattern:?}: an asterisk may only stand at the end, behind a slash");
    pattern
}

/// Returns the part of a pattern before its asterisk, if it has one.
fn prefix(pattern: &str) -> Option<&str> {
    pattern.strip_suffix('*').filter(|prefix| prefix.ends_with('/'))
}

fn fits(pattern: &str, path: &str) -> bool {
    match prefix(pattern) {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

/// Returns whether some path matches both patterns.
fn overlap(one: &str, other: &str) -> bool {
    match (prefix(one), prefix(other)) {
        (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
        (Some(_), None) => fits(one, other),
        (None, _) => fits(other, one),
    }
}

impl<D: ClientData> Handler for Router<D> {
    type Data = D;

    fn on_start(&mut self, clients: &mut Clients<D>) {
        let first = clients.route_patterns.len();
        self.first = first as u16;
        self.by_number.clear();
        for (place, route) in (0..).zip(&mut self.routes) {
            route.number = clients.add_route(&route.paths[0]);
            clients.route = route.number;
            route.handler.on_start(clients);
            // The routes of a router inside it belong to this route as well.
            self.by_number.resize(clients.route_patterns.len() - first, place);
        }
        if self.by_number.len() == self.routes.len() {
            // Without routers inside, the numbers follow the places.
            self.by_number.clear();
        }
    }

    fn choose_loop(&mut self, clients: &mut Clients<D>, request: &Request<'_>) -> Option<usize> {
        let route = self.find(request.path())?;
        clients.route = route.number;
        route.on_loop.or_else(|| route.handler.choose_loop(clients, request))
    }

    fn on_request(&mut self, clients: &mut Clients<D>, id: ClientId, request: &Request<'_>) -> Answer {
        let Some(route) = self.find(request.path()) else {
            return not_found();
        };
        clients.set_route(id, route.number);
        clients.route = route.number;
        route.handler.on_request(clients, id, request)
    }

    fn on_connect(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_connect(clients, id);
        }
    }

    fn on_secured(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_secured(clients, id);
        }
    }

    fn on_open(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_open(clients, id);
        }
    }

    fn on_message(&mut self, clients: &mut Clients<D>, id: ClientId, message: Message<'_>) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_message(clients, id, message);
        }
    }

    fn on_piece(&mut self, clients: &mut Clients<D>, id: ClientId, piece: Message<'_>, position: Position) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_piece(clients, id, piece, position);
        }
    }

    fn on_ping(&mut self, clients: &mut Clients<D>, id: ClientId, payload: &[u8]) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_ping(clients, id, payload);
        }
    }

    fn on_pong(&mut self, clients: &mut Clients<D>, id: ClientId, payload: &[u8]) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_pong(clients, id, payload);
        }
    }

    fn on_drain(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_drain(clients, id);
        }
    }

    fn on_subscribe(&mut self, clients: &mut Clients<D>, id: ClientId, topic: &str) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_subscribe(clients, id, topic);
        }
    }

    fn on_unsubscribe(&mut self, clients: &mut Clients<D>, id: ClientId, topic: &str) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_unsubscribe(clients, id, topic);
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<D>, timer: TimerId, token: u64) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_timer(clients, timer, token);
        }
    }

    fn on_client_timer(&mut self, clients: &mut Clients<D>, id: ClientId, timer: TimerId, token: u64) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_client_timer(clients, id, timer, token);
        }
    }

    fn on_event(&mut self, clients: &mut Clients<D>, event: Event) {
        match self.handler(clients.route) {
            Some(handler) => handler.on_event(clients, event),
            None => event.log_unhandled(clients),
        }
    }

    fn on_kept(&mut self, clients: &mut Clients<D>, topic: &str, kept: &Kept, to: Audience<'_>) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_kept(clients, topic, kept, to);
        }
    }

    fn on_gap(&mut self, clients: &mut Clients<D>, topic: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_gap(clients, topic, to, position);
        }
    }

    fn on_caught(&mut self, clients: &mut Clients<D>, id: ClientId, topic: &str, position: StreamPosition) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_caught(clients, id, topic, position);
        }
    }

    fn on_published(&mut self, clients: &mut Clients<D>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_published(clients, token, outcome);
        }
    }

    fn on_members(&mut self, clients: &mut Clients<D>, token: u64, outcome: Result<Vec<Member>, PublishError>) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_members(clients, token, outcome);
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<D>, id: ClientId, trace: &Trace) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_trace(clients, id, trace);
        }
    }

    fn on_turns(&mut self, clients: &mut Clients<D>, turns: &Turns) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_turns(clients, turns);
        }
    }

    #[cfg(all(unix, feature = "handover"))]
    fn save(&mut self, clients: &mut Clients<D>) -> Option<Vec<u8>> {
        let mut saved = Vec::new();
        for route in &mut self.routes {
            clients.route = route.number;
            let Some(bytes) = route.handler.save(clients) else {
                log::warn!("Handler::save of {} has returned None", route.paths[0]);
                return None;
            };
            saved.push((route.paths[0].clone(), bytes.into()));
        }
        SavedRoutes(saved).to_bytes()
    }

    #[cfg(all(unix, feature = "handover"))]
    fn save_client(&mut self, clients: &mut Clients<D>, id: ClientId) -> Option<Vec<u8>> {
        self.handler(clients.route)?.save_client(clients, id)
    }

    #[cfg(all(unix, feature = "handover"))]
    fn restore(&mut self, clients: &mut Clients<D>, saved: &[u8]) -> Result<(), RestoreError> {
        for (path, bytes) in SavedRoutes::from_bytes(saved)?.0 {
            match self.routes.iter_mut().find(|route| route.paths[0] == path) {
                Some(route) => {
                    clients.route = route.number;
                    route.handler.restore(clients, &bytes).map_err(|error| format!("the route {path}: {error}"))?;
                }
                None if bytes.is_empty() => {}
                None => return Err(format!("there is no route {path} any more, and its handler has saved").into()),
            }
        }
        Ok(())
    }

    #[cfg(all(unix, feature = "handover"))]
    fn restore_client(&mut self, clients: &mut Clients<D>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        match self.handler(clients.route) {
            Some(handler) => handler.restore_client(clients, id, saved),
            None => Ok(()),
        }
    }

    fn on_close(&mut self, clients: &mut Clients<D>, id: ClientId, reason: &CloseReason) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_close(clients, id, reason);
        }
    }
}
