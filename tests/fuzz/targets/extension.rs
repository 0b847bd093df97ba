//! `Sec-WebSocket-Extensions`: the client accepts the server's response to its offer, and both then
//! agree.

#![no_main]

use lariat::protocol::{Agreed, Parameters, Role, judge_response};
use lariat::{Deflate, Takeover};
use libfuzzer_sys::fuzz_target;

const TAKEOVERS: [Takeover; 4] = [Takeover::Never, Takeover::Sent, Takeover::Received, Takeover::Both];

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut deflate = Deflate::default();
    deflate.max_window_bits = 9 + choice % 7;
    let [ours, theirs] = [TAKEOVERS[usize::from(choice >> 4) % 4], TAKEOVERS[usize::from(choice >> 6)]];

    // As a server.
    if let Some(offer) = Parameters::acceptable_offer(lines(data)) {
        let written = offer.to_string();
        assert_eq!(Parameters::acceptable_offer([written.as_bytes()].into_iter()), Some(offer), "{written}");
        let response = deflate.respond(offer, ours);
        let written = response.to_string();
        let judged = judge_response(Some(offer), [written.as_bytes()].into_iter());
        assert_eq!(judged, Ok(Some(response)), "{offer} was answered with {written}");
        // A client with this offer keeps contexts for everything that it did not exclude.
        let client_takeover = if offer.client_no_context_takeover { Takeover::Never } else { Takeover::Sent };
        let server = Agreed::new(Role::Server, response, &deflate, ours);
        let client = Agreed::new(Role::Client, response, &Deflate::default(), client_takeover);
        fits(server, client);
        fits(client, server);
    }

    // As a client.
    let offer = deflate.offer(theirs);
    assert_eq!(judge_response(Some(offer), std::iter::empty()), Ok(None));
    for offer in [Some(offer), None] {
        if let Ok(Some(response)) = judge_response(offer, lines(data)) {
            let offer = offer.expect("a parameter was accepted that was not offered");
            assert!(response.server_no_context_takeover || !offer.server_no_context_takeover);
            let agreed = Agreed::new(Role::Client, response, &deflate, theirs);
            assert!(agreed.is_compressed());
            assert!(agreed.window_bits().is_none_or(|bits| bits <= deflate.max_window_bits));
        }
    }
});

/// Checks that one side can read what the other side sends.
fn fits(sender: Agreed, receiver: Agreed) {
    assert!(sender.is_compressed() && receiver.is_compressed());
    assert!(!sender.keeps_sent() || receiver.keeps_received(), "{sender:?} {receiver:?}");
}
