//! A handler that follows a script.

use super::WAIT;
use lariat::{Answer, ClientId, Clients, CloseReason, Handler, Message, Request, TimerId, Upgrade};
use std::sync::mpsc::{self, Receiver, Sender};

/// A call of the handler.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Open(ClientId),
    Message(ClientId, Vec<u8>),
    Ping(ClientId, Vec<u8>),
    Pong(ClientId, Vec<u8>),
    Drain(ClientId),
    Timer(u64),
    Close(ClientId, CloseReason),
}

type OnRequest = Box<dyn FnMut(&mut Clients<()>, ClientId, &Request<'_>) -> Answer + Send>;
type OnMessage = Box<dyn FnMut(&mut Clients<()>, ClientId, Message<'_>) + Send>;
type OnClose = Box<dyn FnMut(&mut Clients<()>, ClientId, &CloseReason) + Send>;
type OnTimer = Box<dyn FnMut(&mut Clients<()>, TimerId, u64) + Send>;
type OnClient = Box<dyn FnMut(&mut Clients<()>, ClientId) + Send>;

/// A handler that reports each call to the test and then follows the test's script.
pub struct Script {
    reports: Sender<Call>,
    on_request: OnRequest,
    on_open: OnClient,
    on_message: OnMessage,
    on_ping: OnClient,
    on_drain: OnClient,
    on_timer: OnTimer,
    on_close: OnClose,
}

/// Receives the calls that a [`Script`] reports.
pub struct Calls(Receiver<Call>);

/// Returns a handler that accepts every client and does nothing, and its calls.
pub fn script() -> (Script, Calls) {
    let (reports, calls) = mpsc::channel();
    let script = Script {
        reports,
        on_request: Box::new(|_, _, _| Answer::Upgrade(Upgrade::new())),
        on_open: Box::new(|_, _| {}),
        on_message: Box::new(|_, _, _| {}),
        on_ping: Box::new(|_, _| {}),
        on_drain: Box::new(|_, _| {}),
        on_timer: Box::new(|_, _, _| {}),
        on_close: Box::new(|_, _, _| {}),
    };
    (script, Calls(calls))
}

/// Returns a handler that echoes every message, and its calls.
pub fn echo_script() -> (Script, Calls) {
    let (script, calls) = script();
    (script.on_message(echo), calls)
}

fn echo(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    let _ = clients.send(id, message);
}

impl Script {
    pub fn on_request(
        mut self,
        act: impl FnMut(&mut Clients<()>, ClientId, &Request<'_>) -> Answer + Send + 'static,
    ) -> Script {
        self.on_request = Box::new(act);
        self
    }

    pub fn on_open(mut self, act: impl FnMut(&mut Clients<()>, ClientId) + Send + 'static) -> Script {
        self.on_open = Box::new(act);
        self
    }

    pub fn on_message(mut self, act: impl FnMut(&mut Clients<()>, ClientId, Message<'_>) + Send + 'static) -> Script {
        self.on_message = Box::new(act);
        self
    }

    pub fn on_ping(mut self, act: impl FnMut(&mut Clients<()>, ClientId) + Send + 'static) -> Script {
        self.on_ping = Box::new(act);
        self
    }

    pub fn on_drain(mut self, act: impl FnMut(&mut Clients<()>, ClientId) + Send + 'static) -> Script {
        self.on_drain = Box::new(act);
        self
    }

    pub fn on_timer(mut self, act: impl FnMut(&mut Clients<()>, TimerId, u64) + Send + 'static) -> Script {
        self.on_timer = Box::new(act);
        self
    }

    pub fn on_close(mut self, act: impl FnMut(&mut Clients<()>, ClientId, &CloseReason) + Send + 'static) -> Script {
        self.on_close = Box::new(act);
        self
    }

    fn report(&self, call: Call) {
        // The test may have dropped the receiver.
        let _ = self.reports.send(call);
    }
}

impl Handler for Script {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        (self.on_request)(clients, id, request)
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.report(Call::Open(id));
        (self.on_open)(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.report(Call::Message(id, message.as_bytes().to_vec()));
        (self.on_message)(clients, id, message);
    }

    fn on_ping(&mut self, clients: &mut Clients<()>, id: ClientId, payload: &[u8]) {
        self.report(Call::Ping(id, payload.to_vec()));
        (self.on_ping)(clients, id);
    }

    fn on_pong(&mut self, _: &mut Clients<()>, id: ClientId, payload: &[u8]) {
        self.report(Call::Pong(id, payload.to_vec()));
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.report(Call::Drain(id));
        (self.on_drain)(clients, id);
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        self.report(Call::Timer(token));
        (self.on_timer)(clients, timer, token);
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.report(Call::Close(id, reason.clone()));
        (self.on_close)(clients, id, reason);
    }
}

impl Calls {
    /// Returns the next call.
    pub fn next(&self) -> Call {
        self.0.recv_timeout(WAIT).expect("a call of the handler")
    }

    /// Skips all calls up to the next `on_open`.
    pub fn open(&self) -> ClientId {
        loop {
            if let Call::Open(id) = self.next() {
                return id;
            }
        }
    }

    /// Skips all calls up to the next `on_close`.
    pub fn close(&self) -> (ClientId, CloseReason) {
        loop {
            if let Call::Close(id, reason) = self.next() {
                return (id, reason);
            }
        }
    }

    /// Skips all calls up to `wanted`.
    pub fn until(&self, wanted: &Call) {
        while self.next() != *wanted {}
    }

    /// Returns the calls until now.
    pub fn so_far(&self) -> Vec<Call> {
        self.0.try_iter().collect()
    }

    /// Returns all calls until the server has stopped.
    pub fn rest(self) -> Vec<Call> {
        self.0.into_iter().collect()
    }
}
