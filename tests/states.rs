//! Tests the result of every input in every state, as a complete table.
//!
//! [`cell`] is an exhaustive `match` over (state, input) without a wildcard. If somebody adds a
//! state or an input, the test does not compile until its cells are filled.

mod kit;

use kit::*;
use lariat::http::StatusCode;
use lariat::protocol::time::Tick;
use lariat::protocol::{
    Answer, CloseReason, Limits, ProtocolError, ReadyState, SendError, Shared, State, Ticket, Timeout, Upgrade,
};
use lariat::{CloseCode, CloseFrame, Http};
use std::io;

/// An input of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stimulus {
    /// A request for an upgrade arrives.
    Request,
    /// A complete message arrives.
    Message,
    /// The first fragment of a message arrives.
    Fragment,
    Ping,
    Pong,
    /// A Close frame arrives: 4000 "peer".
    Close,
    /// A frame arrives that is not masked.
    Violation,
    /// The peer's stream ends, and all our bytes have been sent.
    Eof,
    /// The peer's stream ends, and some of our bytes are unsent.
    EofUnsent,
    /// The connection breaks.
    Broken,
    /// One millisecond before the deadline.
    Early,
    /// At the deadline.
    Due,
    /// The application closes with 4001 "app".
    AppClose,
    /// The application sends "app".
    AppSend,
    /// The application sends a ping.
    AppPing,
    /// The application accepts the request.
    AppUpgrade,
    /// The application answers with a page.
    AppRespond,
    /// All unsent bytes are sent.
    Written,
    /// The socket accepts no bytes.
    Blocked,
}

use Stimulus::*;

/// A request after which the connection can stay open.
const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const STIMULI: [Stimulus; 19] = [
    Request, Message, Fragment, Ping, Pong, Close, Violation, Eof, EofUnsent, Broken, Early, Due, AppClose, AppSend,
    AppPing, AppUpgrade, AppRespond, Written, Blocked,
];

/// Returns all states. Each is found from the one before, so that none is forgotten.
fn states() -> Vec<State> {
    let next = |state: &State| match state {
        State::Handshaking => Some(State::Deciding),
        State::Deciding => Some(State::Open),
        State::Open => Some(State::Closing),
        State::Closing => Some(State::Draining),
        State::Draining => Some(State::Flushing),
        State::Flushing => Some(State::Responding),
        State::Responding => Some(State::Closed),
        State::Closed => None,
    };
    std::iter::successors(Some(State::Handshaking), next).collect()
}

/// The expected result of an input in a state.
#[derive(Debug, PartialEq, Eq)]
struct Cell {
    next: State,
    /// What is queued for the peer.
    queued: Queued,
    /// The events.
    seen: Vec<Seen>,
    /// The return value of the application's call.
    returned: Result<(), SendError>,
    /// The close reason, once it is known.
    reason: Option<CloseReason>,
}

#[derive(Debug, PartialEq, Eq)]
enum Queued {
    Nothing,
    Http(u16),
    Text,
    Ping,
    Pong,
    Close(u16),
}

/// The reason of a connection that drains in [`start`].
fn peer_closed() -> CloseReason {
    CloseReason::Peer(Some(CloseFrame { code: CloseCode::from(4000), reason: "peer".into() }))
}

fn we_closed(code: u16, reason: &str) -> CloseReason {
    CloseReason::Local(CloseFrame { code: CloseCode::from(code), reason: reason.into() })
}

/// A response to [`PLAIN`] of which nothing has been sent.
fn cut_off(why: CloseReason) -> CloseReason {
    let total = start(State::Responding, Output::Unsent).connection.buffered_amount();
    CloseReason::CutOff { status: StatusCode::NOT_FOUND, sent: 0, total, why: Box::new(why) }
}

fn refused(status: u16) -> CloseReason {
    CloseReason::Refused(StatusCode::from_u16(status).unwrap())
}

impl Cell {
    fn to(next: State) -> Cell {
        Cell { next, queued: Queued::Nothing, seen: vec![], returned: Ok(()), reason: None }
    }

    fn queues(self, queued: Queued) -> Cell {
        Cell { queued, ..self }
    }

    fn sees(self, seen: Seen) -> Cell {
        Cell { seen: vec![seen], ..self }
    }

    fn returns(self, error: SendError) -> Cell {
        Cell { returned: Err(error), ..self }
    }

    fn because(self, reason: CloseReason) -> Cell {
        Cell { reason: Some(reason), ..self }
    }
}

/// The table.
fn cell(state: State, stimulus: Stimulus) -> Cell {
    let stays = || match state {
        State::Handshaking | State::Deciding | State::Open | State::Closing | State::Responding => Cell::to(state),
        State::Draining | State::Flushing | State::Closed => Cell::to(state).because(peer_closed()),
    };
    let ends = |reason: CloseReason| Cell::to(State::Closed).because(reason);
    let drains = |reason: CloseReason| Cell::to(State::Draining).because(reason);
    match (state, stimulus) {
        // Bytes before the opening handshake must be a request.
        (State::Handshaking, Request) => Cell::to(State::Deciding),
        (State::Handshaking, Message | Fragment | Ping | Pong | Close | Violation) => {
            drains(refused(400)).queues(Queued::Http(400))
        }
        (State::Handshaking, Eof | EofUnsent) => ends(CloseReason::Eof),
        (State::Handshaking, Due) => ends(CloseReason::Timeout(Timeout::Handshake)),

        // Bytes wait for the application's answer.
        (State::Deciding, Request | Message | Fragment | Ping | Pong | Close | Violation) => stays(),
        (State::Deciding, Eof | EofUnsent) => ends(CloseReason::Eof),
        (State::Deciding, Due) => drains(refused(503)).queues(Queued::Http(503)),
        (State::Deciding, AppUpgrade) => Cell::to(State::Open).queues(Queued::Http(101)),
        (State::Deciding, AppRespond) => drains(refused(404)).queues(Queued::Http(404)),

        (State::Open, Message) => stays().sees(Seen::text("peer")),
        (State::Open, Fragment) => stays(),
        (State::Open, Ping) => stays().sees(Seen::ping("peer")).queues(Queued::Pong),
        (State::Open, Pong) => stays().sees(Seen::pong("peer")),
        (State::Open, Close) => drains(peer_closed()).queues(Queued::Close(4000)),
        // "G", the first byte of a request, has a reserved opcode.
        (State::Open, Request) => {
            drains(CloseReason::Protocol(ProtocolError::ReservedOpcode(7))).queues(Queued::Close(1002))
        }
        (State::Open, Violation) => {
            drains(CloseReason::Protocol(ProtocolError::UnmaskedFrame)).queues(Queued::Close(1002))
        }
        (State::Open, Eof) => ends(CloseReason::Eof),
        (State::Open, EofUnsent) => Cell::to(State::Flushing).because(CloseReason::Eof),
        (State::Open, Due) => stays().queues(Queued::Ping),
        (State::Open, AppClose) => Cell::to(State::Closing).queues(Queued::Close(4001)),
        (State::Open, AppSend) => stays().queues(Queued::Text),
        (State::Open, AppPing) => stays().queues(Queued::Ping),
        (State::Open, Written | Blocked) => stays(),

        // We have sent a Close. Frames that the peer sent before it are checked, and control frames
        // are answered.
        (State::Closing, Message | Fragment) => stays(),
        (State::Closing, Ping) => stays().sees(Seen::ping("peer")).queues(Queued::Pong),
        (State::Closing, Pong) => stays().sees(Seen::pong("peer")),
        (State::Closing, Close) => drains(we_closed(1000, "bye")),
        (State::Closing, Request) => drains(CloseReason::Protocol(ProtocolError::ReservedOpcode(7))),
        (State::Closing, Violation) => drains(CloseReason::Protocol(ProtocolError::UnmaskedFrame)),
        (State::Closing, Eof) => ends(CloseReason::Eof),
        (State::Closing, EofUnsent) => Cell::to(State::Flushing).because(CloseReason::Eof),
        (State::Closing, Due) => ends(CloseReason::Timeout(Timeout::Close)),
        (State::Closing, Written | Blocked) => stays(),

        // Both sides have finished. Nothing is received, and the reason does not change.
        (State::Draining, Request | Message | Fragment | Ping | Pong | Close | Violation) => stays(),
        (State::Draining, Eof) => ends(peer_closed()),
        (State::Draining, EofUnsent) => Cell::to(State::Flushing).because(peer_closed()),
        (State::Draining, Due) => ends(peer_closed()),
        (State::Draining, Written | Blocked) => stays(),

        (State::Flushing, Request | Message | Fragment | Ping | Pong | Close | Violation) => stays(),
        (State::Flushing, Eof | EofUnsent) => stays(),
        (State::Flushing, Due | Written) => ends(peer_closed()),
        (State::Flushing, Blocked) => stays(),

        // What arrives is held until the response has been sent.
        (State::Responding, Request | Message | Fragment | Ping | Pong | Close | Violation) => stays(),
        (State::Responding, Eof | EofUnsent) => Cell::to(State::Flushing).because(refused(404)),
        (State::Responding, Broken) => ends(cut_off(CloseReason::Io(io::ErrorKind::BrokenPipe))),
        (State::Responding, Due) => ends(cut_off(CloseReason::Timeout(Timeout::Write))),
        (State::Responding, Written) => Cell::to(State::Handshaking),
        (State::Responding, Blocked) => stays(),

        (State::Closed, Request | Message | Fragment | Ping | Pong | Close | Violation) => stays(),
        (State::Closed, Eof | EofUnsent | Due | Written | Blocked | Broken) => stays(),

        // Inputs with the same result in most states.
        (State::Handshaking | State::Deciding, Written | Blocked) => stays(),
        (State::Handshaking | State::Deciding | State::Open | State::Closing, Broken) => {
            ends(CloseReason::Io(io::ErrorKind::BrokenPipe))
        }
        (State::Draining | State::Flushing, Broken) => ends(peer_closed()),
        (
            State::Handshaking
            | State::Deciding
            | State::Open
            | State::Closing
            | State::Draining
            | State::Flushing
            | State::Responding
            | State::Closed,
            Early,
        ) => stays(),
        (
            State::Handshaking
            | State::Deciding
            | State::Closing
            | State::Draining
            | State::Flushing
            | State::Responding
            | State::Closed,
            AppClose | AppSend | AppPing,
        ) => stays().returns(SendError::NotOpen),
        (
            State::Handshaking
            | State::Open
            | State::Closing
            | State::Draining
            | State::Flushing
            | State::Responding
            | State::Closed,
            AppUpgrade | AppRespond,
        ) => stays(),
    }
}

/// Whether the first output of a state has been sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Sent,
    Unsent,
}

/// Creates a connection in this state.
fn start(state: State, output: Output) -> Talk {
    let mut limits = Limits::default();
    limits.http = Some(Http::default());
    let shared = Shared::with_seed(limits, 0);
    let mut talk = Talk::fresh(shared, Tick::from_millis(0));
    if matches!(state, State::Handshaking | State::Deciding) {
        talk.decide = |_| Answer::Later;
    }
    match state {
        State::Handshaking => {}
        State::Deciding => talk.receive(REQUEST),
        State::Open => talk.receive(REQUEST),
        State::Closing => {
            talk.receive(REQUEST);
            talk.close(CloseCode::Normal, "bye");
        }
        State::Draining => {
            talk.receive(REQUEST);
            talk.receive(&close(4000, "peer"));
        }
        State::Responding => {
            talk.decide = |_| StatusCode::NOT_FOUND.into();
            talk.receive(PLAIN);
        }
        State::Flushing | State::Closed => {
            talk.receive(REQUEST);
            talk.receive(&close(4000, "peer"));
            talk.eof();
        }
    }
    // A connection in Flushing that has sent everything is Closed, and one in Responding is
    // Handshaking.
    let stays = !matches!(state, State::Flushing | State::Responding);
    if (output == Output::Sent && stays) || state == State::Closed {
        talk.flush();
    }
    assert_eq!(talk.state(), state);
    talk.seen.clear();
    talk.output.clear();
    talk
}

/// Passes an input to a connection in a state, and returns the result.
fn run(state: State, stimulus: Stimulus) -> Cell {
    let output = match stimulus {
        EofUnsent | Written | Blocked => Output::Unsent,
        Request | Message | Fragment | Ping | Pong | Close | Violation | Eof | Broken | Early | Due | AppClose
        | AppSend | AppPing | AppUpgrade | AppRespond => Output::Sent,
    };
    let mut talk = start(state, output);
    let before = talk.connection.buffered_amount();
    let ticket = || Ticket::new(&lariat::Request::parse(REQUEST).unwrap());
    let mut returned = Ok(());
    let (connection, shared, now) = (&mut talk.connection, &mut talk.shared, talk.now);
    let deadline = connection.deadline(&shared.limits, now);
    assert_eq!(deadline.is_none(), state == State::Closed, "every other state ends at its deadline");
    let deadline = deadline.unwrap_or(Tick::from_millis(1_000_000_000));
    match stimulus {
        Request => talk.receive(REQUEST),
        Message => talk.receive(&text("peer")),
        Fragment => talk.receive(&frame(TEXT, "peer")),
        Ping => talk.receive(&frame(FIN | PING, "peer")),
        Pong => talk.receive(&frame(FIN | PONG, "peer")),
        Close => talk.receive(&close(4000, "peer")),
        Violation => talk.receive(&unmasked_frame(FIN | TEXT, "peer")),
        Eof | EofUnsent => connection.receive_eof(shared, now),
        Broken => connection.end(shared, CloseReason::Io(io::ErrorKind::BrokenPipe)),
        Early => connection.handle_timeout(shared, Tick::from_millis(deadline.millis() - 1)),
        Due => connection.handle_timeout(shared, deadline),
        AppClose => returned = connection.close(shared, now, CloseCode::from(4001), "app"),
        AppSend => returned = connection.send(shared, "app".into()),
        AppPing => returned = connection.ping(shared, b"app"),
        AppUpgrade => assert_eq!(connection.answer(shared, now, ticket(), Upgrade::new().into()), Ok(())),
        AppRespond => assert_eq!(connection.answer(shared, now, ticket(), StatusCode::NOT_FOUND.into()), Ok(())),
        Written => connection.sent(shared, now, before),
        Blocked => connection.sent(shared, now, 0),
    }
    let next = talk.state();
    let queued = queued(&mut talk, before);
    let seen = talk.seen.iter().filter(|seen| !matches!(seen, Seen::Request { .. })).cloned().collect();
    let reason = match next {
        State::Handshaking | State::Deciding | State::Open | State::Closing | State::Responding => None,
        State::Draining | State::Flushing | State::Closed => {
            // Unsent bytes of a response would be one more reason.
            talk.flush();
            talk.end()
        }
    };
    Cell { next, queued, seen, returned, reason }
}

/// Returns what has been queued after the first `before` bytes.
fn queued(talk: &mut Talk, before: usize) -> Queued {
    let output = talk.connection.output(&mut talk.shared);
    let sent = output.get(before..).map_or(vec![], sent);
    match sent.as_slice() {
        [] => Queued::Nothing,
        [Sent::Response(response)] => Queued::Http(response.status),
        [Sent::Frame(first, payload)] => match (*first, payload.as_slice()) {
            (0x81, b"app") => Queued::Text,
            (0x89, b"" | b"app") => Queued::Ping,
            (0x8a, b"peer") => Queued::Pong,
            (0x88, [high, low, ..]) => Queued::Close(u16::from_be_bytes([*high, *low])),
            _ => panic!("{sent:?}"),
        },
        _ => panic!("more than one thing is queued: {sent:?}"),
    }
}

#[test]
fn every_input_in_every_state_has_the_expected_result() {
    let states = states();
    assert_eq!(states.len(), 8);
    for state in states {
        for stimulus in STIMULI {
            assert_eq!(run(state, stimulus), cell(state, stimulus), "{stimulus:?} in {state:?}");
        }
    }
}

#[test]
fn the_list_of_inputs_contains_each_input_once() {
    for (index, stimulus) in STIMULI.iter().enumerate() {
        assert_eq!(*stimulus as usize, index);
    }
    assert_eq!(Blocked as usize + 1, STIMULI.len(), "the last input is the last in the list");
}

#[test]
fn the_ready_state_equals_that_of_a_browser() {
    let shown = states().into_iter().map(State::ready_state).collect::<Vec<_>>();
    let [connecting, open, closing, closed] =
        [ReadyState::Connecting, ReadyState::Open, ReadyState::Closing, ReadyState::Closed];
    assert_eq!(shown, [connecting, connecting, open, closing, closing, closing, connecting, closed]);
    assert_eq!([connecting, open, closing, closed].map(|state| state as u8), [0, 1, 2, 3]);
}

#[test]
fn a_response_that_ends_before_it_is_sent_was_cut_off_for_the_reason_of_the_end() {
    let why_of = |end: fn(&mut Talk)| {
        let mut talk = start(State::Deciding, Output::Sent);
        let (connection, shared) = (&mut talk.connection, &mut talk.shared);
        let ticket = connection.take_ticket().unwrap();
        assert_eq!(connection.answer(shared, talk.now, ticket, StatusCode::NOT_FOUND.into()), Ok(()));
        let whole = connection.output(shared).len();
        connection.sent(shared, talk.now, 10);
        end(&mut talk);
        let Some(CloseReason::CutOff { status, sent, total, why }) = talk.end() else { panic!("not cut off") };
        assert_eq!((status, sent, total), (StatusCode::NOT_FOUND, 10, whole));
        *why
    };
    let due = |talk: &mut Talk| {
        let later = Tick::from_millis(talk.now.millis() + 5_000);
        talk.connection.handle_timeout(&mut talk.shared, later);
    };
    let flushing_and_due = |talk: &mut Talk| {
        talk.connection.receive_eof(&mut talk.shared, talk.now);
        let later = Tick::from_millis(talk.now.millis() + 5_000);
        talk.connection.handle_timeout(&mut talk.shared, later);
    };
    let evict = |talk: &mut Talk| talk.connection.evict(&mut talk.shared, talk.now, CloseReason::Evicted);
    assert_eq!(why_of(due), CloseReason::Timeout(Timeout::Write));
    assert_eq!(why_of(flushing_and_due), CloseReason::Timeout(Timeout::Write));
    assert_eq!(why_of(evict), CloseReason::Evicted);
    assert_eq!(why_of(|_| {}), CloseReason::Io(io::ErrorKind::ConnectionReset));
}

#[test]
fn bytes_held_while_deciding_are_bounded_by_one_read_and_freed_at_the_end() {
    for stimulus in STIMULI {
        let mut talk = start(State::Deciding, Output::Sent);
        talk.receive(&text("held"));
        assert!(talk.connection.memory() > 0);
        let (connection, shared) = (&mut talk.connection, &mut talk.shared);
        match stimulus {
            Eof => connection.receive_eof(shared, talk.now),
            Broken => connection.end(shared, CloseReason::Io(io::ErrorKind::BrokenPipe)),
            Due => connection.handle_timeout(shared, Tick::from_millis(10_000)),
            AppRespond => {
                let ticket = connection.take_ticket().unwrap();
                assert_eq!(connection.answer(shared, talk.now, ticket, StatusCode::OK.into()), Ok(()));
            }
            Request | Message | Fragment | Ping | Pong | Close | Violation | EofUnsent | Early | AppClose | AppSend
            | AppPing | AppUpgrade | Written | Blocked => continue,
        }
        assert!(connection.take_held(shared).is_empty(), "{stimulus:?}");
        talk.flush();
        assert_eq!(talk.connection.memory(), 0, "{stimulus:?}");
    }
}
