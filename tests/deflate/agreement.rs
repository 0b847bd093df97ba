//! §7.1: offers of the extension, and their agreement.

use super::kit::*;
use super::{compressed_text, deflate, eager, offer, offered, shared};
use lariat::protocol::ProtocolError::ReservedBits;
use lariat::protocol::{Agreed, Limits, Opening, Role, Shared};
use lariat::{CloseReason, Deflate, Takeover, Unaccepted, Upgrade};

const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn the_first_valid_offer_is_accepted() {
    // (the lines of the request, the response)
    let table: [(&[&str], Option<&str>); 9] = [
        (&[], None),
        (&["permessage-deflate"], Some(ALONE)),
        (&["permessage-deflate; client_max_window_bits"], Some(ALONE)),
        (&["x-webkit-deflate-frame", "foo; bar=\"permessage-deflate\", permessage-deflate"], Some(ALONE)),
        (&["permessage-deflate; server_max_window_bits=8"], None),
        (&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], Some(ALONE)),
        (&["permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover=1"], None),
        (&["permessage-deflate; client_max_window_bits=7,,permessage-deflate;;", "permessage-deflate"], Some(ALONE)),
        (
            &["permessage-deflate; server_max_window_bits=10; client_max_window_bits=9, permessage-deflate"],
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
            ),
        ),
    ];
    for (lines, expected) in table {
        let (talk, response) = offered(shared(Deflate::default()), lines);
        assert_eq!(response.as_deref(), expected, "{lines:?}");
        assert_eq!(talk.connection.agreed().is_compressed(), expected.is_some());
        let (talk, response) = offered(Shared::new(Limits::default()), lines);
        assert_eq!((response, talk.connection.agreed()), (None, Agreed::NOTHING), "compression is off");
    }
}

#[test]
fn an_application_can_refuse_compression() {
    let mut talk = Talk::fresh(shared(Deflate::default()), Default::default());
    talk.decide = |_| Upgrade::new().uncompressed().into();
    assert_eq!(offer(&mut talk, &["permessage-deflate"]), None);
    talk.receive(&compressed_text("hello"));
    assert_eq!(talk.end(), Some(CloseReason::Protocol(ReservedBits)));
}

#[test]
fn contexts_are_kept_within_the_budget() {
    let mut first = Talk::fresh(shared(eager(Takeover::Both)), Default::default());
    assert_eq!(offer(&mut first, &["permessage-deflate"]).as_deref(), Some("permessage-deflate"));
    let cost = first.shared.context_bytes();
    assert!((350 << 10..500 << 10).contains(&cost), "{cost}");
    first.connection.end(&mut first.shared, CloseReason::Eof);
    assert_eq!(first.shared.context_bytes(), 0);

    let deflate = deflate(|deflate| {
        deflate.context_takeover = Takeover::Both;
        deflate.max_context_bytes = 2 * cost + cost / 2;
    });
    let mut shared = shared(deflate);
    let mut talks = Vec::new();
    for expected in ["permessage-deflate", "permessage-deflate", ALONE] {
        // One loop with several connections.
        let mut talk = Talk::fresh(shared, Default::default());
        assert_eq!(offer(&mut talk, &["permessage-deflate"]).as_deref(), Some(expected));
        shared = std::mem::replace(&mut talk.shared, Shared::new(Limits::default()));
        talks.push(talk.connection);
    }
    assert_eq!(shared.context_bytes(), 2 * cost);
    // A smaller window needs less memory, so it may still fit.
    let mut small = Talk::fresh(shared, Default::default());
    let response = offer(&mut small, &["permessage-deflate; server_max_window_bits=9; client_no_context_takeover"]);
    assert!(
        response.is_some_and(|response| response.contains("server_no_context_takeover")),
        "the context does not fit"
    );
    let mut shared = small.shared;
    talks.remove(0).end(&mut shared, CloseReason::Eof);
    assert_eq!(shared.context_bytes(), cost);
    let mut next = Talk::fresh(shared, Default::default());
    assert_eq!(offer(&mut next, &["permessage-deflate"]).as_deref(), Some("permessage-deflate"));
    // A violation frees the context at once: no more messages are compressed.
    next.receive(b"\xff");
    assert_eq!(next.shared.context_bytes(), cost);
}

/// Returns the client's result for a response with these lines.
fn answered(deflate: Option<Deflate>, lines: &[&str]) -> (String, Result<Agreed, CloseReason>) {
    let mut shared = Shared::with_seed(Limits::default(), 0).with_deflate(deflate);
    let (opening, _, _) = Opening::parse("ws://localhost/").expect("a URL");
    let mut connection = lariat::protocol::Connection::<()>::connect(&mut shared, Default::default(), &opening);
    let request = String::from_utf8(connection.output(&mut shared).to_vec()).expect("ASCII");
    let value = |name: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    let accept = tungstenite::handshake::derive_accept_key(value("Sec-WebSocket-Key:").as_bytes());
    let lines: String = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n")).collect();
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
    .into_bytes();
    let mut input = lariat::protocol::Input::new(&mut response);
    connection.receive(&mut shared, Default::default(), &mut input);
    assert_eq!(connection.role(), Role::Client);
    let outcome = match connection.take_close_reason() {
        Some(reason) => Err(reason),
        None => Ok(connection.agreed()),
    };
    (value("Sec-WebSocket-Extensions:"), outcome)
}

#[test]
fn a_client_accepts_only_parameters_that_it_has_offered() {
    let (asked, outcome) = answered(None, &[]);
    assert_eq!((asked.as_str(), outcome), ("", Ok(Agreed::NOTHING)));
    let bad = |outcome: &Result<Agreed, CloseReason>| {
        matches!(outcome, Err(CloseReason::Unaccepted(Unaccepted::BadResponse(_))))
    };
    assert!(bad(&answered(None, &["permessage-deflate"]).1));
    let (asked, outcome) = answered(Some(Deflate::default()), &[]);
    assert_eq!(asked, format!("{ALONE}; client_max_window_bits"));
    assert_eq!(outcome, Ok(Agreed::NOTHING));
    assert_eq!(answered(Some(Deflate::default()), &[ALONE]).1, Ok(Agreed::USUAL));
    let smaller = answered(Some(Deflate::default()), &[&format!("{ALONE}; client_max_window_bits=9")]).1;
    assert_eq!(smaller.map(|agreed| agreed.window_bits()), Ok(Some(9)));
    // This is legal, but zlib cannot compress with this window. So we send without compression.
    let tiny = answered(Some(Deflate::default()), &[&format!("{ALONE}; client_max_window_bits=8")]).1;
    assert_eq!(tiny.map(|agreed| (agreed.is_compressed(), agreed.window_bits())), Ok((true, None)));
    for lines in [
        &["permessage-deflate"] as &[&str],
        &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
        &["permessage-deflate; server_no_context_takeover; client_max_window_bits"],
        &["permessage-deflate; server_no_context_takeover; foo"],
        &[ALONE, ALONE],
        &["foo"],
        &["foo", ALONE],
        &["="],
    ] {
        assert!(bad(&answered(Some(Deflate::default()), lines).1), "{lines:?}");
    }
}
