//! Chapter 5, closing.
//!
//! The question of the chapter: `close` queues the Close frame behind the messages, and TCP keeps
//! the order, so all of them arrive. A page that is closed has no such promise: the browser closes
//! its connections, and need not send what is still in its buffer.

use crate::ch05::Ends;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message};

/// Exercise 1. 1004 has no meaning, and 1005, 1006 and 1015 stand for what was not received.
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) || right!(false, not code == 1006)
}

/// Exercise 2: at most 123 bytes of the reason, and no half character.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(123);
    while right!(!reason.is_char_boundary(end), not false) {
        end -= 1;
    }
    [&code.to_be_bytes(), &reason.as_bytes()[..end]].concat()
}

/// Exercise 3. `was_clean` does not suffice: it does not say who has begun.
#[derive(Debug, Default)]
pub struct Registrar {
    /// What was counted.
    pub ends: Ends,
}

impl Handler for Registrar {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        if message.as_text() == Some("bye") {
            let _ = clients.close(id, CloseCode::Normal, "bye");
        }
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        let count = match reason {
            CloseReason::Local(_) => &mut self.ends.by_us,
            CloseReason::Peer(_) => &mut self.ends.by_peer,
            CloseReason::Protocol(_) => right!(&mut self.ends.violations, not &mut self.ends.by_us),
            _ => &mut self.ends.lost,
        };
        *count += 1;
    }
}
