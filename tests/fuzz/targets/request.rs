//! A request on a server's connection: the result is the same for any cuts, and every answer is a
//! well-formed response.

#![no_main]

use lariat::http::StatusCode;
use lariat::protocol::time::Tick;
use lariat::protocol::{Answer, Connection, Event, Input, Request, Role, Shared, State, Ticket, Upgrade};
use lariat::{Deflate, Limits};
use libfuzzer_sys::fuzz_target;

/// Uses every method of a request. Returns our answer.
fn judge(head: &[u8]) -> Result<(Ticket, Answer), lariat::Rejection> {
    let request = Request::parse(head)?;
    assert!(request.path().starts_with('/') && !request.path().contains(['?', '#', ' ', '\r', '\n']));
    assert!(request.headers().count() <= lariat::protocol::MAX_HEADERS);
    for (name, value) in request.headers() {
        assert!(!name.is_empty() && !value.contains(&b'\n') && !value.contains(&0));
        assert!(request.values(name).next().is_some());
    }
    let _ = (request.query(), request.origin(), request.host(), request.cookies().count());
    let _ = request.is_same_origin();
    assert_eq!(request.cookie_pairs().count(), request.cookies().count());
    for (name, _) in request.query_pairs() {
        assert!(request.query_value(&name).is_some());
    }
    let offered: Vec<&str> = request.subprotocols().collect();
    assert_eq!(request.choose_subprotocol(&offered), offered.first().copied());
    let ticket = Ticket::new(&request);
    assert_eq!(ticket.is_upgrade(), request.is_upgrade());
    let answer = match (request.is_upgrade(), offered.first()) {
        (false, _) => StatusCode::NOT_FOUND.into(),
        (true, None) => Upgrade::new().into(),
        (true, Some(first)) => Upgrade::new().subprotocol(*first).into(),
    };
    Ok((ticket, answer))
}

/// Returns the resulting state and the output.
fn converse<'d>(pieces: impl Iterator<Item = &'d [u8]>, total: usize) -> (State, Vec<u8>) {
    let (now, limits) = (Tick::default(), Limits::default());
    let most_memory = 2 * total + 2 * limits.max_head + (64 << 10);
    let mut shared = Shared::with_seed(limits, 0).with_deflate(Some(Deflate::default()));
    let mut connection: Connection = Connection::new(Role::Server, now);
    let mut requests = 0;
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        while connection.state() != State::Open {
            let Some(event) = connection.receive(&mut shared, now, &mut input) else { break };
            let Event::Request { head, .. } = event else { panic!("{event:?} before the request was answered") };
            requests += 1;
            match judge(&head) {
                Ok((ticket, answer)) => {
                    let is_upgrade = ticket.is_upgrade();
                    connection.answer(&mut shared, now, ticket, answer).expect("a valid answer");
                    assert_eq!(connection.state(), if is_upgrade { State::Open } else { State::Draining });
                }
                Err(rejection) => {
                    connection.reject(&mut shared, now, &Ticket::unreadable(), rejection);
                    assert_eq!(connection.state(), State::Draining);
                }
            }
        }
        assert!(connection.memory() <= most_memory, "{} bytes for {total}", connection.memory());
    }
    assert!(requests <= 1);
    let said = connection.output(&mut shared).to_vec();
    (connection.state(), said)
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let whole = converse(std::iter::once(data), data.len());
    let cut = converse(data.chunks(usize::from(step).max(1)), data.len());
    assert_eq!(whole, cut);
    match whole.0 {
        State::Handshaking => assert!(whole.1.is_empty()),
        State::Open | State::Draining => {
            let text = std::str::from_utf8(&whole.1).expect("a response in ASCII");
            let status = if whole.0 == State::Open { "HTTP/1.1 101 " } else { "HTTP/1.1 4" };
            assert!(text.starts_with(status), "{text}");
            let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
            assert!(head.lines().skip(1).all(|line| line.contains(": ")), "{head}");
            assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
            assert!(whole.0 == State::Draining || body.is_empty());
        }
        state => panic!("{state:?} after a request"),
    }
});
