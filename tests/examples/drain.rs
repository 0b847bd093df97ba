//! Tests `drain`.

use crate::kit::{Client, Example, UPGRADE};

#[test]
fn drain_closes_every_client_and_refuses_new_ones() {
    let example = Example::start("drain", &[]);
    let mut clients: Vec<Client> = (0..4).map(|_| example.connect("/")).collect();
    for client in &mut clients {
        client.send("here");
        assert_eq!(client.text(), "here");
    }
    assert!(example.get("/ready", "").starts_with("HTTP/1.1 200 "));

    let pid = rustix::process::Pid::from_child(&example.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    for client in &mut clients {
        let frame = client.closed_with();
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "a new version starts"));
    }
    // No client has answered the Close yet, so the server still runs.
    assert!(example.get("/ready", "").starts_with("HTTP/1.1 503 "));
    assert!(example.get("/", UPGRADE).starts_with("HTTP/1.1 503 "));
    clients.into_iter().for_each(Client::finish);
    assert_eq!(example.end(), ["stopped; 0 clients did not answer the Close"]);
}
