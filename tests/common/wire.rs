//! A client that sends literal bytes.

use super::WAIT;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

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
