//! Chapter 2, the opening handshake.
//!
//! The question of the chapter: `Upgrade: websocket` says what the client wants, so this is not
//! plain HTTP. Both headers are required (RFC 6455 §4.2.1): `Connection` names the headers that are
//! meant for the next host only, and a proxy that does not know WebSockets removes them. An error
//! shows at once that something on the way is wrong. An ordinary response would look like success.

use data_encoding::BASE64;
use lariat::http::StatusCode;
use lariat::{Answer, ClientId, Clients, Handler, Request, Upgrade};
use sha1::{Digest, Sha1};

/// The text that every server appends to the key (RFC 6455 §4.2.2).
const CONSTANT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Exercise 1. The key is hashed as it stands, in base64.
pub fn accept_key(key: &str) -> String {
    let text = right!(format!("{key}{CONSTANT}"), not format!("{CONSTANT}{key}"));
    BASE64.encode(&Sha1::digest(text))
}

/// Exercise 2: four lines, sometimes five, and an empty one.
pub fn response(request: &Request<'_>, known: &[&str]) -> String {
    let accept = accept_key(request.header("sec-websocket-key").unwrap_or_default());
    let chosen = right!(request.choose_subprotocol(known), not known.first().copied());
    let subprotocol = chosen.map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
    )
}

/// Exercise 3. The mistake is to compare the beginning of an origin.
#[derive(Debug, Default)]
pub struct Doorkeeper;

impl Handler for Doorkeeper {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        let Some(origin) = request.origin() else {
            return match request.header("authorization") {
                Some("Bearer tulip") => Upgrade::new().into(),
                _ => StatusCode::UNAUTHORIZED.into(),
            };
        };
        let friend = "https://example.org";
        if request.is_same_origin() || right!(origin == friend, not origin.starts_with(friend)) {
            Upgrade::new().into()
        } else {
            StatusCode::FORBIDDEN.into()
        }
    }
}
