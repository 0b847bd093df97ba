//! Tests that each example does what its first lines say. Each runs as the program that a reader
//! would start.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// The longest time that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running example. It ends with the test.
struct Example {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    address: SocketAddr,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Example {
        let path = path(name);
        let mut child = Command::new(&path)
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {} ({error}): cargo build --examples", path.display()));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let first = lines.recv_timeout(PATIENCE).expect("a first line");
        let address = first.strip_prefix("listening on ").expect("the address").parse().expect("an address");
        Example { input: child.stdin.take(), child, lines, address }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        stream
    }

    fn connect(&self, target: &str) -> Client {
        let url = format!("ws://{}{target}", self.address);
        Client(tungstenite::client(url, self.stream()).expect("an upgrade").0)
    }

    /// Sends a GET request and returns the whole response.
    fn get(&self, target: &str, headers: &str) -> String {
        let mut stream = self.stream();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").expect("send");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    /// Waits until the example ends by itself with success, and returns the lines that it printed.
    fn end(mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the example does not end"),
            }
        }
        let status = self.child.wait().expect("the example has ended");
        assert!(status.success(), "{status}");
        said
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of an example: Cargo puts examples beside the folder of the tests.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("examples").join(name)
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("send");
    }

    fn text(&mut self) -> String {
        match self.0.read().expect("a message") {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("{other:?} instead of text"),
        }
    }

    /// Reads the server's Close frame. The next call answers it.
    fn closed_with(&mut self) -> CloseFrame {
        match self.0.read().expect("a Close") {
            Message::Close(Some(frame)) => frame,
            other => panic!("{other:?} instead of a Close"),
        }
    }

    /// Answers the server's Close and reads until the connection ends.
    fn finish(mut self) {
        while self.0.read().is_ok() {}
    }

    /// Closes the connection and waits for the server's Close.
    fn leave(mut self) {
        self.0.close(None).expect("close");
        self.finish();
    }
}

#[test]
fn echo_sends_everything_back() {
    let example = Example::start("echo", &[]);
    let mut client = example.connect("/");
    for text in ["hi", "", "Grüße, 世界"] {
        client.send(text);
        assert_eq!(client.text(), text);
    }
    client.0.send(Message::binary(vec![0, 255, 1])).expect("send");
    assert_eq!(client.0.read().expect("a message"), Message::binary(vec![0, 255, 1]));
    client.leave();
}

#[test]
fn chat_separates_rooms_and_reports_joins_and_leaves() {
    let example = Example::start("chat", &[]);
    let mut ada = example.connect("/kitchen?Ada");
    assert_eq!(ada.text(), "* welcome to /kitchen, Ada; people here: 1");
    let mut bob = example.connect("/kitchen?Bob");
    assert_eq!(bob.text(), "* welcome to /kitchen, Bob; people here: 2");
    assert_eq!(ada.text(), "* Bob joins");
    let mut cleo = example.connect("/cellar");
    assert_eq!(cleo.text(), "* welcome to /cellar, somebody; people here: 1");

    bob.send("hello");
    assert_eq!(ada.text(), "<Bob> hello");
    assert_eq!(bob.text(), "<Bob> hello");
    bob.leave();
    assert_eq!(ada.text(), "* Bob has left");

    let dan = example.connect("/kitchen?Dan");
    assert_eq!(ada.text(), "* Dan joins");
    // Without a closing handshake.
    drop(dan);
    assert_eq!(ada.text(), "* Dan has disconnected");

    // The first message in the cellar is one that was sent there.
    cleo.send("dark here");
    assert_eq!(cleo.text(), "<somebody> dark here");

    for target in ["/kitchen?", "/kitchen?a%20b", "/kitchen?aaaaaaaaaaaaaaaaaaaaa"] {
        assert!(example.get(target, UPGRADE).starts_with("HTTP/1.1 400 "), "{target}");
    }
}

#[test]
fn push_sends_a_count_every_second() {
    let example = Example::start("push", &[]);
    let seconds = |text: String| text.strip_suffix(" s").and_then(|count| count.parse::<u64>().ok()).expect("a count");
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    for client in [&mut one, &mut two] {
        let first = seconds(client.text());
        assert_eq!(seconds(client.text()), first + 1);
        assert_eq!(seconds(client.text()), first + 2);
    }
}

#[test]
fn threads_answers_while_it_works() {
    let example = Example::start("threads", &[]);
    let mut client = example.connect("/");
    client.send("600851475143");
    assert_eq!(client.text(), "600851475143 = 71 * 839 * 1471 * 6857");
    for (number, factors) in [("0", "0"), ("1", "1"), ("2", "2"), ("12", "2 * 2 * 3"), ("97", "97")] {
        client.send(number);
        assert_eq!(client.text(), format!("{number} = {factors}"));
    }
    // The largest prime of 64 bits takes longer than this test.
    let mut other = example.connect("/");
    other.send("18446744073709551557");
    for text in ["what?", "-1", "18446744073709551616"] {
        client.send(text);
        assert_eq!(client.text(), "send a whole number below 2^64");
    }
    // One job is being computed, and a hundred more may wait.
    for _ in 0..102 {
        other.send("18446744073709551557");
    }
    assert_eq!(other.text(), "busy, try again later");
}

#[test]
fn proxy_passes_messages_and_the_close_through() {
    let echo = Example::start("echo", &[]);
    let proxy = Example::start("proxy", &[&format!("ws://{}/", echo.address)]);
    let mut client = proxy.connect("/");
    for number in 0..20 {
        client.send(&number.to_string());
    }
    for number in 0..20 {
        assert_eq!(client.text(), number.to_string());
    }
    client.leave();

    let mut client = proxy.connect("/");
    client.send("once more");
    assert_eq!(client.text(), "once more");
    drop(echo);
    assert_eq!(u16::from(client.closed_with().code), 1001);
    client.finish();
    assert!(proxy.get("/", UPGRADE).starts_with("HTTP/1.1 502 "));
}

/// More than the buffers of two kernels hold.
const FLOOD: usize = 64 << 20;

/// Sends frames until `FLOOD` bytes are sent, an error occurs, or nothing is accepted for two
/// seconds. Returns the number of bytes.
fn flood(mut stream: TcpStream) -> usize {
    // A binary frame of 64 KiB whose masking key is zero.
    let mut frame = vec![0; 14 + (64 << 10)];
    frame[..10].copy_from_slice(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set a timeout");
    (0..FLOOD).step_by(frame.len()).take_while(|_| stream.write_all(&frame).is_ok()).count() * frame.len()
}

#[test]
fn proxy_does_not_buffer_for_a_server_that_has_not_accepted() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Example::start("proxy", &[&format!("ws://{}/", silent.local_addr().expect("an address"))]);
    let mut stream = proxy.stream();
    write!(stream, "GET / HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n").expect("send");
    let (upstream, _) = silent.accept().expect("the proxy connects");

    let accepted = flood(stream.try_clone().expect("clone"));
    assert!(accepted < FLOOD, "the proxy has read {accepted} bytes");
    drop(upstream);
    let mut response = [0; 13];
    stream.read_exact(&mut response).expect("a response");
    assert_eq!(response, *b"HTTP/1.1 502 ");
}

#[test]
fn proxy_holds_back_a_client_whose_server_reads_late_and_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Example::start("proxy", &[&format!("ws://{}/", listener.local_addr().expect("an address"))]);
    // This server accepts and reads later.
    let upstream =
        thread::spawn(move || tungstenite::accept(listener.accept().expect("a client").0).expect("an upgrade"));
    let client = proxy.connect("/");
    let mut upstream = upstream.join().expect("a connection");

    let stream = client.0.get_ref().try_clone().expect("clone");
    let accepted = flood(stream.try_clone().expect("clone"));
    assert!(accepted < FLOOD, "the proxy has read {accepted} bytes");
    // The last frame has been sent in part, so the rest of it cannot be told apart from others.
    stream.shutdown(std::net::Shutdown::Write).expect("the proxy is still connected");
    let mut received = 0;
    while let Ok(message) = upstream.read() {
        received += message.into_data().len();
    }
    assert!(received.abs_diff(accepted) < 1 << 17, "{received} bytes of {accepted}");
}

#[cfg(feature = "signals")]
#[test]
fn drain_closes_every_client_and_refuses_new_ones() {
    let example = Example::start("drain", &[]);
    let mut clients: Vec<Client> = (0..4).map(|_| example.connect("/")).collect();
    for client in &mut clients {
        client.send("here");
        assert_eq!(client.text(), "here");
    }
    assert!(example.get("/ready", "").starts_with("HTTP/1.1 200 "));

    let pid = rustix::process::Pid::from_child(&example.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    for client in &mut clients {
        let frame = client.closed_with();
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "a new version starts"));
    }
    // No client has answered the Close yet, so the server still runs.
    assert!(example.get("/ready", "").starts_with("HTTP/1.1 503 "));
    assert!(example.get("/", UPGRADE).starts_with("HTTP/1.1 503 "));
    clients.into_iter().for_each(Client::finish);
    assert_eq!(example.end(), ["stopped; 0 clients did not answer the Close"]);
}

#[test]
fn foreign_loop_serves_clients_and_its_own_input() {
    let mut example = Example::start("foreign_loop", &[]);
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    one.send("echo");
    assert_eq!(one.text(), "echo");
    two.send("another echo");
    assert_eq!(two.text(), "another echo");

    let mut input = example.input.take().expect("stdin is piped");
    input.write_all(b"typed\n").expect("write");
    assert_eq!((one.text(), two.text()), ("typed".to_owned(), "typed".to_owned()));
    one.send("still there");
    assert_eq!(one.text(), "still there");

    drop(input);
    for mut client in [one, two] {
        assert_eq!(u16::from(client.closed_with().code), 1001);
        client.finish();
    }
    assert_eq!(example.end(), [""; 0]);
}

/// The headers that make a request an opening handshake.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn simulated_tests_a_chat() {
    let output = Command::new(path("simulated")).output().expect("the example is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
