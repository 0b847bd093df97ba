//! Do the examples do what their first lines promise? Each runs as the program that a reader would
//! start.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An example that runs; it ends with the test.
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

    /// The whole response.
    fn get(&self, target: &str, headers: &str) -> String {
        let mut stream = self.stream();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").expect("send");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    /// What it says until it ends by itself, which it must do well.
    fn end(mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        let status = self.child.wait().expect("it has ended");
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

/// Cargo puts examples beside the folder of the tests.
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

    /// The server's Close, which is not answered before the next call.
    fn closed_with(&mut self) -> CloseFrame {
        match self.0.read().expect("a Close") {
            Message::Close(Some(frame)) => frame,
            other => panic!("{other:?} instead of a Close"),
        }
    }

    /// Answers the server's Close and reads to the end.
    fn finish(mut self) {
        while self.0.read().is_ok() {}
    }

    /// Closes and waits until the server has agreed.
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
fn chat_keeps_rooms_apart_and_tells_who_comes_and_goes() {
    let example = Example::start("chat", &[]);
    let mut ada = example.connect("/kitchen?Ada");
    assert_eq!(ada.text(), "* welcome to /kitchen, Ada; people here: 1");
    let mut bob = example.connect("/kitchen?Bob");
    assert_eq!(bob.text(), "* welcome to /kitchen, Bob; people here: 2");
    assert_eq!(ada.text(), "* Bob comes in");
    let mut cleo = example.connect("/cellar");
    assert_eq!(cleo.text(), "* welcome to /cellar, somebody; people here: 1");

    bob.send("hello");
    assert_eq!(ada.text(), "<Bob> hello");
    assert_eq!(bob.text(), "<Bob> hello");
    bob.leave();
    assert_eq!(ada.text(), "* Bob leaves");

    let dan = example.connect("/kitchen?Dan");
    assert_eq!(ada.text(), "* Dan comes in");
    // Without a closing handshake.
    drop(dan);
    assert_eq!(ada.text(), "* Dan is gone");

    // The first thing that is heard in the cellar is its own.
    cleo.send("dark here");
    assert_eq!(cleo.text(), "<somebody> dark here");

    for target in ["/kitchen?", "/kitchen?a%20b", "/kitchen?aaaaaaaaaaaaaaaaaaaaa"] {
        assert!(example.get(target, UPGRADE).starts_with("HTTP/1.1 400 "), "{target}");
    }
}

#[test]
fn push_speaks_without_being_asked() {
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
    // The largest prime of 64 bits takes longer than anybody waits here.
    let mut other = example.connect("/");
    other.send("18446744073709551557");
    for text in ["what?", "-1", "18446744073709551616"] {
        client.send(text);
        assert_eq!(client.text(), "send a whole number below 2^64");
    }
    // One job is under way and a hundred more may wait.
    for _ in 0..102 {
        other.send("18446744073709551557");
    }
    assert_eq!(other.text(), "busy, try again later");
}

#[test]
fn relay_passes_messages_and_the_close_on() {
    let echo = Example::start("echo", &[]);
    let relay = Example::start("relay", &[&format!("ws://{}/", echo.address)]);
    let mut client = relay.connect("/");
    for number in 0..20 {
        client.send(&number.to_string());
    }
    for number in 0..20 {
        assert_eq!(client.text(), number.to_string());
    }
    client.leave();

    let mut client = relay.connect("/");
    client.send("once more");
    assert_eq!(client.text(), "once more");
    drop(echo);
    assert_eq!(u16::from(client.closed_with().code), 1001);
    client.finish();
    let mut client = relay.connect("/");
    client.closed_with();
}

#[cfg(feature = "signals")]
#[test]
fn drain_says_goodbye_to_everybody_and_refuses_the_next() {
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
    // Nobody has answered the Close yet, so the server is still there.
    assert!(example.get("/ready", "").starts_with("HTTP/1.1 503 "));
    assert!(example.get("/", UPGRADE).starts_with("HTTP/1.1 503 "));
    clients.into_iter().for_each(Client::finish);
    assert_eq!(example.end(), ["stopped; 0 did not say goodbye"]);
}

#[test]
fn foreign_loop_serves_clients_and_its_own_input() {
    let mut example = Example::start("foreign_loop", &[]);
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    one.send("echo");
    assert_eq!(one.text(), "echo");
    two.send("echo, too");
    assert_eq!(two.text(), "echo, too");

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

/// What makes a request an opening handshake.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn simulated_tests_a_chat() {
    let output = Command::new(path("simulated")).output().expect("the example is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
