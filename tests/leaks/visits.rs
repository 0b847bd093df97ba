//! The visitors: what they send, what they wait for, and how they leave.

use super::common::{close, frame, ping, request, request_with, text};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// What a visitor waits for before it leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Nothing: the other visitors are enough.
    Nothing,
    /// "end": in a Pong to its last Ping, or in a message.
    Word,
    /// The end of the server's stream.
    End,
}

/// How a visitor leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// With FIN, after the server if the server has already ended.
    Fin,
    /// With RST.
    Reset,
}

pub struct Visit {
    pub name: &'static str,
    says: Vec<u8>,
    until: Until,
    leave: Leave,
}

/// 2,000 times "a", compressed.
const COMPRESSED: &[u8] = b"JL\x1c\x05\xa3`\x14\x8c\x82Q0\nF\xc1P\x07\0\0";

const WORD: &[u8] = b"end";

/// Returns one visit of each kind.
pub fn visits() -> Vec<Visit> {
    use Leave::{Fin, Reset};
    use Until::{End, Nothing, Word};
    let mut all = Vec::new();
    let mut visit = |name, says: &[&[u8]], until, leave| {
        all.push(Visit { name, says: says.concat(), until, leave });
    };
    let (hello, last, bye) = (text("hello"), ping(WORD), close(1000, "bye"));
    let at = |path: &str| request(path).into_bytes();
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let large = frame(0x82, &[1; 20_000]);
    visit("closes", &[&at("/echo"), &hello, &bye], End, Fin);
    visit("closes and resets", &[&at("/echo"), &hello, &last], Word, Reset);
    visit("is closed", &[&at("/close"), &bye], End, Fin);
    visit("resets in the handshake", &[&half(&at("/echo"))], Nothing, Reset);
    visit("ends in the handshake", &[&half(&at("/echo"))], Nothing, Fin);
    visit("says nothing, and resets", &[], Nothing, Reset);
    visit("says nothing, and ends", &[], Nothing, Fin);
    visit("resets in a header", &[&at("/echo"), &large[..3]], Nothing, Reset);
    visit("resets in a frame", &[&at("/echo"), &half(&large)], Nothing, Reset);
    visit("ends in a frame", &[&at("/echo"), &half(&large)], Nothing, Fin);
    visit("ends in a message", &[&at("/echo"), &frame(0x01, &[b'a'; 500]), &frame(0, b"b"), &last], Word, Fin);
    visit("ends in a control frame", &[&at("/echo"), &last[..4]], Nothing, Fin);
    visit(
        "large messages",
        &[&at("/echo"), &large, &frame(0x02, &[2; 3_000]), &frame(0x80, &[2; 20_000]), &last],
        Word,
        Reset,
    );
    visit("wants a page", &[&at("/page")], End, Fin);
    visit("wants a page, and resets", &[&at("/page")], Nothing, Reset);
    visit("is refused", &[&at("/forbidden")], End, Fin);
    visit("plain HTTP", &[b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"], End, Fin);
    visit("no HTTP", &[b"EHLO localhost\r\n\r\n"], End, Fin);
    visit("version 8", &[request("/").replace(": 13", ": 8").as_bytes()], End, Fin);
    visit("a large head", &[request_with("/", &format!("X: {}\r\n", "x".repeat(9_000))).as_bytes()], End, Fin);
    visit("is accepted later", &[&at("/later"), &hello, &last], Word, Reset);
    visit("does not wait for the answer", &[&at("/undecided"), &hello], Nothing, Reset);
    visit("gets headers", &[&at("/headers"), &last], Word, Reset);
    visit("topics", &[&at("/topics"), &hello, &last], Word, Reset);
    visit("is one of many receivers", &[&at("/crowd"), &hello], Nothing, Reset);
    visit("timers", &[&at("/timer")], Word, Reset);
    visit("an interval", &[&at("/interval"), &last, &bye], End, Fin);
    visit("does not mask", &[&at("/echo"), b"\x81\x02hi"], End, Fin);
    visit("sends invalid text", &[&at("/echo"), &frame(0x81, b"\xff")], End, Fin);
    visit("does not read", &[&at("/flood")], Nothing, Reset);
    visit("is too slow", &[&at("/slow")], End, Fin);
    visit("in pieces", &[&at("/pieces"), &large, &frame(0x01, b"a"), &frame(0x80, b"b"), &last], Word, Reset);
    visit("in pieces, not all", &[&at("/pieces"), &frame(0x01, b"a"), &half(&large)], Nothing, Reset);
    visit("is traced", &[&at("/traced"), &hello, &last], Word, Reset);
    visit("panics", &[&at("/panic"), &hello], End, Fin);
    visit("is the reason for another connection", &[&at("/relay")], Word, Reset);
    visit("is the reason for one that is refused", &[&at("/nowhere")], Word, Reset);
    if cfg!(feature = "deflate") {
        let alone = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                     server_no_context_takeover\r\n";
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let [alone, kept] = [alone, offer].map(|offer| request_with("/echo", offer).into_bytes());
        let compressed = frame(0xc1, COMPRESSED);
        visit("compresses", &[&alone, &compressed, &last], Word, Reset);
        visit("compresses, and closes", &[&alone, &compressed, &compressed, &bye], End, Fin);
        visit("compresses a part", &[&alone, &half(&compressed)], Nothing, Reset);
        visit("sends invalid compressed data", &[&alone, &frame(0xc1, &[0xff; 100])], End, Fin);
        visit("keeps a context", &[&kept, &compressed, &compressed, &last], Word, Reset);
        visit("keeps a context, and closes", &[&kept, &compressed, &bye], End, Fin);
        visit("keeps a context and sends invalid data", &[&kept, &compressed, &frame(0xc1, &[0xff; 100])], End, Fin);
    }
    all
}

/// A connection that makes a visit.
pub struct Visitor {
    stream: TcpStream,
    tail: [u8; WORD.len()],
    until: Until,
    pub is_done: bool,
    has_ended: bool,
}

impl Visitor {
    pub fn comes(addr: SocketAddr, visit: &Visit) -> Visitor {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.write_all(&visit.says).expect("there is room for everything");
        stream.set_nonblocking(true).expect("non-blocking");
        Visitor { stream, tail: [0; WORD.len()], until: visit.until, is_done: false, has_ended: false }
    }

    /// Reads the available bytes, unless the visit does not read.
    pub fn look(&mut self, visit: &Visit, buffer: &mut [u8]) {
        while !self.is_done && self.until != Until::Nothing && !self.has_ended {
            match self.stream.read(buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    let new = count.min(WORD.len());
                    self.tail.rotate_left(new);
                    self.tail[WORD.len() - new..].copy_from_slice(&buffer[count - new..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.has_ended = true,
                Err(error) => panic!("{}: {error}", visit.name),
            }
        }
        let has_word = self.tail == WORD;
        assert!(self.until != Until::Word || has_word || !self.has_ended, "{}: the server disconnected", visit.name);
        self.is_done = match self.until {
            Until::Nothing => true,
            Until::Word => has_word,
            Until::End => self.has_ended,
        };
    }

    /// Leaves, or waits for the server's end if necessary.
    pub fn leaves(&mut self, visit: &Visit) {
        if visit.leave == Leave::Reset {
            socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
        } else if !self.has_ended {
            self.stream.shutdown(Shutdown::Write).expect("FIN");
            self.until = Until::End;
            self.is_done = false;
        }
    }
}
