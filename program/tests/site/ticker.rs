//! A page gets every tick of the prices that it watches, or the last one. Every byte is counted.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{CloseCode, Config};
use lariat_cli::site::Ticker;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn simulation() -> Simulation<Ticker> {
    Simulation::new(1, Config::default(), Ticker::new(7))
}

fn told(peer: &Peer) -> Vec<Value> {
    peer.received_text().iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

/// Returns the numbers and prices of a symbol's ticks.
fn ticks(told: &[Value], symbol: &str) -> Vec<(u64, u64)> {
    let tick = |told: &Value| {
        let tick = told.get("tick").filter(|tick| tick[0] == symbol)?;
        Some((tick[1].as_u64().expect("a number"), tick[2].as_u64().expect("a price")))
    };
    told.iter().filter_map(tick).collect()
}

fn watch(peer: &Peer, symbols: &[&str]) {
    peer.send(&json!({"watch": symbols}).to_string());
}

#[test]
fn a_thousand_pages_get_the_prices_they_chose_and_agree() {
    let mut sim = simulation();
    let choices: [&[&str]; 4] = [&["ROPE"], &["KNOT", "ROPE"], &["DUST"], &[]];
    let peers: Vec<Peer> = (0..1_000).map(|_| sim.connect("/ticker")).collect();
    for (number, peer) in peers.iter().enumerate() {
        watch(peer, choices[number % 4]);
    }
    sim.run_until_idle();
    for (number, peer) in peers.iter().enumerate() {
        let told = told(peer);
        assert_eq!(told[0]["symbols"]["names"].as_array().map(Vec::len), Some(6));
        let past: Vec<&str> = told[1..].iter().filter_map(|told| told["past"][0].as_str()).collect();
        assert_eq!((past.len(), told.len()), (choices[number % 4].len(), 1 + past.len()));
        assert!(told[1..].iter().all(|told| told["past"][2].as_array().is_some_and(|past| past.len() == 300)));
    }
    sim.run_for(5 * SECOND);
    let mut first: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for (number, peer) in peers.iter().enumerate() {
        let told = told(peer);
        let mut count = 0;
        for symbol in ["ROPE", "KNOT", "HERD", "DUST"] {
            let ticks = ticks(&told, symbol);
            if !choices[number % 4].contains(&symbol) {
                assert!(ticks.is_empty());
                continue;
            }
            count += ticks.len();
            assert!(ticks.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "a gap in {ticks:?}");
            assert!((48..=50).contains(&ticks.len()), "{} ticks in five seconds", ticks.len());
            assert_eq!(first.entry(symbol).or_insert_with(|| ticks.clone()), &ticks);
        }
        assert_eq!(told.len(), count, "nothing else");
    }
    assert!(first["ROPE"].iter().any(|(_, price)| *price != first["ROPE"][0].1), "it moves");
}

#[test]
fn a_slow_page_gets_the_last_price_and_no_more_than_fits() {
    let mut sim = simulation();
    let mut faults = Faults::none();
    faults.window = 4 << 10;
    sim.set_faults(faults);
    let (slow, quick) = (sim.connect("/ticker"), sim.connect("/ticker"));
    watch(&slow, &["ROPE", "KNOT"]);
    watch(&quick, &["ROPE", "KNOT"]);
    sim.run_for(SECOND);
    told(&slow);
    told(&quick);
    slow.stop_reading();
    // Less than the 30 s after which a client that reads nothing is closed.
    sim.run_for(25 * SECOND);
    let ids: Vec<_> = sim.clients().iter_all().collect();
    let waiting: usize = ids.into_iter().map(|id| sim.clients().buffered_amount(id)).sum();
    assert!(waiting < 200, "{waiting} bytes wait for one that does not read");
    slow.resume_reading();
    sim.run_for(SECOND);
    let (slow_told, quick_told) = (told(&slow), told(&quick));
    let conflated = sim.clients().stats().conflated;
    let mut missing = 0;
    for symbol in ["ROPE", "KNOT"] {
        let (seen, all) = (ticks(&slow_told, symbol), ticks(&quick_told, symbol));
        assert!(seen.iter().all(|tick| all.contains(tick)) && seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(seen.last(), all.last(), "it is up to date");
        missing += all.len() - seen.len();
    }
    assert!(missing > 50, "{missing} ticks were left out");
    assert_eq!(missing as u64, conflated, "and the server has counted them");
}

#[test]
fn polls_get_the_same_prices_and_every_byte_is_counted() {
    let mut sim = simulation();
    let page = sim.connect("/ticker?measure");
    sim.run_until_idle();
    let hello = told(&page).remove(0);
    let token = hello["symbols"]["token"].as_str().expect("a token").to_owned();
    let get = |sim: &mut Simulation<Ticker>, query: &str| {
        let request = format!("GET /ticker/latest?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let poll = sim.connect_raw();
        poll.send_raw(request.as_bytes());
        sim.run_until_idle();
        (request.len() as u64, String::from_utf8(poll.received_raw()).expect("text"))
    };
    let (mut read, mut written) = (0, 0);
    for _ in 0..20 {
        let (request, response) = get(&mut sim, &format!("symbols=ROPE,KNOT,NONE&for={token}"));
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("application/json"), "{head}");
        let prices: BTreeMap<String, (u64, u64)> = serde_json::from_str(body).expect("JSON");
        assert_eq!(prices.keys().map(String::as_str).collect::<Vec<_>>(), ["KNOT", "ROPE"]);
        (read, written) = (read + request, written + response.len() as u64);
        sim.run_for(SECOND / 10);
    }
    get(&mut sim, "symbols=ROPE&for=0123456789abcdef");
    get(&mut sim, "symbols=ROPE");
    watch(&page, &["ROPE"]);
    sim.run_for(5 * SECOND);
    let told = told(&page);
    let saw = &told.iter().rev().find_map(|told| told.get("saw")).expect("a report");
    assert_eq!(saw["polled"], json!({"count": 20, "read": read, "written": written}));
    let ticks = ticks(&told, "ROPE").len() as u64;
    let pushed = &saw["pushed"];
    let count = pushed["count"].as_u64().expect("a number");
    assert!((1 + ticks - 10..=1 + ticks).contains(&count), "{count} messages, with {ticks} ticks");
    assert!(pushed["read"].as_u64() > Some(100) && pushed["written"].as_u64() > Some(20 * count), "{pushed}");
}

#[test]
fn books_are_sent_on_request_and_timers_stop_without_pages() {
    let mut sim = simulation();
    let peer = sim.connect("/ticker");
    peer.send("\"books\"");
    sim.run_for(SECOND);
    let told = told(&peer);
    let books: Vec<&Value> = told.iter().filter_map(|told| told.get("book")).collect();
    assert!(books.len() > 1_000, "{} books in a second", books.len());
    let [symbol, number, bids, asks] = [0, 1, 2, 3].map(|part| &books[6][part]);
    assert_eq!((symbol, number), (&json!("ROPE"), &json!(2)));
    assert!(bids[0][0].as_u64() < asks[0][0].as_u64() && bids.as_array().map(Vec::len) == Some(50));
    watch(&peer, &["ROPE"]);
    sim.run_for(SECOND);
    drop(peer);
    sim.run_for(10 * SECOND);
    let turns = sim.turns();
    sim.run_for(1_000 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
    let rude = sim.connect("/ticker");
    rude.send("{}");
    sim.run_for(SECOND);
    assert_eq!(rude.close_reason().map(|reason| reason.code()), Some(CloseCode::Policy));
}
