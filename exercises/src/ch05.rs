//! Chapter 5, closing.

use lariat::{ClientId, Clients, CloseReason, Handler};

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. Which codes may a Close frame contain?
///
/// Allowed are the codes that somebody sends according to the table of the chapter, and three more
/// that are registered: 1010 (a client does not get an extension that it needs), 1012 (the service
/// restarts) and 1014 (a bad gateway).
pub fn may_be_sent(code: u16) -> bool {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Write the payload of a Close frame: the code, and the reason as text.
///
/// A control frame has at most 125 bytes of payload. Of a reason that is too long, keep as much as
/// fits. What you write must be valid text.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// How many connections have ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The server has begun the closing handshake.
    pub by_us: usize,
    /// The peer has begun it.
    pub by_peer: usize,
    /// The peer has broken a rule of the protocol.
    pub violations: usize,
    /// Everything else: the peer is gone, or has been silent for too long.
    pub lost: usize,
}

/// Exercise 3. Count how connections end.
///
/// If a client sends the text "bye", close its connection with the code 1000 and the reason "bye".
/// Count each end in [`Ends`], when the server learns of it.
#[derive(Debug, Default)]
pub struct Registrar {
    /// What was counted.
    pub ends: Ends,
}

impl Handler for Registrar {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: lariat::Message<'_>) {
        todo!()
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch05: may_be_sent, close_payload, Registrar);
    use super::Ends;
    use crate::kit::{CLOSE, FIN, REQUEST, Talk, frame};
    use lariat::protocol::{Limits, State};
    use lariat::sim::Simulation;
    use lariat::{CloseCode, CloseFrame, CloseReason, Config};
    use std::time::Duration;

    /// Passes the payload of a Close frame to a server. Returns why its connection ends.
    fn closed(payload: &[u8]) -> Option<CloseReason> {
        let mut server = Talk::with_limits(Limits::default());
        server.receive(&frame(FIN | CLOSE, payload));
        assert_eq!(server.state(), State::Draining);
        server.end()
    }

    #[test]
    fn ex1_some_codes_are_not_for_the_wire() {
        for code in (0..=u16::MAX).filter(|code| *code < 5_100 || code % 997 == 0) {
            let is_accepted = matches!(closed(&code.to_be_bytes()), Some(CloseReason::Peer(_)));
            assert_eq!(may_be_sent(code), is_accepted, "code {code}");
        }
    }

    #[test]
    fn ex2_a_reason_fits_into_a_control_frame() {
        assert_eq!(close_payload(1000, "done"), b"\x03\xe8done");
        for (reason, kept) in [
            (String::new(), 0),
            ("x".repeat(123), 123),
            ("x".repeat(124), 123),
            ("é".repeat(61) + "x", 123),
            ("é".repeat(62), 122),
            ("x".repeat(122) + "€", 122),
            ("𝄞".repeat(40), 120),
        ] {
            let payload = close_payload(4321, &reason);
            let expected = CloseFrame { code: CloseCode::Library(4321), reason: reason[..kept].to_owned() };
            assert!(payload.len() <= 125, "{} bytes for {reason:?}", payload.len());
            match closed(&payload) {
                Some(CloseReason::Peer(Some(frame))) => {
                    assert_eq!((u16::from(frame.code), frame.reason), (4321, expected.reason));
                }
                other => panic!("the library has understood {other:?}"),
            }
        }
    }

    #[test]
    fn ex3_ends_are_told_apart() {
        let mut sim = Simulation::new(1, Config::default(), Registrar::default());
        let peers: Vec<_> = (0..6).map(|_| sim.connect("/")).collect();
        let silent = sim.connect_raw();
        silent.send_raw(REQUEST);
        sim.run_until_idle();
        assert_eq!(sim.handler().ends, Ends::default());

        peers[0].send("hello");
        peers[0].send("bye");
        sim.run_until_idle();
        assert_eq!(sim.handler().ends, Ends { by_us: 1, ..Ends::default() });
        assert_eq!(peers[0].close_reason().map(|reason| reason.code()), Some(CloseCode::Normal));

        peers[1].close(CloseCode::Away, "page left");
        peers[2].close(CloseCode::Normal, "");
        sim.run_until_idle();
        assert_eq!(sim.handler().ends, Ends { by_us: 1, by_peer: 2, ..Ends::default() });

        peers[3].send_raw(&[0x81, 0x00]); // not masked
        peers[4].send_raw(&[0x83]); //        no such opcode
        sim.run_until_idle();
        assert_eq!(sim.handler().ends, Ends { by_us: 1, by_peer: 2, violations: 2, lost: 0 });

        peers[5].reset();
        sim.run_until_idle();
        assert_eq!(sim.handler().ends, Ends { by_us: 1, by_peer: 2, violations: 2, lost: 1 });

        sim.run_for(Duration::from_secs(130)); // `silent` answers no Ping
        assert_eq!(sim.handler().ends, Ends { by_us: 1, by_peer: 2, violations: 2, lost: 2 });
    }
}
