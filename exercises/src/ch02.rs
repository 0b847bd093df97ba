//! Chapter 2, the opening handshake.

use lariat::{Answer, ClientId, Clients, Handler, Request};

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. The answer to a key.
///
/// Return the value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key`. The crates `sha1`
/// and `data-encoding` are there: `sha1::Sha1::digest` (with the trait `sha1::Digest`), and
/// `data_encoding::BASE64.encode`.
pub fn accept_key(key: &str) -> String {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. The response 101.
///
/// The request is checked already: it is a valid upgrade. Write the head of the response, with the
/// empty line. `known` lists the subprotocols that the server speaks. Choose the first of `known`
/// that the client has offered. If the client has offered none of them, leave the header out.
pub fn response(request: &Request<'_>, known: &[&str]) -> String {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. Who may connect?
///
/// * A request from a page of the server itself, or of `https://example.org`, is accepted.
/// * A request from any other page gets 403 (`StatusCode::FORBIDDEN`).
/// * A request without `Origin` does not come from a browser. It needs the header `Authorization:
///   Bearer tulip`. Without it, the answer is 401 (`StatusCode::UNAUTHORIZED`).
#[derive(Debug, Default)]
pub struct Doorkeeper;

impl Handler for Doorkeeper {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch02: accept_key, response, Doorkeeper);
    use crate::kit::{Seen, Talk};
    use lariat::protocol::time::Tick;
    use lariat::protocol::{Limits, Opening, Request, Shared, State};
    use lariat::sim::Simulation;
    use lariat::{CloseReason, Config};
    use tungstenite::handshake::client::generate_key;
    use tungstenite::handshake::derive_accept_key;

    #[test]
    fn ex1_the_key_is_answered() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for _ in 0..100 {
            let key = generate_key();
            assert_eq!(accept_key(&key), derive_accept_key(key.as_bytes()), "for {key}");
        }
    }

    /// Answers the request of a client of Lariat's, which checks the answer.
    fn open(offered: &[&str], known: &[&str]) -> (State, Vec<Seen>, Option<CloseReason>) {
        let (mut opening, _, _) = Opening::parse("ws://localhost:9998/chat").expect("a URL");
        opening.offer(&offered.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        let mut client = Talk::connect(Shared::new(Limits::default()), Tick::default(), &opening);
        let head = std::mem::take(&mut client.output);
        client.receive(response(&Request::parse(&head).expect("a request"), known).as_bytes());
        (client.state(), std::mem::take(&mut client.seen), client.end())
    }

    #[test]
    fn ex2_a_client_accepts_the_response() {
        let known = ["chat.v2", "chat.v1"];
        for (offered, chosen) in [
            (&[][..], None),
            (&["chat.v1"], Some("chat.v1")),
            (&["chat.v1", "chat.v2"], Some("chat.v2")),
            (&["game", "chat.v1"], Some("chat.v1")),
            (&["game"], None),
        ] {
            let (state, seen, end) = open(offered, &known);
            assert_eq!(state, State::Open, "with {offered:?}, the client says: {end:?}");
            assert_eq!(seen, [Seen::Opened(chosen.map(str::to_owned))], "with {offered:?}");
        }
    }

    fn status(headers: &str) -> String {
        let mut sim = Simulation::new(1, Config::default(), Doorkeeper);
        let peer = sim.connect_raw();
        peer.send_raw(
            format!(
                "GET / HTTP/1.1\r\nHost: chat.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
            )
            .as_bytes(),
        );
        sim.run_until_idle();
        String::from_utf8(peer.received_raw()).expect("a head").chars().skip(9).take(3).collect()
    }

    #[test]
    fn ex3_only_friends_come_in() {
        for (headers, expected) in [
            ("Origin: http://chat.example.com\r\n", "101"),
            ("Origin: https://example.org\r\n", "101"),
            ("Origin: https://evil.example\r\n", "403"),
            ("Origin: https://example.org.evil.example\r\n", "403"),
            ("Origin: null\r\n", "403"),
            ("Origin: https://evil.example\r\nAuthorization: Bearer tulip\r\n", "403"),
            ("Authorization: Bearer tulip\r\n", "101"),
            ("Authorization: Bearer rose\r\n", "401"),
            ("", "401"),
        ] {
            assert_eq!(status(headers), expected, "for {headers:?}");
        }
    }
}
