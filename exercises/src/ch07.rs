//! Chapter 7, state machines.

use lariat::protocol::State;

// ---- 1 ------------------------------------------------------------------------------------------

/// Something that happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// We send a Close.
    WeClose,
    /// A Close of the peer arrives.
    PeerCloses,
    /// The peer sends something that the protocol forbids.
    Violation,
    /// The peer's half of the stream ends (FIN).
    End,
}

/// Exercise 1. The next state of a server's connection.
///
/// `state` is `Open`, `Closing`, `Draining` or `Closed`. The kernel takes everything that we send
/// at once, so no byte of ours is ever left unsent.
pub fn next(state: State, input: Input) -> State {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Find the end of an HTTP head, which is an empty line: `\r\n\r\n`.
///
/// The head arrives in any pieces. This machine must keep its place, and none of the bytes: it may
/// have at most 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadEnd {
    // Your fields.
}

impl HeadEnd {
    /// Accepts the next piece. If the head ends in it, returns the number of bytes of the piece
    /// that belong to the head.
    pub fn push(&mut self, piece: &[u8]) -> Option<usize> {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. A server without a network.
///
/// Drive a [`Connection`](lariat::protocol::Connection) in the role of a server: pass it the pieces
/// in order, accept its request, and send each message back. Return all bytes that it sends, in
/// order. The four rules are in the chapter. Time does not pass: it is always
/// `Tick::from_millis(0)`.
pub fn echo(pieces: &[&[u8]]) -> Vec<u8> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch07: next, HeadEnd, echo);
    use super::Input;
    use crate::kit::{FIN, PING, REQUEST, Seen, Sent, TEXT, Talk, close, frame, keyed_frame, sent};
    use lariat::CloseCode;
    use lariat::protocol::{Limits, Message, Shared, State, time::Tick};

    #[test]
    fn ex1_the_machine_is_that_of_the_library() {
        use Input::{End, PeerCloses, Violation, WeClose};
        let before: [(State, &[Input]); 4] = [
            (State::Open, &[]),
            (State::Closing, &[WeClose]),
            (State::Draining, &[PeerCloses]),
            (State::Closed, &[PeerCloses, End]),
        ];
        for (state, inputs) in before {
            for input in [WeClose, PeerCloses, Violation, End] {
                let mut server = Talk::with_limits(Limits::default());
                for input in inputs.iter().chain([&input]) {
                    match input {
                        WeClose => drop(server.connection.close(&mut server.shared, server.now, CloseCode::Normal, "")),
                        PeerCloses => server.receive(&close(1000, "")),
                        Violation => server.receive(&[0x83, 0x80]),
                        End => server.eof(),
                    }
                    server.flush();
                }
                assert_eq!(next(state, input), server.state(), "{input:?} in the state {state:?}");
            }
        }
    }

    #[test]
    fn ex2_the_end_of_a_head_is_found_in_any_pieces() {
        assert!(size_of::<HeadEnd>() <= 8, "it has {} bytes", size_of::<HeadEnd>());
        let heads: [&[u8]; 5] =
            [REQUEST, b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\r\n\r\n", b"a\rb\nc\n\r\r\r\n\n\r\n\r\n"];
        for head in heads {
            let bytes = [head, b"\r\n\r\nthe rest"].concat();
            for size in 1..=bytes.len() {
                let (mut machine, mut before) = (HeadEnd::default(), 0);
                let found = bytes.chunks(size).find_map(|piece| {
                    before += piece.len();
                    machine.push(piece).map(|count| before - piece.len() + count)
                });
                assert_eq!(found, Some(head.len()), "{:?} in pieces of {size}", head.escape_ascii().to_string());
            }
        }
        // The library finds the request at the same byte.
        let mut server = Talk::fresh(Shared::new(Limits::default()), Tick::default());
        let mut machine = HeadEnd::default();
        for byte in REQUEST {
            assert_eq!(server.state(), State::Handshaking);
            server.receive(&[*byte]);
            assert_eq!(machine.push(&[*byte]).is_some(), server.state() != State::Handshaking);
        }
    }

    #[test]
    fn ex3_a_connection_is_driven_without_a_network() {
        let large = "state machine ".repeat(1_000);
        let conversation = [
            REQUEST.to_vec(),
            frame(FIN | TEXT, "hello"),
            frame(TEXT, "né"),
            keyed_frame(FIN | PING, [9, 8, 7, 6], "?"),
            frame(FIN, "e"),
            frame(FIN | TEXT, &large),
            frame(FIN | 2, [1, 2, 3]),
            close(1000, "done"),
        ]
        .concat();
        for size in [conversation.len(), 4_096, 1_000, 100, 7, 3, 2, 1] {
            let pieces: Vec<&[u8]> = conversation.chunks(size).collect();
            let mut output = sent(&echo(&pieces));
            let Sent::Response(response) = output.remove(0) else { panic!("no response") };
            assert_eq!(response.status, 101);
            let binary = Sent::Frame(FIN | 2, vec![1, 2, 3]);
            let mut expected = vec![Sent::text("hello"), Sent::text("née"), Sent::text(&large), binary];
            // The Pong may go out before or after what is queued.
            let pong = output.iter().position(|sent| *sent == Sent::pong("?")).expect("a Pong");
            output.remove(pong);
            expected.push(Sent::close(1000, "done"));
            let short = |sent: &Sent| format!("{sent:?}").chars().take(80).collect::<String>();
            let [output, expected] = [output, expected].map(|all| all.iter().map(short).collect::<Vec<_>>());
            assert_eq!(output, expected, "in pieces of {size}");
        }

        // A client of Lariat's understands it.
        let mut client = Talk::open_client(Shared::new(Limits::default()), Tick::default());
        let text = "from client to server and back";
        client.connection.send(&mut client.shared, Message::Text(text)).expect("room for it");
        client.flush();
        let output = echo(&[REQUEST, &client.output]);
        let end_of_head = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        client.receive(&output[end_of_head..]);
        assert_eq!(client.seen, [Seen::text(text)]);
    }
}
