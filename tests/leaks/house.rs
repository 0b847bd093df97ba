//! An application that uses every feature that needs memory.

use lariat::http::{Response, StatusCode};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, ConnectOptions, Handler, LocalAddr, Message, Position, Request,
    SendError, TimerId, Trace, Upgrade,
};
use std::collections::VecDeque;
use std::time::Duration;

/// The message of the handler's panic.
pub const PANIC: &str = "the handler panics on purpose";

const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_secs(3_600);

/// The purposes of the timers.
const ANSWER: u64 = 0;
const TICK: u64 = 1;
const NEVER: u64 = 2;

/// The data of a client.
#[derive(Default)]
pub struct Guest {
    path: String,
    /// The client for which this connection was opened.
    partner: Option<ClientId>,
    timer: Option<TimerId>,
}

/// The number of connections that ended, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    opened: usize,
    peer: usize,
    local: usize,
    protocol: usize,
    eof: usize,
    io: usize,
    slow: usize,
    panicked: usize,
    unaccepted: usize,
}

pub struct House {
    pub addr: LocalAddr,
    url: String,
    pub ends: Ends,
    traces: usize,
    /// Clients that wait for an answer or for a timer.
    later: VecDeque<ClientId>,
    ticks: VecDeque<ClientId>,
    /// Clients that get an answer after the others have disconnected.
    pub undecided: VecDeque<ClientId>,
}

impl House {
    pub fn new(addr: LocalAddr) -> House {
        let url = format!("ws://{addr}/echo");
        let [later, ticks, undecided] = [const { VecDeque::new() }; 3];
        House { addr, url, ends: Ends::default(), traces: 0, later, ticks, undecided }
    }

    /// Checks that every kind of end has occurred since `before`, once for each of its visits.
    pub fn check(&self, before: Ends, times: usize) {
        let now = self.ends;
        let closed = |ends: Ends| {
            let Ends { opened: _, peer, local, protocol, eof, io, slow, panicked, unaccepted: _ } = ends;
            peer + local + protocol + eof + io + slow + panicked
        };
        assert_eq!(now.opened - before.opened, closed(now) - closed(before), "every client has disconnected");
        let kinds = [
            ("peer", now.peer - before.peer),
            ("local", now.local - before.local),
            ("protocol", now.protocol - before.protocol),
            ("eof", now.eof - before.eof),
            ("io", now.io - before.io),
            ("slow", now.slow - before.slow),
            ("panicked", now.panicked - before.panicked),
            ("unaccepted", now.unaccepted - before.unaccepted),
        ];
        for (name, count) in kinds {
            assert!(count >= times, "{name} occurred {count} times, not {times}: {now:?}");
        }
        assert!(self.traces >= times);
    }

    fn connect(&self, clients: &mut Clients<Guest>, id: ClientId, url: &str) {
        let partner = clients.connect(url, &ConnectOptions::new()).expect("a good URL");
        clients.data_mut(partner).expect("the connection was created").partner = Some(id);
    }
}

/// Sends the message for which a visitor waits.
fn end(clients: &mut Clients<Guest>, id: ClientId) {
    // The client may have disconnected.
    let _ = clients.send(id, "end");
}

/// Returns a topic name that no other client has.
fn own_topic(id: ClientId) -> String {
    format!("{id:?}, and nobody else")
}

impl Handler for House {
    type Data = Guest;

    fn on_request(&mut self, clients: &mut Clients<Guest>, id: ClientId, request: &Request<'_>) -> Answer {
        clients.data_mut(id).expect("it asks").path = request.path().to_owned();
        match request.path() {
            "/page" => Response::new(b"a page".to_vec()).into(),
            "/forbidden" => StatusCode::FORBIDDEN.into(),
            "/undecided" => {
                self.undecided.push_back(id);
                Answer::Later
            }
            "/later" => {
                self.later.push_back(id);
                clients.set_timer(SOON, ANSWER);
                Answer::Later
            }
            "/headers" => {
                Upgrade::new().header(lariat::http::header::SERVER, "x".repeat(200).parse().expect("a value")).into()
            }
            _ => Upgrade::new().into(),
        }
    }

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        self.ends.opened += 1;
        if clients.is_outgoing(id) {
            return clients.send(id, "Is anybody there?").expect("the client has just opened");
        }
        let guest = clients.data(id).expect("it is open");
        match guest.path.as_str() {
            "/close" => clients.close(id, CloseCode::Normal, "that is all").expect("it is open"),
            "/topics" => {
                assert!(clients.subscribe(id, "all"));
                assert!(clients.subscribe(id, &own_topic(id)));
            }
            "/crowd" => assert!(clients.subscribe(id, "crowd")),
            "/timer" => {
                let timer = clients.set_timer(LATE, NEVER);
                clients.data_mut(id).expect("it is open").timer = Some(timer);
                self.ticks.push_back(id);
                clients.set_timer(SOON, TICK);
            }
            "/interval" => {
                let timer = clients.set_interval(LATE, NEVER);
                clients.data_mut(id).expect("it is open").timer = Some(timer);
            }
            "/flood" => clients.send(id, &vec![7; 500_000]).expect("there is room"),
            "/slow" => while clients.send(id, &[7; 50_000]) != Err(SendError::Full) {},
            "/pieces" => clients.receive_in_pieces(id),
            "/traced" => assert!(clients.trace(id)),
            "/relay" => self.connect(clients, id, &self.url),
            "/nowhere" => self.connect(clients, id, "ws://127.0.0.1:1/"),
            _ => {}
        }
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, message: Message<'_>) {
        if clients.is_outgoing(id) {
            return clients.close(id, CloseCode::Normal, "somebody is").expect("it is open");
        }
        let guest = clients.data(id).expect("it is open");
        match guest.path.as_str() {
            "/topics" => assert_eq!(clients.publish(&own_topic(id), message), 1),
            // The message is large enough to be shared.
            "/crowd" => assert!(clients.publish("crowd", &[b'!'; 5_000]) > 0),
            "/panic" => std::panic::panic_any(PANIC),
            _ => clients.send(id, message).expect("there is room"),
        }
    }

    fn on_piece(&mut self, clients: &mut Clients<Guest>, id: ClientId, piece: Message<'_>, position: Position) {
        clients.send_piece(id, piece, position).expect("there is room");
    }

    fn on_timer(&mut self, clients: &mut Clients<Guest>, _: TimerId, token: u64) {
        match token {
            ANSWER => {
                let id = self.later.pop_front().expect("it waits");
                clients.answer(id, Upgrade::new()).expect("it still waits");
            }
            TICK => end(clients, self.ticks.pop_front().expect("it waits")),
            _ => panic!("an hour has passed"),
        }
    }

    fn on_trace(&mut self, _: &mut Clients<Guest>, _: ClientId, _: &Trace) {
        self.traces += 1;
    }

    fn on_close(&mut self, clients: &mut Clients<Guest>, id: ClientId, reason: &CloseReason) {
        let guest = clients.data_mut(id).expect("its data can be read for the last time");
        let (timer, partner) = (guest.timer.take(), guest.partner.take());
        if let Some(timer) = timer {
            assert!(clients.cancel_timer(timer));
        }
        if let Some(partner) = partner {
            end(clients, partner);
        }
        let count = match reason {
            CloseReason::Peer(_) => &mut self.ends.peer,
            CloseReason::Local(_) => &mut self.ends.local,
            CloseReason::Protocol(_) => &mut self.ends.protocol,
            CloseReason::Eof => &mut self.ends.eof,
            CloseReason::Unreachable { .. } if partner.is_some() => &mut self.ends.unaccepted,
            CloseReason::Io(_) => &mut self.ends.io,
            CloseReason::SlowConsumer => &mut self.ends.slow,
            CloseReason::HandlerPanicked => &mut self.ends.panicked,
            reason => panic!("{reason:?}"),
        };
        *count += 1;
    }
}
