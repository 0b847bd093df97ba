//! tungstenite on mio, written in a simple way: each connection has its WebSocket with a read
//! buffer of 4 KiB, and each message is flushed.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use peers::BROADCAST;
use slab::Slab;
use std::io;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket, accept_hdr_with_config};

const LISTENER: Token = Token(usize::MAX);

/// Stores which path was requested.
struct NotePath(std::rc::Rc<std::cell::Cell<bool>>);

impl Callback for NotePath {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        self.0.set(request.uri().path() == BROADCAST);
        Ok(response)
    }
}

enum State {
    Handshaking(MidHandshake<ServerHandshake<TcpStream, NotePath>>),
    Open(WebSocket<TcpStream>),
}

struct Client {
    /// `None` only during a step.
    state: Option<State>,
    is_broadcast: std::rc::Rc<std::cell::Cell<bool>>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Client>,
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let entry = self.clients.vacant_entry();
            self.poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
            let config = WebSocketConfig::default().read_buffer_size(4 << 10);
            let is_broadcast = std::rc::Rc::new(std::cell::Cell::new(false));
            let handshake = accept_hdr_with_config(stream, NotePath(is_broadcast.clone()), Some(config));
            if let Some(state) = state(handshake) {
                entry.insert(Client { state: Some(state), is_broadcast });
            }
        }
    }

    fn step(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if let Some(State::Handshaking(_)) = &client.state {
            let Some(State::Handshaking(handshake)) = client.state.take() else { return };
            client.state = state(handshake.handshake());
        }
        if let Some(State::Open(_)) = &client.state
            && self.serve(key).is_ok()
        {
            return;
        }
        if !matches!(self.clients[key].state, Some(State::Handshaking(_))) {
            self.clients.remove(key);
        }
    }

    fn serve(&mut self, key: usize) -> Result<(), Error> {
        loop {
            let client = &mut self.clients[key];
            let Some(State::Open(socket)) = &mut client.state else { return Ok(()) };
            pending(socket.flush())?;
            let message = match socket.read() {
                Ok(message) => message,
                Err(error) => return pending(Err(error)),
            };
            if !message.is_text() && !message.is_binary() {
                continue;
            }
            if client.is_broadcast.get() { self.publish(&message) } else { pending(socket.send(message))? }
        }
    }

    fn publish(&mut self, message: &Message) {
        for (_, client) in &mut self.clients {
            if let (Some(State::Open(socket)), true) = (&mut client.state, client.is_broadcast.get()) {
                // A client that has disconnected is removed at its own event.
                let _ = socket.send(message.clone());
            }
        }
    }
}

/// Returns the state after the handshake, if it has not failed.
fn state(
    handshake: Result<WebSocket<TcpStream>, HandshakeError<ServerHandshake<TcpStream, NotePath>>>,
) -> Option<State> {
    match handshake {
        Ok(socket) => Some(State::Open(socket)),
        Err(HandshakeError::Interrupted(handshake)) => Some(State::Handshaking(handshake)),
        Err(HandshakeError::Failure(_)) => None,
    }
}

/// An operation that would block continues at the next event.
fn pending(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}

fn main() -> io::Result<()> {
    let mut server =
        Server { poll: Poll::new()?, listener: TcpListener::from_std(peers::listen()?), clients: Slab::new() };
    server.poll.registry().register(&mut server.listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept()?,
                Token(key) => server.step(key),
            }
        }
    }
}
