//! A loop with a hostile peer and a client that behaves.
//!
//! Each case goes over the wire: records in, then what the application is told, what the peer is
//! told, and whether the other client is still served. What stands before an offence is delivered,
//! and nothing behind it.

use crate::common::{Call, Calls, Running, Wire, echo_script, run};
use crate::forger::{ALERT, Forger};
use crate::kit::{Secured, client_tls, open, server, server_config};
use lariat::tls::rustls::SupportedCipherSuite;
use lariat::tls::{ServerTls, TlsFailure};
use lariat::{CloseReason, Config, ConnectOptions};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

/// What an application does that the peer attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attacked {
    /// A server that takes the keys of open sessions out of rustls, if it can.
    Server,
    /// A server that leaves its sessions to rustls.
    ServerOfRustls,
    Client,
}

/// Both servers, for TLS 1.3.
pub const SERVERS: [Attacked; 2] = [Attacked::Server, Attacked::ServerOfRustls];

/// A loop that echoes, and a client of it that behaves.
pub struct Stage {
    pub server: Running,
    pub calls: Calls,
    pub other: Wire<Secured>,
    attacked: Attacked,
    listener: TcpListener,
}

impl Stage {
    pub fn new(attacked: Attacked) -> Stage {
        let (handler, calls) = echo_script();
        let mut config = Config::default();
        config.deflate = None;
        let mut tls = server_config();
        tls.enable_secret_extraction = attacked != Attacked::ServerOfRustls;
        let server = run(server(config, ServerTls::new(Arc::new(tls))), handler);
        let other = open(server.addr);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Stage { server, calls, other, attacked, listener }
    }

    /// Opens a WebSocket with a peer.
    pub fn peer(&self, suite: SupportedCipherSuite) -> Forger {
        if self.attacked != Attacked::Client {
            return Forger::open(self.server.addr, suite);
        }
        let url = format!("wss://{}/", self.listener.local_addr().expect("an address"));
        let options = ConnectOptions::new().tls(client_tls(&[suite.version()]));
        self.server.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
        Forger::accept(&self.listener, suite)
    }

    /// Waits until a client has ended. Returns why, and its messages.
    pub fn end(&self) -> (CloseReason, Vec<String>) {
        let mut messages = Vec::new();
        loop {
            match self.calls.next() {
                Call::Message(_, bytes) if bytes != b"the other" => {
                    messages.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                Call::Close(_, reason) => return (reason, messages),
                _ => {}
            }
        }
    }
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Messages are echoed as before.
    GoesOn,
    /// The session ends with this kind of failure, and the peer is sent one of these alerts.
    Ends(TlsFailure, &'static [u8]),
    /// The one or the other.
    Either(TlsFailure, &'static [u8]),
    /// The stream ends, as the peer has announced.
    Closes,
}
pub use Then::{Closes, Either, Ends, GoesOn};

/// No alert is sent.
pub const NONE: u8 = 255;

// Alerts of RFC 8446 §6.
pub const CLOSE_NOTIFY: u8 = 0;
pub const UNEXPECTED: u8 = 10;
pub const BAD_MAC: u8 = 20;
pub const OVERFLOW: u8 = 22;
pub const ILLEGAL: u8 = 47;
pub const DECODE: u8 = 50;

pub const VIOLATION: TlsFailure = TlsFailure::Violation;

/// What is sent, what follows, and the bytes.
pub type Case = (&'static str, Then, fn(&mut Forger) -> Vec<u8>);

/// Runs a case: its bytes between two messages, and the end, in pieces of this size.
fn check(stage: &mut Stage, suite: SupportedCipherSuite, piece: usize, (what, then, make): &Case) {
    let mut forger = stage.peer(suite);
    let mut bytes = forger.text("before");
    bytes.append(&mut make(&mut forger));
    bytes.append(&mut forger.text("behind"));
    bytes.append(&mut forger.seal(ALERT, &[1, CLOSE_NOTIFY]));
    for piece in bytes.chunks(piece) {
        // The server may have left.
        let _ = forger.stream.get_mut().write_all(piece);
    }
    let alerts = forger.rest().to_vec();
    let (reason, messages) = stage.end();
    let found = format!("{what} with {:?}: {reason}; alerts {alerts:?}, messages {messages:?}", suite.suite());
    let is_end = reason == CloseReason::Eof && alerts.last() == Some(&[1, CLOSE_NOTIFY]);
    let went_on = is_end && messages == ["before", "behind"] && forger.echoed() == messages;
    let closed = is_end && messages == ["before"] && alerts.len() == 1;
    let ended = |kind, allowed: &[u8]| {
        let is_kind = matches!(&reason, CloseReason::Tls(error) if error.kind() == kind);
        let fatal: Vec<u8> = alerts.iter().filter(|[level, _]| *level == 2).map(|[_, alert]| *alert).collect();
        let is_told = match fatal[..] {
            [] => allowed.contains(&NONE),
            [alert] => allowed.contains(&alert),
            _ => false,
        };
        is_kind && is_told && messages == ["before"]
    };
    let is_right = match *then {
        GoesOn => went_on,
        Ends(kind, allowed) => ended(kind, allowed),
        Either(kind, allowed) => went_on || ended(kind, allowed),
        Closes => closed,
    };
    assert!(is_right, "{found}, but expected {then:?}");
    stage.other.echo("the other");
}

/// Runs all cases with all suites, at once and in small pieces.
pub fn check_all(attacked: &[Attacked], suites: &[SupportedCipherSuite], cases: &[Case]) {
    for attacked in attacked {
        let mut stage = Stage::new(*attacked);
        for suite in suites {
            for case in cases {
                [usize::MAX, 7].into_iter().for_each(|piece| check(&mut stage, *suite, piece, case));
            }
        }
    }
}
