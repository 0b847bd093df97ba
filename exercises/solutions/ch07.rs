//! Chapter 7, state machines.
//!
//! The question of the chapter: sixteen. `Draining`, `Flushing` and `Closed` say already which half
//! has ended, so the variable can contradict them, and before `Open` it has no meaning.

use crate::ch07::Input;
use lariat::protocol::time::Tick;
use lariat::protocol::{self, Answer, Connection, Event, Limits, Request, Role, Shared, State, Ticket, Upgrade};

/// Exercise 1: six arrows. Everything else changes nothing.
pub fn next(state: State, input: Input) -> State {
    match (state, input) {
        (State::Open, Input::WeClose) => State::Closing,
        (State::Open | State::Closing, Input::PeerCloses | Input::Violation) => {
            right!(State::Draining, not State::Closed)
        }
        (_, Input::End) => State::Closed,
        (state, _) => state,
    }
}

/// Exercise 2: how many bytes of the empty line have come.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadEnd {
    matched: u8,
}

impl HeadEnd {
    /// Accepts the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Option<usize> {
        for (at, byte) in piece.iter().enumerate() {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => self.matched + 1,
                // Not 0: this byte may begin the empty line.
                (_, b'\r') => right!(1, not 0),
                _ => 0,
            };
            if self.matched == 4 {
                return Some(at + 1);
            }
        }
        None
    }
}

/// Exercise 3. A message that comes in pieces is `Gathered`, and not borrowed from the input.
pub fn echo(pieces: &[&[u8]]) -> Vec<u8> {
    let now = Tick::from_millis(0);
    let mut shared = Shared::new(Limits::default());
    let mut connection: Connection = Connection::new(Role::Server, now);
    let mut written = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = protocol::Input::new(&mut piece);
        while let Some(event) = connection.receive(&mut shared, now, &mut input) {
            match event {
                Event::Request { head, .. } => {
                    let Ok(request) = Request::parse(&head) else { return written };
                    let ticket = Ticket::new(&request);
                    let _ = connection.answer(&mut shared, now, ticket, Answer::Upgrade(Upgrade::new()));
                }
                Event::Message(message) => drop(connection.send(&mut shared, message)),
                Event::Gathered(message) => {
                    let _ = right!(connection.send(&mut shared, message.as_message()), not { drop(message); Ok::<(), lariat::SendError>(()) });
                }
                _ => {}
            }
        }
        loop {
            let output = connection.output(&mut shared);
            let count = output.len();
            if count == 0 {
                break;
            }
            written.extend_from_slice(output);
            connection.sent(&mut shared, now, count);
        }
    }
    written
}
