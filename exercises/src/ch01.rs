//! Chapter 1, purpose.

use std::io::{self, Read};

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. What does a piece of news cost a page that polls?
///
/// A request and its response have `exchange` bytes together, the news included. One response in
/// `one_in` has news. Return the bytes on the wire for each piece of news.
pub fn polled(exchange: u64, one_in: u64) -> u64 {
    todo!()
}

/// Exercise 1, second half. What does it cost over a WebSocket?
///
/// The server sends one frame with the news. Its header has 2 bytes for a payload of up to 125
/// bytes, 4 bytes up to 65,535, and otherwise 10. Return the bytes on the wire.
pub fn pushed(news: u64) -> u64 {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. A read returns some of the bytes.
///
/// Fill `buffer` from the stream, with as many calls of [`Read::read`] as it takes (and no other
/// method of `Read`). Return the number of bytes that are in the buffer then. It is smaller than
/// the buffer only if the stream has ended, which a read shows by returning 0.
///
/// A read that a signal has interrupted fails with `ErrorKind::Interrupted`, and must be repeated.
///
/// # Errors
///
/// Every other error of a read.
pub fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. TCP loses the boundaries between messages. This receiver restores them.
///
/// The sender writes one byte with the length of a message, and then the message. The bytes arrive
/// in any pieces.
#[derive(Debug, Default)]
pub struct Receiver {
    // Your fields.
}

impl Receiver {
    /// Accepts the bytes of one read. Returns the messages that are complete now, in order.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        todo!()
    }

    /// Returns the number of bytes that are kept for the next call. Keep no byte of a message that
    /// was returned.
    pub fn kept(&self) -> usize {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch01: polled, pushed, fill, Receiver);
    use lariat::protocol::{Header, Opcode};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        (client, listener.accept().expect("the connection").0)
    }

    #[test]
    fn ex1_news() {
        assert_eq!(polled(400, 100), 40_000);
        assert_eq!(polled(1_200, 1), 1_200);
        for news in [0, 1, 40, 125, 126, 1_000, 65_535, 65_536, 1 << 20] {
            let header = Header::unmasked(Opcode::Text, news).to_bytes();
            assert_eq!(pushed(news as u64), (header.len() + news) as u64, "{news} bytes of news");
        }
    }

    /// Yields its bytes in pieces, with an interruption before each.
    struct Pieces<'b> {
        bytes: &'b [u8],
        piece: usize,
        is_interrupted: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = self.piece.min(self.bytes.len()).min(buffer.len());
            let (piece, rest) = self.bytes.split_at(count);
            buffer[..count].copy_from_slice(piece);
            self.bytes = rest;
            Ok(count)
        }
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn ex2_reads_return_some_of_the_bytes() {
        let bytes = b"good morning";
        for piece in 1..=bytes.len() {
            for size in 0..20 {
                let mut stream = Pieces { bytes, piece, is_interrupted: false };
                let mut buffer = vec![0; size];
                let count = size.min(bytes.len());
                assert_eq!(fill(&mut stream, &mut buffer).expect("no error"), count, "{size} bytes, {piece} each");
                assert_eq!(buffer[..count], bytes[..count]);
                assert_eq!(stream.bytes, &bytes[count..], "what does not fit is not read");
            }
        }
        assert_eq!(fill(&mut Broken, &mut [0]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));

        let (mut client, mut server) = connection();
        let sender =
            std::thread::spawn(move || bytes.chunks(5).for_each(|piece| client.write_all(piece).expect("a write")));
        let mut buffer = [0; 20];
        assert_eq!(fill(&mut server, &mut buffer).expect("no error"), bytes.len());
        assert_eq!(&buffer[..bytes.len()], bytes);
        sender.join().expect("the sender");
    }

    #[test]
    fn ex3_messages_have_their_boundaries_again() {
        let messages: [&[u8]; 5] = [b"good", b"", b"morning", &[7; 255], b"!"];
        let stream: Vec<u8> = messages.iter().flat_map(|message| [&[message.len() as u8], *message].concat()).collect();
        for piece in 1..=stream.len() {
            let mut receiver = Receiver::default();
            let mut received = Vec::new();
            for (at, bytes) in stream.chunks(piece).enumerate() {
                received.extend(receiver.receive(bytes));
                let done: usize = received.iter().map(|message| 1 + message.len()).sum();
                assert_eq!(receiver.kept(), at * piece + bytes.len() - done, "in pieces of {piece}");
            }
            assert_eq!(received, messages, "in pieces of {piece}");
        }

        let (mut client, mut server) = connection();
        let sent = stream.clone();
        let sender =
            std::thread::spawn(move || sent.chunks(100).for_each(|piece| client.write_all(piece).expect("a write")));
        let (mut receiver, mut received, mut buffer) = (Receiver::default(), Vec::new(), [0; 64]);
        loop {
            match server.read(&mut buffer).expect("a read") {
                0 => break,
                count => received.extend(receiver.receive(&buffer[..count])),
            }
        }
        assert_eq!(received, messages);
        sender.join().expect("the sender");
    }
}
