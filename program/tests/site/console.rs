//! The console shows what went over the wire of its own connections only.

use lariat::sim::{Peer, Simulation};
use lariat::{CloseCode, Config};
use lariat_cli::site::{Options, Site};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn simulation() -> Simulation<Site> {
    Simulation::new(1, Config::default(), Site::new(&Options::default()))
}

/// The socket of a console, and its token.
fn console(sim: &mut Simulation<Site>) -> (Peer, String) {
    let console = sim.connect("/console");
    sim.run_until_idle();
    let [token] = &told(&console)[..] else { panic!("one token") };
    let token = token["token"].as_str().expect("a token").to_owned();
    assert_eq!(token.len(), 32);
    (console, token)
}

fn told(console: &Peer) -> Vec<Value> {
    console.received_text().iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

/// A step of a trace: its kind, and for a frame the bytes of the header and the unmasked payload.
fn steps(told: &[Value]) -> Vec<String> {
    let step = |step: &Value| {
        let (kind, inside) = step.as_object().and_then(|object| object.iter().next()).expect("one kind");
        let text = |name: &str| inside[name].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "frame" => {
                let (header, key) = (text("header"), text("header").split_off(4));
                let header = if key.is_empty() { header } else { format!("{}+key", &header[..4]) };
                format!("{} {header} {}", text("side"), text("plain"))
            }
            "handshake" => format!("{} {}", text("side"), text("text").lines().next().unwrap_or_default()),
            "state" => format!("{} -> {}", text("from"), text("to")),
            other => format!("{other} {inside}"),
        }
    };
    told.iter().map(step).collect()
}

#[test]
fn a_connection_with_the_token_is_traced_from_the_request_to_the_end() {
    let mut sim = simulation();
    let (console, token) = console(&mut sim);
    let path = format!("/echo?wire={token}.7&plain");
    let peer = sim.connect(&path);
    peer.send("Hi");
    sim.run_until_idle();
    console.send(&json!({"ping": {"on": 7, "payload": "?"}}).to_string());
    sim.run_until_idle();
    peer.send_raw(&[0x83, 0x80, 1, 2, 3, 4]);
    sim.run_until_idle();
    let told = told(&console);
    assert_eq!(
        steps(&told),
        [
            format!("peer GET {path} HTTP/1.1").as_str(),
            "us HTTP/1.1 101 Switching Protocols",
            "Deciding -> Open",
            "peer 8182+key 4869",
            "us 8102 4869",
            "us 8901 3f",
            "peer 8a81+key 3f",
            "violation {\"code\":\"reserved_opcode\",\"number\":3,\"on\":7,\"section\":\"5.2\"}",
            &format!("us 882c 03ea{}", data_encoding::HEXLOWER.encode(b"reserved opcode 0x3 (RFC 6455 section 5.2)")),
            "Open -> Draining",
            "Draining -> Closed",
        ],
        "{told:#?}"
    );
    // The key in the trace unmasks the bytes of the wire.
    let frame = &told[3]["frame"];
    let bytes = |name: &str| data_encoding::HEXLOWER.decode(frame[name].as_str().unwrap_or_default().as_bytes());
    let (header, wire) = (bytes("header").expect("hex"), bytes("wire").expect("hex"));
    let plain: Vec<u8> = wire.iter().zip(header[2..].iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    assert_eq!((plain.as_slice(), header.len()), (&b"Hi"[..], 6));
}

#[test]
fn without_the_token_nothing_is_traced() {
    let mut sim = simulation();
    let (console, token) = console(&mut sim);
    let (other, _) = self::console(&mut sim);
    let wrong = token.replace(&token[..1], if token.starts_with('0') { "1" } else { "0" });
    let paths = [
        "/echo".to_owned(),
        "/echo?wire".to_owned(),
        "/echo?wire=.1".to_owned(),
        format!("/echo?wire={wrong}.1"),
        format!("/echo?wire={token}"),
        format!("/echo?wire={token}.x"),
        format!("/console?wire={token}.1"),
    ];
    for path in &paths {
        let peer = sim.connect(path);
        if !path.starts_with("/console") {
            peer.send("hello");
            sim.run_until_idle();
            assert_eq!(peer.received_text(), ["hello"], "{path}");
        }
        sim.run_until_idle();
        assert!(peer.is_open(), "{path}");
    }
    let peer = sim.connect(&format!("/echo?wire={token}.1"));
    sim.run_until_idle();
    assert_eq!(told(&console).len(), 3, "the handshakes and the state");
    assert_eq!(told(&other).len(), 0);
    // A page cannot act on a connection that another page watches.
    other.send(&json!({"ping": {"on": 1, "payload": ""}}).to_string());
    other.send(&json!({"close": {"on": 1, "code": 4000, "reason": "mine"}}).to_string());
    sim.run_until_idle();
    assert!(peer.is_open() && other.is_open() && told(&console).is_empty());
    console.send(&json!({"close": {"on": 1, "code": 4000, "reason": "ours"}}).to_string());
    sim.run_for(SECOND);
    assert_eq!(peer.close_reason().map(|reason| reason.code()), Some(CloseCode::from(4000)));
    // Nonsense is refused.
    other.send("{}");
    sim.run_for(SECOND);
    assert!(!other.is_open());
}

#[test]
fn a_console_that_is_closed_or_slow_delays_no_connection() {
    let mut sim = simulation();
    let (console, token) = console(&mut sim);
    let peer = sim.connect(&format!("/echo?wire={token}.1&plain"));
    sim.run_until_idle();
    told(&console);
    console.stop_reading();
    for _ in 0..20_000 {
        peer.send("some text that is to be shown");
    }
    sim.run_for(SECOND);
    assert_eq!(peer.received_count(), 20_000);
    let waiting: usize = {
        let clients = sim.clients();
        let ids: Vec<_> = clients.iter_all().collect();
        ids.into_iter().map(|id| clients.buffered_amount(id)).sum()
    };
    assert!(waiting < (1 << 20) + 1_000, "{waiting} bytes wait for a page that does not read");
    console.resume_reading();
    sim.run_for(SECOND);
    peer.send("and on");
    sim.run_for(SECOND);
    let told = told(&console);
    let missed: u64 = told.iter().filter_map(|step| step["missed"].as_u64()).sum();
    let frames = told.iter().filter(|step| step["frame"].is_object()).count() as u64;
    // The rest of a frame's payload, from another read, is a separate step.
    assert!(missed > 0 && (40_002..40_100).contains(&(missed + frames)), "{missed} were missed, {frames} not");
    drop(console);
    sim.run_for(SECOND);
    peer.send("nobody looks");
    sim.run_for(SECOND);
    assert_eq!(peer.received_count(), 20_002);
}

#[test]
fn large_and_fragmented_payloads_are_sent_up_to_16_kib_and_shown_up_to_256_bytes() {
    let mut sim = simulation();
    let (console, token) = console(&mut sim);
    let peer = sim.connect(&format!("/echo?wire={token}.1&plain"));
    sim.run_until_idle();
    told(&console);
    let mut faults = lariat::sim::Faults::none();
    faults.short_read = 0.9;
    sim.set_faults(faults);
    let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    peer.send(&sent);
    sim.run_for(SECOND);
    let told = told(&console);
    let of_peer = told.iter().take_while(|step| step["frame"]["side"] != "us");
    let bytes = |name: &'static str| {
        let digits = of_peer.clone().filter_map(move |step| step.as_object()?.values().next()?[name].as_str());
        data_encoding::HEXLOWER.decode(digits.collect::<String>().as_bytes()).expect("digits")
    };
    assert_eq!(bytes("plain"), sent[..256]);
    let header = bytes("header");
    let plain = bytes("wire").into_iter().zip(header[10..].iter().cycle()).map(|(byte, key)| byte ^ key);
    assert!(plain.eq(sent[..16 << 10].iter().copied()), "the first 16 KiB");
}

#[test]
fn the_index_counts_a_thousand_clients_that_come_and_go() {
    let mut sim = simulation();
    let watcher = sim.connect("/");
    sim.run_until_idle();
    // The clients of the chat, of the echo, and of all routes.
    let counts = |watcher: &Peer| {
        let told = watcher.received_text().pop()?;
        let counts: BTreeMap<String, u64> = serde_json::from_str(&told).expect("counts by path");
        Some((counts["/chat"], counts["/echo"], counts.values().sum::<u64>()))
    };
    assert_eq!(counts(&watcher), Some((0, 0, 0)));
    let mut peers: Vec<Peer> = (0..1_000).map(|number| sim.connect(["/echo", "/chat"][number % 2])).collect();
    sim.run_for(SECOND);
    assert_eq!(counts(&watcher), Some((500, 500, 1_000)));
    peers.truncate(1);
    sim.run_for(SECOND);
    assert_eq!(counts(&watcher), Some((0, 1, 1)));
    sim.run_for(10 * SECOND);
    assert_eq!(counts(&watcher), None, "what has not changed is not told");
    // When no page is open, nothing ticks.
    drop(watcher);
    drop(peers);
    sim.run_for(10 * SECOND);
    let turns = sim.turns();
    sim.run_for(1_000 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}
