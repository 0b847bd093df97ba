//! Scripts that say something in the chat: `curl -d 'hello' http://HOST/chat/lobby`.

use lariat::sim::{Peer, Simulation};
use lariat::{Config, Http};
use lariat_cli::site::{Chat, Options, Site};
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::default();
    config.limits.http = Some(Http::default());
    config
}

fn sim() -> Simulation<Chat> {
    Simulation::new(1, config(), Chat::new(1))
}

fn enter(sim: &mut Simulation<Chat>, room: &str, key: &str) -> Peer {
    let page = sim.connect("/chat");
    page.send(&json!({"join": {"room": room, "name": "anna", "key": key, "server": "", "after": 0}}).to_string());
    sim.run_for(SECOND);
    page
}

fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Posts, and returns the status and the line of the answer.
fn post(sim: &mut Simulation<Chat>, target: &str, body: &[u8]) -> (u16, String) {
    let script = sim.connect_raw();
    script.send_raw(&request("POST", target, "", body));
    sim.run_until_idle();
    let answer = String::from_utf8(script.received_raw()).expect("text");
    let (head, line) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("Content-Type: text/plain"), "{head}");
    (head[9..12].parse().expect("a status"), line.to_owned())
}

#[test]
fn what_a_script_says_reaches_the_room_once_and_is_kept_for_those_who_come_later() {
    let mut sim = sim();
    let (page, elsewhere) = (enter(&mut sim, "lobby", "a"), enter(&mut sim, "hall", "b"));
    assert_eq!(post(&mut sim, "/chat/lobby", b"hello\n"), (200, "said in #lobby, where 1 person is\n".to_owned()));
    assert_eq!(post(&mut sim, "/chat/lobby?name=nightly%20backup", b"done").0, 200);
    sim.run_for(SECOND);
    let texts = page.received_text();
    let said = |text: &str, name: &str| {
        let matches = |told: &&String| told.contains(&format!("\"name\":\"{name}\",\"text\":\"{text}\""));
        texts.iter().filter(matches).count()
    };
    assert_eq!((said("hello", "script"), said("done", "nightly backup (script)")), (1, 1), "{texts:?}");
    assert!(!elsewhere.received_text().iter().any(|told| told.contains("hello")));
    let late = enter(&mut sim, "lobby", "c");
    assert!(late.received_text().iter().any(|told| told.contains("welcome") && told.contains("hello")));
}

#[test]
fn a_script_can_begin_a_room_which_is_forgotten_as_others_are() {
    let mut sim = sim();
    assert_eq!(post(&mut sim, "/chat/caf%C3%A9", b"x"), (200, "said in #café, where nobody is\n".to_owned()));
    sim.run_for(1_800 * SECOND);
    let page = enter(&mut sim, "café", "a");
    assert!(page.received_text().iter().any(|told| told.contains("welcome") && told.contains("\"text\":\"x\"")));
    drop(page);
    sim.run_for(2 * 3_600 * SECOND);
    let page = enter(&mut sim, "café", "b");
    assert!(!page.received_text().iter().any(|told| told.contains("\"text\":\"x\"")));
}

#[test]
fn what_cannot_be_said_is_refused_with_a_reason() {
    let mut sim = sim();
    let long = vec![b'x'; (8 << 10) + 1];
    for (target, body, status, why) in [
        ("/chat/lobby", &b""[..], 400, "empty"),
        ("/chat/lobby", b" \n ", 400, "empty"),
        ("/chat/lobby", b"\xff", 400, "UTF-8"),
        ("/chat/lobby", &long, 413, "8 KiB"),
        ("/chat/", b"x", 400, "name a room"),
        ("/chat/%20", b"x", 400, "name a room"),
        ("/chat/%ff", b"x", 400, "name a room"),
        ("/chat/lobby?name=%ff", b"x", 400, "percent-encoded"),
    ] {
        let (found, line) = post(&mut sim, target, body);
        assert!(found == status && line.contains(why), "{target}: {found} {line}");
    }
    assert_eq!(post(&mut sim, "/chat/lobby", &long[1..]).0, 200);
}

#[test]
fn scripts_have_a_rate_together_and_rooms_a_limit() {
    let mut sim = sim();
    let statuses: Vec<u16> = (0..30).map(|_| post(&mut sim, "/chat/lobby", b"x").0).collect();
    assert!(statuses[..25].iter().all(|status| *status == 200) && statuses[25..].iter().all(|status| *status == 429));
    for number in 1..64 {
        sim.run_for(SECOND);
        assert_eq!(post(&mut sim, &format!("/chat/{number}"), b"x").0, 200);
    }
    sim.run_for(SECOND);
    assert_eq!(post(&mut sim, "/chat/another", b"x").0, 503);
    assert_eq!(post(&mut sim, "/chat/1", b"x").0, 200);
}

#[test]
fn pages_of_other_sites_cannot_post_and_only_post_is_known() {
    let mut sim = Simulation::new(1, config(), Site::new(&Options::default()));
    let mut status = |method: &str, target: &str, headers: &str| {
        let client = sim.connect_raw();
        // A GET request has no body.
        match method {
            "GET" => client.send_raw(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()),
            _ => client.send_raw(&request(method, target, headers, b"hello")),
        }
        sim.run_until_idle();
        let answer = String::from_utf8(client.received_raw()).expect("text");
        let allow = answer.lines().find_map(|line| line.strip_prefix("Allow: ")).map(str::to_owned);
        (answer[9..12].parse::<u16>().expect("a status"), allow)
    };
    assert_eq!(status("POST", "/chat/lobby", ""), (200, None));
    assert_eq!(status("POST", "/chat/lobby", "Origin: http://localhost\r\n"), (200, None));
    // A form of another site needs no preflight, but its browser names the origin.
    for origin in ["http://elsewlocalhost", "null"] {
        let form = format!("Origin: {origin}\r\nContent-Type: text/plain\r\n");
        assert_eq!(status("POST", "/chat/lobby", &form), (403, None), "{origin}");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(status(method, "/chat/lobby", ""), (405, Some("POST".to_owned())), "{method}");
    }
    assert_eq!(status("POST", "/chat", ""), (405, Some("GET, HEAD, OPTIONS".to_owned())));
    assert_eq!(status("POST", "/editor", ""), (405, Some("GET, HEAD, OPTIONS".to_owned())));
}

#[test]
fn a_websocket_client_that_connects_to_a_room_is_told_where_to_connect() {
    let mut sim = Simulation::new(1, config(), Site::new(&Options::default()));
    let client = sim.connect_raw();
    client.send_raw(
        b"GET /chat/lobby HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    sim.run_until_idle();
    let answer = String::from_utf8(client.received_raw()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("WebSocket clients connect to /chat"), "{answer}");
}
