//! Tests that each example does what its first lines say. Each runs as the program that a reader
//! would start.

#![cfg(unix)]

mod device;
#[cfg(feature = "signals")]
mod drain;
mod gateway;
mod hosts;
mod http_api;
mod kit;
mod proxy;
mod rpc;

use kit::{Example, UPGRADE, path};
use std::process::Command;
use tungstenite::Message;

#[test]
fn echo_sends_everything_back() {
    let example = Example::start("echo", &[]);
    let mut client = example.connect("/");
    for text in ["hi", "", "Grüße, 世界"] {
        client.send(text);
        assert_eq!(client.text(), text);
    }
    client.0.send(Message::binary(vec![0, 255, 1])).expect("send");
    assert_eq!(client.0.read().expect("a message"), Message::binary(vec![0, 255, 1]));
    client.leave();
}

#[test]
fn cores_share_a_room() {
    let example = Example::start("cores", &["2"]);
    let mut clients: Vec<_> = (0..4).map(|_| example.connect("/")).collect();
    let mut greetings: Vec<String> = clients.iter_mut().map(|client| client.text()).collect();
    greetings.sort();
    let expected = ["* you are on loop 0 of 2", "* you are on loop 1 of 2"];
    assert_eq!(greetings, [expected[0], expected[0], expected[1], expected[1]]);
    clients[3].send("hello");
    clients.iter_mut().for_each(|client| assert_eq!(client.text(), "hello"));
    clients[0].send("loops");
    assert_eq!(clients[0].text(), "* clients of each loop: [2, 2]");
}

#[test]
fn chat_separates_rooms_and_reports_joins_and_leaves() {
    let example = Example::start("chat", &[]);
    let mut ada = example.connect("/kitchen?name=Ada");
    assert_eq!(ada.text(), "* welcome to /kitchen, Ada; people here: 1");
    let mut bob = example.connect("/kitchen?name=Bob");
    assert_eq!(bob.text(), "* welcome to /kitchen, Bob; people here: 2");
    assert_eq!(ada.text(), "* Bob joins");
    let mut cleo = example.connect("/cellar");
    assert_eq!(cleo.text(), "* welcome to /cellar, somebody; people here: 1");

    bob.send("hello");
    assert_eq!(ada.text(), "<Bob> hello");
    assert_eq!(bob.text(), "<Bob> hello");
    bob.leave();
    assert_eq!(ada.text(), "* Bob has left");

    let dan = example.connect("/kitchen?name=Dan");
    assert_eq!(ada.text(), "* Dan joins");
    // Without a closing handshake.
    drop(dan);
    assert_eq!(ada.text(), "* Dan has disconnected");

    // The first message in the cellar is one that was sent there.
    cleo.send("dark here");
    assert_eq!(cleo.text(), "<somebody> dark here");

    for target in ["/kitchen?name", "/kitchen?name=a%20b", "/kitchen?name=aaaaaaaaaaaaaaaaaaaaa"] {
        assert!(example.get(target, UPGRADE).starts_with("HTTP/1.1 400 "), "{target}");
    }
}

#[test]
fn push_sends_a_count_every_second() {
    let example = Example::start("push", &[]);
    let seconds = |text: String| text.strip_suffix(" s").and_then(|count| count.parse::<u64>().ok()).expect("a count");
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    for client in [&mut one, &mut two] {
        let first = seconds(client.text());
        assert_eq!(seconds(client.text()), first + 1);
        assert_eq!(seconds(client.text()), first + 2);
    }
}

#[test]
fn threads_answers_while_it_works() {
    let example = Example::start("threads", &[]);
    let mut client = example.connect("/");
    client.send("600851475143");
    assert_eq!(client.text(), "600851475143 = 71 * 839 * 1471 * 6857");
    for (number, factors) in [("0", "0"), ("1", "1"), ("2", "2"), ("12", "2 * 2 * 3"), ("97", "97")] {
        client.send(number);
        assert_eq!(client.text(), format!("{number} = {factors}"));
    }
    // The largest prime of 64 bits takes longer than this test.
    let mut other = example.connect("/");
    other.send("18446744073709551557");
    for text in ["what?", "-1", "18446744073709551616"] {
        client.send(text);
        assert_eq!(client.text(), "send a whole number below 2^64");
    }
    // One job is being computed, and a hundred more may wait.
    for _ in 0..102 {
        other.send("18446744073709551557");
    }
    assert_eq!(other.text(), "busy, try again later");
}

#[test]
fn simulated_tests_a_chat() {
    let output = Command::new(path("simulated")).output().expect("the example is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn game_moves_the_players_who_send_a_direction() {
    let example = Example::start("game", &[]);
    let (mut ada, mut ben) = (example.connect("/"), example.connect("/"));
    assert_eq!(ada.text(), r#"{"you":1,"width":120,"height":60}"#);
    assert_eq!(ben.text(), r#"{"you":2,"width":120,"height":60}"#);
    ada.send("left");
    ben.send("right");
    let columns = |state: String| {
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        [0, 1].map(|player: usize| state["players"][player][1].as_u64().expect("a column"))
    };
    // Both run, and nobody runs elsewhere or off the field.
    let first = columns(ada.text());
    let mut last = first;
    while (last[0] > 0 && last[0] == first[0]) || (last[1] < 119 && last[1] == first[1]) {
        let now = columns(ada.text());
        assert!(now[0] <= last[0] && now[1] >= last[1], "{now:?} after {last:?}");
        last = now;
    }
    ben.send("fly");
    while ben.0.read().is_ok_and(|message| !message.is_close()) {}
    ada.leave();
}
