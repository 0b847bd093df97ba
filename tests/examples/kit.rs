//! A running example and a foreign client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// The longest time that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running example. It ends with the test.
pub struct Example {
    pub child: Child,
    pub input: Option<ChildStdin>,
    pub lines: Receiver<String>,
    pub address: SocketAddr,
}

impl Example {
    pub fn start(name: &str, arguments: &[&str]) -> Example {
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

    pub fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        // Bytes are on their way as soon as they are sent.
        stream.set_nodelay(true).expect("set an option");
        stream
    }

    pub fn connect(&self, target: &str) -> Client {
        let url = format!("ws://{}{target}", self.address);
        Client(tungstenite::client(url, self.stream()).expect("an upgrade").0)
    }

    /// Sends a GET request and returns the whole response.
    pub fn get(&self, target: &str, headers: &str) -> String {
        let mut stream = self.stream();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address).expect("send");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    /// Waits until the example ends by itself with success, and returns the lines that it printed.
    pub fn end(mut self) -> Vec<String> {
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
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("examples").join(name)
}

pub struct Client(pub WebSocket<TcpStream>);

impl Client {
    pub fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("send");
    }

    pub fn text(&mut self) -> String {
        match self.0.read().expect("a message") {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("{other:?} instead of text"),
        }
    }

    /// Reads the server's Close frame. The next call answers it.
    pub fn closed_with(&mut self) -> CloseFrame {
        match self.0.read().expect("a Close") {
            Message::Close(Some(frame)) => frame,
            other => panic!("{other:?} instead of a Close"),
        }
    }

    /// Answers the server's Close and reads until the connection ends.
    pub fn finish(mut self) {
        while self.0.read().is_ok() {}
    }

    /// Closes the connection and waits for the server's Close.
    pub fn leave(mut self) {
        self.0.close(None).expect("close");
        self.finish();
    }
}

/// The headers that make a request an opening handshake.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
