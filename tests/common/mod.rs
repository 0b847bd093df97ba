//! Common parts of the tests: a server in a thread, a client that sends literal bytes, and a
//! handler that follows a script.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

pub mod prometheus;

use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, Drain, EventLoop, Handler, LocalAddr, Message, Outcome, Remote,
    Request, Server, TimerId, Upgrade,
};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much slower this build is than others. A debug build without the fast paths unmasks each
/// byte by itself, in code that is not optimised.
pub const SLOWNESS: u32 = if cfg!(all(lariat_plain, debug_assertions)) { 10 } else { 1 };

/// The longest time that a test waits for anything, on the slowest machine.
pub const WAIT: Duration = Duration::from_secs(30 * SLOWNESS as u64);

// ---- a server -----------------------------------------------------------------------------------

/// A server in its own thread. It stops when this value is dropped.
pub struct Running<D: 'static = ()> {
    pub addr: SocketAddr,
    pub remote: Remote<D>,
    thread: Option<JoinHandle<Outcome>>,
}

/// Starts a server on a free port of 127.0.0.1, with the default [`Config`].
pub fn serve<H>(handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    serve_with(Config::default(), handler)
}

/// Starts a server on a free port of 127.0.0.1.
pub fn serve_with<H>(config: Config, handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    run(Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port"), handler)
}

/// Starts a server on a free port of 127.0.0.1 with a handler that is created in the server's
/// thread. A router needs this, because it cannot be sent to another thread.
pub fn serve_made<H: Handler>(make: impl FnOnce() -> H + Send + 'static) -> Running<H::Data> {
    run_made(Server::bind("127.0.0.1:0").expect("a free port"), make)
}

/// Runs a server in a thread.
pub fn run<H>(server: Server<H::Data>, handler: H) -> Running<H::Data>
where
    H: Handler + Send + 'static,
{
    run_made(server, move || handler)
}

fn run_made<H: Handler>(server: Server<H::Data>, make: impl FnOnce() -> H + Send + 'static) -> Running<H::Data> {
    let addr = server
        .local_addrs()
        .iter()
        .find_map(|addr| match addr {
            LocalAddr::Tcp(addr) => Some(*addr),
            _ => None,
        })
        .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let remote = server.remote();
    let thread = std::thread::spawn(move || {
        let mut event_loop = server.start(make()).expect("the listener can be watched");
        event_loop.run().expect("the poller works")
    });
    Running { addr, remote, thread: Some(thread) }
}

impl<D> Running<D> {
    /// Runs `call` on the loop's thread and returns what it returns.
    pub fn ask<T: Send + 'static>(&self, call: impl FnOnce(&mut Clients<D>) -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let call = move |clients: &mut Clients<D>| answer.send(call(clients)).expect("the test waits");
        self.remote.run(call).expect("the server runs");
        answered.recv_timeout(WAIT).expect("the loop turns")
    }

    /// Waits until the server stops by itself.
    pub fn outcome(mut self) -> Outcome {
        self.thread.take().expect("not joined before").join().expect("the loop has not panicked")
    }

    /// Stops the server.
    pub fn stop(self, drain: Drain) -> Outcome {
        self.remote.shutdown(drain).expect("the server runs");
        self.outcome()
    }
}

impl<D> Drop for Running<D> {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The server may have stopped already.
        let _ = self.remote.shutdown(Drain { deadline: Duration::ZERO, ..Drain::default() });
        let outcome = thread.join();
        assert!(std::thread::panicking() || outcome.is_ok(), "the loop has panicked");
    }
}

/// Turns a loop until something has happened.
#[track_caller]
pub fn turn_until<H: Handler>(event_loop: &mut EventLoop<H>, mut done: impl FnMut(&mut EventLoop<H>) -> bool) {
    let deadline = Instant::now() + WAIT;
    while !done(event_loop) {
        assert!(Instant::now() < deadline, "it did not happen in time");
        event_loop.turn(Some(Duration::from_millis(10))).expect("the poller works");
    }
}

// ---- a handler ----------------------------------------------------------------------------------

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

// ---- a client -----------------------------------------------------------------------------------

/// Returns the opening handshake of RFC 6455 §1.3 for a path.
pub fn request(path: &str) -> String {
    request_with(path, "")
}

/// Returns the same as [`request`] with more header lines, each ended by CR LF.
pub fn request_with(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// Returns a client's frame: the first byte (FIN, RSV, opcode), and the masked payload.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(0x82, payload)
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(0x89, payload)
}

pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(reason.as_bytes());
    frame(0x88, &body)
}

/// A server's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV, opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// The head and body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    /// Returns the value of a header. The case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A client that sends literal bytes and waits for the answer, at most [`WAIT`].
pub struct Wire<S: Read + Write = TcpStream> {
    pub stream: BufReader<S>,
}

impl Wire {
    /// Connects without an opening handshake.
    pub fn connect(addr: SocketAddr) -> Wire {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        stream.set_write_timeout(Some(WAIT)).expect("a timeout");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Wire::new(stream)
    }

    /// Opens a WebSocket at `/`.
    pub fn open(addr: SocketAddr) -> Wire {
        Wire::open_at(addr, "/")
    }

    /// Opens a WebSocket at a path.
    pub fn open_at(addr: SocketAddr, path: &str) -> Wire {
        let mut wire = Wire::connect(addr);
        wire.handshake(path);
        wire
    }

    /// Sends FIN.
    pub fn shutdown_write(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("the stream is open");
    }

    /// Sends RST.
    pub fn reset(self) {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

#[cfg(unix)]
impl Wire<UnixStream> {
    /// Opens a WebSocket at a path of a server at a Unix socket.
    pub fn open_unix(socket: &Path, path: &str) -> Wire<UnixStream> {
        let stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        let mut wire = Wire::new(stream);
        wire.handshake(path);
        wire
    }
}

impl<S: Read + Write> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire { stream: BufReader::new(stream) }
    }

    pub fn handshake(&mut self, path: &str) {
        self.send(request(path).as_bytes());
        let response = self.response();
        assert_eq!(response.status(), 101, "{response:?}");
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Reads the next response. Content-Length gives the end of its body.
    pub fn response(&mut self) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = self.stream.read_line(&mut head).expect("a response");
            assert!(count > 0, "the stream ended in a response: {head:?}");
        }
        let mut response = Response { head, body: Vec::new() };
        let length = response.header("Content-Length").map_or(0, |length| length.parse().expect("a length"));
        response.body.resize(length, 0);
        self.stream.read_exact(&mut response.body).expect("a body");
        response
    }

    /// Reads the next frame and checks that its header is valid for a server.
    pub fn frame(&mut self) -> Frame {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).expect("a frame");
        let [first, second] = header;
        let length = match second {
            0..=125 => usize::from(second),
            126 => {
                let length = u16::from_be_bytes(self.bytes());
                assert!(length > 125, "the length is not minimal");
                usize::from(length)
            }
            127 => {
                let length = u64::from_be_bytes(self.bytes());
                assert!(length > 0xffff, "the length is not minimal");
                length as usize
            }
            _ => panic!("a server must not mask"),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a payload");
        Frame { first, payload }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a header");
        bytes
    }

    #[track_caller]
    pub fn expect(&mut self, first: u8, payload: &[u8]) {
        let frame = self.frame();
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(
            frame.first == first && frame.payload == payload,
            "expected {first:#x} {:?} of {}, found {:#x} {:?} of {}",
            shown(payload),
            payload.len(),
            frame.first,
            shown(&frame.payload),
            frame.payload.len()
        );
    }

    #[track_caller]
    pub fn expect_text(&mut self, payload: &str) {
        self.expect(0x81, payload.as_bytes());
    }

    /// Reads a Close frame with this code and returns its reason.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let frame = self.frame();
        assert_eq!(frame.first, 0x88, "{frame:?}");
        assert_eq!(frame.payload[..2], code.to_be_bytes(), "{frame:?}");
        String::from_utf8(frame.payload[2..].to_vec()).expect("a reason is text")
    }

    /// Checks that the server sends FIN and nothing before it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        assert!(matches!(read, Ok(0)), "expected the end, found {read:?} {byte:?}");
    }

    /// Checks that the server sends FIN or RST and nothing before it.
    #[track_caller]
    pub fn expect_gone(&mut self) {
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(matches!(&read, Ok(0)) || read.as_ref().is_err_and(is_reset), "expected the end, found {read:?}");
    }

    /// Sends a message and checks its echo: the server serves this client.
    #[track_caller]
    pub fn echo(&mut self, payload: &str) {
        self.send(&text(payload));
        self.expect_text(payload);
    }
}

// ---- a process ----------------------------------------------------------------------------------

/// Raises the soft limit of descriptors to the hard limit, and returns it.
pub fn descriptors() -> usize {
    usize::try_from(rlimit::increase_nofile_limit(rlimit::INFINITY).expect("RLIMIT_NOFILE")).unwrap_or(usize::MAX)
}
