//! `lariat serve --loops`: the site on several loops.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::{Program, assert_fails, get, metrics};
use common::{Wire, request_with, text};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn serve(more: &[&str]) -> (Program, SocketAddr) {
    let mut program = Program::start(&[&["--listen", "127.0.0.1:0"], more].concat());
    let addr = program.ready();
    (program, addr)
}

/// Opens a socket as a page of the site does.
fn open(addr: SocketAddr, path: &str) -> Wire {
    let mut client = Wire::connect(addr);
    client.send(
        request_with(path, &format!("Origin: http://{addr}\r\n")).replace("localhost", &addr.to_string()).as_bytes(),
    );
    assert_eq!(client.response().status(), 101, "{path}");
    client
}

/// Returns the content of the next message of this kind.
fn next(client: &mut Wire, kind: &str) -> Value {
    loop {
        let frame = client.frame();
        if frame.first & 0x0f != 1 {
            continue;
        }
        let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        if let Some(content) = message.get(kind) {
            return content.clone();
        }
    }
}

fn join(addr: SocketAddr, name: &str) -> Wire {
    let mut client = open(addr, "/chat");
    let join = json!({"join": {"room": "lobby", "name": name, "key": name, "server": "", "after": 0}});
    client.send(&text(&join.to_string()));
    client
}

/// Whoever accepts it, a page of the chat finds the others.
#[test]
fn pages_of_the_chat_meet_on_any_number_of_loops() {
    let (_program, addr) = serve(&["--loops", "3"]);
    let mut people: Vec<Wire> = (0..9).map(|number| join(addr, &format!("person {number}"))).collect();
    for person in &mut people {
        next(person, "welcome");
    }
    let mut late = join(addr, "late");
    assert_eq!(next(&mut late, "welcome")["people"].as_array().expect("a list").len(), 10);
    for (number, id) in ["a1", "a2", "a3"].iter().enumerate() {
        people[number].send(&text(&json!({"say": {"id": id, "text": id, "age": 0}}).to_string()));
        for person in people.iter_mut().chain([&mut late]) {
            assert_eq!(next(person, "message")["text"], *id);
        }
    }
    // A script says something, over whatever loop.
    for number in 0..6 {
        let mut script = Wire::connect(addr);
        let said = format!("script {number}");
        let head = format!("POST /chat/lobby HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", said.len());
        script.send(format!("{head}{said}").as_bytes());
        let response = script.response();
        assert_eq!(response.status(), 200);
        assert!(String::from_utf8_lossy(&response.body).contains("where 10 people are"));
        assert_eq!(next(&mut late, "message")["text"], said.as_str());
    }
}

#[test]
fn what_one_echoes_and_all_hear_is_the_same_on_every_loop() {
    let (_program, addr) = serve(&["--loops", "2"]);
    let mut clients: Vec<Wire> = (0..8).map(|_| Wire::open_at(addr, "/echo")).collect();
    clients.iter_mut().for_each(|client| client.echo("hello"));
    let mut all: Vec<Wire> = (0..8).map(|_| Wire::open_at(addr, "/broadcast")).collect();
    all[3].send(&text("to everybody"));
    all.iter_mut().for_each(|client| client.expect_text("to everybody"));
    let metrics = metrics(addr);
    assert_eq!(metrics["lariat_connections"].at("state", "open"), 16.0);
    assert_eq!(metrics["lariat_opened_total"].one(), 16.0);
    for number in ["0", "1"] {
        assert_eq!(metrics["lariat_loop_connections"].at("loop", number), 8.0, "loops differ by at most one");
    }
    assert_eq!(
        metrics["lariat_loop_messages_total"].at("loop", "1") + metrics["lariat_loop_messages_total"].at("loop", "0"),
        9.0
    );
}

#[test]
fn the_index_counts_the_clients_of_all_loops() {
    let (_program, addr) = serve(&["--loops", "2"]);
    let mut pages: Vec<Wire> = (0..2).map(|_| open(addr, "/")).collect();
    let clients: Vec<Wire> = (0..7).map(|_| Wire::open_at(addr, "/echo")).collect();
    let _chat: Vec<Wire> = (0..4).map(|number| join(addr, &number.to_string())).collect();
    let mut wait_for = |echo: u64, chat: u64| {
        for page in &mut pages {
            let mut counts = json!({});
            while counts != json!({"/echo": echo, "/chat": chat}) {
                let all: Value = serde_json::from_slice(&page.frame().payload).expect("JSON");
                counts = json!({"/echo": all["/echo"], "/chat": all["/chat"]});
            }
        }
    };
    wait_for(7, 4);
    drop(clients);
    wait_for(0, 4);
}

#[test]
fn the_page_of_the_loop_shows_the_loop_that_it_asks_for() {
    let (_program, addr) = serve(&["--loops", "3"]);
    for (path, number) in
        [("/loop", 0), ("/loop?loop=1", 1), ("/loop?loop=2", 2), ("/loop?loop=3", 0), ("/loop?loop=x", 0)]
    {
        for _ in 0..3 {
            let hello = next(&mut open(addr, path), "hello");
            assert_eq!((hello["number"].as_u64(), hello["loops"].as_u64()), (Some(number), Some(3)), "{path}");
        }
    }
}

/// The console watches its own connections, whichever path they have.
#[test]
fn the_console_sees_the_connections_that_it_watches() {
    let (_program, addr) = serve(&["--loops", "2"]);
    for (round, path) in ["/echo", "/chat", "/broadcast", "/loop", "/ticker"].iter().cycle().take(10).enumerate() {
        let mut console = open(addr, "/console");
        let token = next(&mut console, "token").as_str().expect("text").to_owned();
        let _watched = open(addr, &format!("{path}?wire={token}.{round}"));
        let handshake = next(&mut console, "handshake");
        assert_eq!(handshake["on"].as_u64(), Some(round as u64));
        assert!(handshake["text"].as_str().expect("text").starts_with(&format!("GET {path}?wire=")));
    }
}

/// An experiment of a lesson ends for its page, whichever loop serves its connection.
#[test]
fn an_experiment_of_a_lesson_may_go_to_any_loop() {
    let (_program, addr) = serve(&["--loops", "3"]);
    for (on, path) in
        ["/learn/echo", "/echo", "/loop?loop=1", "/loop?loop=2", "/chat"].iter().cycle().take(10).enumerate()
    {
        let mut page = open(addr, "/learn");
        let digits = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let steps = json!([{"send": digits(request_with(path, "").as_bytes())}, {"await": digits(b"\r\n\r\n")}, "fin"]);
        page.send(&text(&json!({"run": {"on": on, "steps": steps, "within": 5_000}}).to_string()));
        let ended = next(&mut page, "ended");
        assert_eq!((ended["on"].as_u64(), ended["how"].as_str()), (Some(on as u64), Some("closed")), "{path}");
    }
}

#[test]
fn health_is_that_of_all_loops() {
    let (_program, addr) = serve(&["--loops", "2"]);
    for _ in 0..4 {
        assert_eq!(get(addr, "/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(get(addr, "/readyz"), (200, "ready\n".to_owned()));
    }
}

#[test]
fn a_signal_ends_all_loops_properly() {
    for more in [&["--loops", "3"][..], &["--loops", "2", "--reuse-port"], &["--loops", "auto"], &["--loops", "1"]] {
        let (mut program, addr) = serve(more);
        let mut clients: Vec<Wire> = (0..12).map(|_| Wire::open_at(addr, "/echo")).collect();
        clients.iter_mut().for_each(|client| client.echo("here"));
        program.signal("TERM");
        for client in &mut clients {
            client.expect_close(1001);
            client.send(&common::close(1001, ""));
        }
        drop(clients);
        assert_eq!(program.wait().code(), Some(0), "{more:?}");
    }
}

#[test]
fn impossible_numbers_of_loops_are_explained() {
    for wrong in ["0", "65", "many", "1.5"] {
        assert_fails(&["--loops", wrong], 2, &["--loops", "from 1 to 64, or auto"]);
    }
    assert_fails(&["--loops", "64", "--memory-budget", "64MiB"], 1, &["--loops 64, which needs "]);
}

/// The limits of the command line hold for the server, not for each loop.
#[test]
fn limits_hold_for_all_loops_together() {
    let (_program, addr) = serve(&["--loops", "2", "--max-connections", "6"]);
    let clients: Vec<Wire> = (0..6).map(|_| Wire::open_at(addr, "/echo")).collect();
    let mut one_more = Wire::connect(addr);
    one_more.send(common::request("/echo").as_bytes());
    assert_eq!(one_more.response().status(), 503);
    drop(clients);
    // Pages are served beyond the limit.
    assert_eq!(get(addr, "/chat").0, 200);
    let start = Instant::now();
    while metrics(addr)["lariat_connections"].at("state", "open") > 0.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "they are still open");
    }
}
