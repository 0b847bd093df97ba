//! Tests `gateway`.

use crate::kit::{Client, Example, UPGRADE};
use std::io::Write;

/// Checks that a client is closed with 1008 because it was kicked.
#[track_caller]
fn check_kicked(mut client: Client) {
    let frame = client.closed_with();
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "kicked"));
    client.finish();
}

#[test]
fn gateway_admits_who_has_a_token() {
    let example = Example::start("gateway", &[]);
    for (target, status) in [
        ("/lobby", 401),
        ("/lobby?", 401),
        ("/lobby?token", 401),
        ("/lobby?token=ada-2", 401),
        ("/?token=ada-1", 404),
        ("/a/b?token=ada-1", 404),
        ("/aaaaaaaaaaaaaaaaaaaaa?token=ada-1", 404),
    ] {
        let response = example.get(target, UPGRADE);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {response}");
    }
    assert!(example.get("/lobby?token=ada-1", "").starts_with("HTTP/1.1 426 "));
    let mut ada = example.connect("/lobby?token=ada-1");
    assert_eq!(ada.text(), "* here: Ada");
    ada.leave();
}

#[test]
fn gateway_shows_who_is_there_and_kicks() {
    let mut example = Example::start("gateway", &[]);
    let mut ada = example.connect("/lobby?token=ada-1");
    assert_eq!(ada.text(), "* here: Ada");
    let mut ben = example.connect("/lobby?token=ben-2");
    assert_eq!(ben.text(), "* here: Ada, Ben");
    assert_eq!(ada.text(), "* Ben joins");
    // Ben's second window, and another room.
    let mut ben_again = example.connect("/lobby?token=ben-2");
    assert_eq!(ben_again.text(), "* here: Ada, Ben");
    let mut cleo = example.connect("/cellar?token=cleo-3");
    assert_eq!(cleo.text(), "* here: Cleo");

    ben_again.send("hello");
    for client in [&mut ada, &mut ben, &mut ben_again] {
        assert_eq!(client.text(), "<Ben> hello");
    }
    ben.send("/kick Ada");
    assert_eq!(ben.text(), "* only a host may do that");
    ada.send("/kick Ben");
    check_kicked(ben);
    check_kicked(ben_again);
    assert_eq!(ada.text(), "* Ben leaves");
    ada.send("/who");
    assert_eq!(ada.text(), "* here: Ada");

    // The operator speaks from another thread.
    let mut operator = example.input.take().expect("stdin is piped");
    operator.write_all(b"say good night\nkick Cleo\n").expect("write");
    for client in [&mut ada, &mut cleo] {
        assert_eq!(client.text(), "* operator: good night");
    }
    check_kicked(cleo);
    ada.leave();
}
