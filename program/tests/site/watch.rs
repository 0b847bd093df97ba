//! The page of the loop shows its true state; who may hold the loop; and who may read the messages
//! of others.

use lariat::http::{HeaderName, HeaderValue};
use lariat::observe::Pace;
use lariat::sim::{Peer, Simulation};
use lariat::{CloseCode, Config, ConnectOptions, OwnedMessage};
use lariat_cli::site::{Options, Site};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What `grid.js` and `loop.js` know.
#[derive(Default)]
struct Page {
    cells: Vec<u8>,
    told: Vec<Value>,
    /// The bytes of binary messages.
    changes: usize,
}

impl Page {
    fn listen(&mut self, peer: &Peer) {
        for message in peer.received() {
            match message {
                OwnedMessage::Text(text) => self.told.push(serde_json::from_str(text.as_str()).expect("JSON")),
                OwnedMessage::Binary(bytes) => {
                    self.changes += bytes.len();
                    self.apply(&bytes);
                }
            }
        }
    }

    fn apply(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.iter().copied();
        let number = |bytes: &mut dyn Iterator<Item = u8>| {
            let (mut value, mut shift) = (0, 0);
            for byte in bytes {
                value |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return Some(value);
                }
            }
            None
        };
        self.cells.resize(number(&mut bytes).expect("a length"), 0);
        let mut slot = 0;
        while let Some(skip) = number(&mut bytes) {
            let run = number(&mut bytes).expect("a run");
            let cell = bytes.next().expect("a cell");
            self.cells[slot + skip..slot + skip + run].fill(cell);
            slot += skip + run;
        }
    }

    /// Returns the number of cells in this state.
    fn in_state(&self, state: u8) -> usize {
        self.cells.iter().filter(|cell| **cell & 7 == state).count()
    }

    fn lines(&self) -> Vec<&str> {
        self.told.iter().filter_map(|told| told["line"]["text"].as_str()).collect()
    }

    fn refused(&self) -> usize {
        self.told.iter().filter(|told| told["refused"].is_string()).count()
    }
}

fn simulation(teach: bool) -> Simulation<Site> {
    let mut options = Options::default();
    options.teach = teach;
    Simulation::new(1, Config::default(), Site::new(&options))
}

/// Opens a page at a host name from an address.
fn open(sim: &mut Simulation<Site>, ip: &str, host: &str, headers: &[(&'static str, &str)]) -> Peer {
    let header = |options: ConnectOptions, (name, value): &(&'static str, &str)| {
        options.header(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    let options = headers.iter().fold(ConnectOptions::new(), header);
    let ip: IpAddr = ip.parse().expect("an address");
    let peer = sim.connect_by(ip, &format!("ws://{host}/loop"), &options).expect("a URL and headers");
    sim.run_until_idle();
    peer
}

fn ask(sim: &mut Simulation<Site>, peer: &Peer, what: &Value) {
    peer.send(&what.to_string());
    sim.run_until_idle();
}

const OPEN: u8 = 3;

#[test]
fn a_thousand_clients_connect_leave_and_send_and_the_grid_is_right() {
    let mut sim = simulation(false);
    let watcher = sim.connect("/loop");
    let mut page = Page::default();
    sim.run_for(SECOND);
    page.listen(&watcher);
    assert_eq!((page.told[0]["hello"]["slot"].as_u64(), page.in_state(OPEN)), (Some(0), 1));
    let mut peers: Vec<Peer> = (0..1_000).map(|number| sim.connect(["/echo", "/ticker"][number % 2])).collect();
    let _silent = sim.connect_raw();
    sim.run_for(2 * SECOND);
    page.listen(&watcher);
    assert_eq!((page.in_state(OPEN), page.in_state(1), page.cells.len()), (1_001, 1, 1_002));
    assert!(page.cells[1..].iter().all(|cell| cell & 0b1000 == 0 || cell & 7 == 1), "nobody was heard lately");
    // Without changes, a report is short.
    page.changes = 0;
    sim.run_for(SECOND);
    page.listen(&watcher);
    assert!(page.changes < 60, "{} bytes for nothing", page.changes);
    for peer in peers.iter().step_by(4) {
        peer.send("hello");
    }
    sim.run_for(SECOND / 5);
    page.listen(&watcher);
    let heard = |page: &Page| page.cells[1..].iter().filter(|cell| **cell & 0b1000 != 0).count();
    sim.run_for(SECOND / 20);
    page.listen(&watcher);
    assert!(heard(&page) >= 250, "{} were heard", heard(&page));
    let reads: u64 = page.told.iter().filter_map(|told| told["turns"]["counts"][2][1].as_u64()).sum();
    assert!(reads >= 1_000 + 250, "{reads} reads");
    peers.truncate(3);
    sim.run_for(SECOND);
    page.listen(&watcher);
    assert_eq!(page.in_state(OPEN), 4);
    let states: Vec<u64> =
        serde_json::from_value(page.told.last().expect("told")["turns"]["states"].clone()).expect("states");
    assert_eq!(states, [0, 1, 0, 4, 0, 0, 0, 0]);
    // When no page is open, nothing ticks.
    drop(watcher);
    drop(peers);
    sim.run_for(20 * SECOND);
    let turns = sim.turns();
    sim.run_for(1_000 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}

#[test]
fn only_a_page_on_this_host_may_hold_a_loop_that_teaches() {
    let local = "localhost:9998";
    let here = ("origin", "http://localhost:9998");
    for (teach, ip, host, headers, may) in [
        (true, "127.0.0.1", local, &[here][..], true),
        (true, "::1", "[::1]:9998", &[("origin", "http://[::1]:9998")], true),
        (true, "::ffff:127.0.0.1", "127.0.0.1:9998", &[("origin", "http://127.0.0.1:9998")], true),
        (false, "127.0.0.1", local, &[here], false),
        (true, "192.0.2.7", local, &[here], false),
        (true, "127.0.0.1", "rebound.test:9998", &[("origin", "http://rebound.test:9998")], false),
        (true, "127.0.0.1", "localhost.test:9998", &[("origin", "http://localhost.test:9998")], false),
        (true, "127.0.0.1", local, &[], false),
        (true, "127.0.0.1", local, &[here, ("x-forwarded-for", "127.0.0.1")], false),
        (true, "127.0.0.1", local, &[here, ("via", "1.1 proxy")], false),
    ] {
        let mut sim = simulation(teach);
        let watcher = open(&mut sim, ip, host, headers);
        let mut page = Page::default();
        page.listen(&watcher);
        assert_eq!(page.told[0]["hello"]["teaches"], json!(may), "{ip} {headers:?}");
        for (asked, pace) in [
            (json!("hold"), Pace::Held),
            (json!({"slow": 1_000_000}), Pace::Every(5 * SECOND)),
            (json!("free"), Pace::Free),
        ] {
            ask(&mut sim, &watcher, &asked);
            assert_eq!(sim.clients().pace(), if may { pace } else { Pace::Free });
        }
        ask(&mut sim, &watcher, &json!("step"));
        page.listen(&watcher);
        assert_eq!(page.refused(), if may { 1 } else { 4 });
    }
}

#[test]
fn a_held_loop_waits_for_its_page_and_goes_on_without_it() {
    let mut sim = simulation(true);
    let watcher = open(&mut sim, "127.0.0.1", "localhost", &[("origin", "http://localhost")]);
    let peers: Vec<Peer> = (0..1_000).map(|_| sim.connect("/echo")).collect();
    sim.run_for(SECOND);
    ask(&mut sim, &watcher, &json!("hold"));
    for (number, peer) in peers.iter().enumerate() {
        peer.send(&format!("first {number}"));
        peer.send(&format!("second {number}"));
    }
    sim.run_for(100 * SECOND);
    let mut page = Page::default();
    page.listen(&watcher);
    assert_eq!(page.cells.iter().filter(|cell| **cell & 16 != 0).count(), 1_000, "cells that wait to be read");
    let last = page.told.last().expect("told")["turns"].clone();
    assert_eq!((last["pace"].as_str(), last["reads"].as_u64()), (Some("held"), Some(1_000)));
    assert!(peers.iter().all(|peer| peer.received_count() == 0));
    ask(&mut sim, &watcher, &json!("step"));
    assert_eq!(peers.iter().map(Peer::received_count).sum::<u64>(), 2_000);
    for (number, peer) in peers.iter().enumerate() {
        assert_eq!(peer.received_text(), [format!("first {number}"), format!("second {number}")]);
        peer.send("third");
    }
    sim.run_for(SECOND);
    assert!(peers.iter().all(|peer| peer.received_count() == 2));
    drop(watcher);
    sim.run_for(SECOND);
    assert!(peers.iter().all(|peer| peer.received_count() == 3 && peer.is_open()));
}

#[test]
fn a_connection_is_followed_and_only_a_teacher_reads_its_messages() {
    for teach in [true, false] {
        let mut sim = simulation(teach);
        let peer = sim.connect("/echo");
        let watcher = open(&mut sim, "127.0.0.1", "localhost", &[("origin", "http://localhost")]);
        let mut page = Page::default();
        for slot in [0, 1, 7] {
            ask(&mut sim, &watcher, &json!({"follow": slot}));
            page.listen(&watcher);
        }
        assert_eq!(page.refused(), 2, "a page like this one, and a free slot");
        ask(&mut sim, &watcher, &json!({"follow": 0}));
        page.listen(&watcher);
        let follows: Vec<&Value> = page.told.iter().filter_map(|told| told.get("follows")).collect();
        assert_eq!(follows.last(), Some(&&json!({"slot": 0, "id": "0.1", "route": "/echo", "state": "Open"})));
        peer.send("hi \" [ho");
        peer.send(&[1_u8, 2, 3][..]);
        sim.run_until_idle();
        peer.close(CloseCode::Normal, "");
        sim.run_for(SECOND);
        page.listen(&watcher);
        let said = if teach { r#" "hi \" [ho""# } else { "" };
        assert_eq!(
            page.lines(),
            [
                format!("< TEXT{said} [8 bytes, masked]").as_str(),
                &format!("> TEXT{said} [8 bytes]"),
                "< BINARY [3 bytes, masked]",
                "> BINARY [3 bytes]",
                "< CLOSE [2 bytes, masked]",
                "> CLOSE [2 bytes]",
                "= OPEN -> DRAINING",
                "= DRAINING -> CLOSED",
            ]
        );
        let steps: Vec<&Value> = page.told.iter().filter_map(|told| told["line"].get("step")).collect();
        let frame = |side: &str, opcode: u8, length: u64| {
            let masked = side == "peer";
            json!({"frame": {"side": side, "opcode": opcode, "fin": true, "masked": masked, "compressed": false, "length": length}})
        };
        let (mut text, mut close) = (frame("peer", 1, 8), frame("us", 8, 2));
        if teach {
            text["frame"]["text"] = json!("hi \" [ho");
            close["frame"]["code"] = json!(1000);
        }
        assert_eq!((steps[0], steps[3], steps[5]), (&text, &frame("us", 2, 3), &close));
        assert_eq!(steps[6], &json!({"state": {"from": "Open", "to": "Draining"}}));
        assert_eq!(page.told.iter().filter(|told| told["gone"] == "0.1").count(), 1);
    }
}

#[test]
fn a_page_that_does_not_read_costs_little_and_nonsense_is_refused() {
    let mut sim = simulation(false);
    let (slow, rude) = (sim.connect("/loop"), sim.connect("/loop"));
    sim.run_until_idle();
    slow.stop_reading();
    sim.run_for(25 * SECOND);
    let ids: Vec<_> = sim.clients().iter_all().collect();
    let waiting: usize = ids.into_iter().map(|id| sim.clients().buffered_amount(id)).sum();
    assert!(waiting < 300 << 10, "{waiting} bytes wait");
    slow.resume_reading();
    sim.run_for(SECOND);
    let mut page = Page::default();
    page.listen(&slow);
    assert_eq!(page.in_state(OPEN), 2);
    rude.send("{\"follow\":-1}");
    sim.run_for(SECOND);
    assert_eq!(rude.close_reason().map(|reason| reason.code()), Some(CloseCode::Policy));
    let many: Vec<Peer> = (0..40).map(|_| sim.connect("/loop")).collect();
    sim.run_for(SECOND);
    assert_eq!(many.iter().filter(|peer| peer.is_open()).count(), 31, "with the first, 32 may watch");
}
