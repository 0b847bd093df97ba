//! How is an application composed of small ones?

use super::handler::Handler;
use crate::protocol::{Answer, CloseReason, Message, Position, Request, Trace};
use crate::server::clients::Clients;
use crate::server::id::{ClientId, TimerId};
use crate::server::observe::Turns;
use http::StatusCode;

/// A handler that gives each path to a handler of its own.
///
/// The handlers share one [`Data`](Handler::Data) type. Topics, timers and [`Clients::iter`] are
/// each route's own. A path that nobody has gets 404.
///
/// ```no_run
/// # struct Echo; impl lariat::Handler for Echo { type Data = (); }
/// # struct Chat; impl lariat::Handler for Chat { type Data = (); }
/// let router = lariat::Router::new().route("/echo", Echo).route("/chat", Chat);
/// lariat::Server::bind("127.0.0.1:9998")?.run(router)
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub struct Router<D> {
    routes: Vec<(Vec<String>, Box<dyn Handler<Data = D>>)>,
}

impl<D: Default + 'static> Default for Router<D> {
    fn default() -> Router<D> {
        Router::new()
    }
}

impl<D: Default + 'static> Router<D> {
    /// Without routes.
    pub const fn new() -> Router<D> {
        Router { routes: Vec::new() }
    }

    /// Gives a path to a handler: exactly this one, or, if it ends in `/*`, all that begin with
    /// what stands before the asterisk. The first route that fits gets it.
    ///
    /// # Panics
    ///
    /// With more than 65,536 routes.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, handler: impl Handler<Data = D> + 'static) -> Router<D> {
        assert!(self.routes.len() <= usize::from(u16::MAX), "at most 65,536 routes");
        self.routes.push((vec![path.into()], Box::new(handler)));
        self
    }

    /// The handler that was added last gets this path, too. The route is named by its first one.
    #[must_use]
    pub fn also(mut self, path: impl Into<String>) -> Router<D> {
        if let Some((paths, _)) = self.routes.last_mut() {
            paths.push(path.into());
        }
        self
    }

    fn find(&self, path: &str) -> Option<u16> {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('/') => path.starts_with(prefix),
            _ => path == pattern,
        };
        self.routes.iter().position(|(paths, _)| paths.iter().any(|path| fits(path))).map(|index| index as u16)
    }

    fn handler(&mut self, route: u16) -> Option<&mut Box<dyn Handler<Data = D>>> {
        self.routes.get_mut(usize::from(route)).map(|(_, handler)| handler)
    }
}

impl<D: Default + 'static> Handler for Router<D> {
    type Data = D;

    fn on_start(&mut self, clients: &mut Clients<D>) {
        clients.route_patterns = self.routes.iter().map(|(paths, _)| paths[0].clone()).collect();
        for (route, (_, handler)) in self.routes.iter_mut().enumerate() {
            clients.route = route as u16;
            handler.on_start(clients);
        }
    }

    fn on_request(&mut self, clients: &mut Clients<D>, id: ClientId, request: &Request<'_>) -> Answer {
        let Some(route) = self.find(request.path()) else {
            return StatusCode::NOT_FOUND.into();
        };
        clients.set_route(id, route);
        clients.route = route;
        match self.handler(route) {
            Some(handler) => handler.on_request(clients, id, request),
            None => StatusCode::NOT_FOUND.into(),
        }
    }

    fn on_connect(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_connect(clients, id);
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

    fn on_timer(&mut self, clients: &mut Clients<D>, timer: TimerId, token: u64) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_timer(clients, timer, token);
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

    fn on_close(&mut self, clients: &mut Clients<D>, id: ClientId, reason: &CloseReason) {
        if let Some(handler) = self.handler(clients.route) {
            handler.on_close(clients, id, reason);
        }
    }
}
