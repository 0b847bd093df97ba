//! Subscribers that follow positions, through lost connections.

use crate::common::program::lariat;
use crate::common::{WAIT, serve};
use crate::{finished, load};
use lariat::{Answer, ClientId, Clients, CloseCode, Handler, Request, Upgrade};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The last position.
const LAST: u64 = 20;

/// A server that closes each connection after five messages, until its client has all.
struct Forgetful {
    asked: Arc<Mutex<Vec<String>>>,
    satisfied: Arc<AtomicUsize>,
}

impl Handler for Forgetful {
    type Data = u64;

    fn on_request(&mut self, _: &mut Clients<u64>, _: ClientId, request: &Request<'_>) -> Answer {
        let query = request.query().unwrap_or_default();
        self.asked.lock().expect("nobody has panicked").push(query.to_owned());
        let after = query.strip_prefix("room=1&after=e-").and_then(|after| after.parse::<u64>().ok());
        Upgrade::new().with_data(after.unwrap_or(0)).into()
    }

    fn on_open(&mut self, clients: &mut Clients<u64>, id: ClientId) {
        let after = clients.data(id).copied().unwrap_or_default();
        if after == LAST {
            // Its answer shows that the client is open as well.
            clients.ping(id, b"").expect("it is open");
            return;
        }
        for position in after + 1..=after + 5 {
            clients.send(id, &format!("e-{position} text")).expect("there is room");
        }
        clients.close(id, CloseCode::Restart, "").expect("it is open");
    }

    fn on_pong(&mut self, _: &mut Clients<u64>, _: ClientId, _: &[u8]) {
        self.satisfied.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn lost_connections_come_back_after_their_last_position() {
    for processes in ["1", "2"] {
        let (asked, satisfied) = (Arc::default(), Arc::default());
        let running = serve(Forgetful { asked: Arc::clone(&asked), satisfied: Arc::clone(&satisfied) });
        let address = format!("ws://{}/?room=1", running.addr);
        let arguments = ["load", &address, "-c", "10", "--follow", "after", "--hold", "1h", "--json", "-"];
        let options = ["--processes", processes, "--expect", "missed=0,doubled=0,out_of_order=0,lost=40"];
        let mut command = lariat(&[&arguments[..], &options].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let began = Instant::now();
        while satisfied.load(Ordering::SeqCst) < 10 {
            assert!(began.elapsed() < WAIT, "{:?}", asked.lock().expect("nobody has panicked"));
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill(1)").success());
        let run = finished(&child.wait_with_output().expect("it ends"));
        assert_eq!((run.only_error("closed-1012"), run.code), (40, Some(0)), "{}", run.stderr);
        assert_eq!((run.count("messages received"), run.count("messages right")), (200, 200));
        assert_eq!((run.count("connections reconnected"), run.count("connections opened")), (40, 50));
        let mut asked = asked.lock().expect("nobody has panicked").clone();
        asked.sort();
        let queries = ["room=1", "room=1&after=e-10", "room=1&after=e-15", "room=1&after=e-20", "room=1&after=e-5"];
        assert_eq!(asked, queries.map(|query| [query; 10]).concat());
    }
}

/// A server whose positions are wrong.
struct Wrong;

impl Handler for Wrong {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        for text in ["7", "8 text", "8 text", "12", "10", "gap 13", "e-1", "e-2"] {
            clients.send(id, text).expect("there is room");
        }
    }
}

#[test]
fn what_is_missed_doubled_or_out_of_order_is_counted() {
    let running = serve(Wrong);
    let run = load(&format!("ws://{}/", running.addr), "-c 3 --follow after --hold 300ms --expect missed=6");
    assert_eq!((run.count("messages received"), run.count("messages right")), (24, 12));
    // 9 and 11 are missing; 10 has come late.
    let expected = [("missed", 6), ("doubled", 3), ("out-of-order", 3), ("restarted", 3), ("unnumbered", 3)];
    assert_eq!(run.errors(), expected.map(|(kind, count)| (kind.to_owned(), count)));
    let fields = ["missed", "doubled", "out_of_order", "restarted", "wrong"];
    assert_eq!(fields.map(|field| run.count(&format!("messages {field}"))), [6, 3, 3, 3, 3]);
    assert!(run.stderr.contains("24 received, 6 missed, 3 doubled, 3 out of order"), "{}", run.stderr);
    assert_eq!((run.report["ended"].as_str(), run.code), (Some("complete"), Some(0)), "{}", run.stderr);
}
