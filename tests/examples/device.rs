//! Tests `device`.

use crate::kit::{Example, UPGRADE};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use tungstenite::WebSocket;

/// Waits for the device's next connection.
fn accept(listener: &TcpListener) -> WebSocket<TcpStream> {
    tungstenite::accept(listener.accept().expect("the device").0).expect("an upgrade")
}

#[test]
fn device_sends_measures_reconnects_and_tells_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/measures", listener.local_addr().expect("an address"));
    let device = Example::start("device", &[&url]);
    let mut upstream = accept(&listener);
    let text = |upstream: &mut WebSocket<TcpStream>| upstream.read().expect("a measure").into_text().expect("text");
    let [first, second] = [text(&mut upstream), text(&mut upstream)];
    assert!(first.starts_with("{\"temperature\":"), "{first}");
    assert!(second.starts_with("{\"time\":"), "{second}");

    let mut watcher = device.connect("/");
    assert!(watcher.text().starts_with(r#"{"link":"open","failures":0,"#));
    let response = device.get("/", "");
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains(r#"{"link":"open","#), "{response}");
    // A page in a browser on the same host.
    let foreign = format!("Origin: https://example.com\r\n{UPGRADE}");
    assert!(device.get("/", &foreign).starts_with("HTTP/1.1 403 "));
    // A page whose name resolves to this host.
    let mut stream = device.stream();
    write!(stream, "GET / HTTP/1.1\r\nHost: page.example\r\n\r\n").expect("send");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");

    drop(upstream);
    let mut upstream = accept(&listener);
    text(&mut upstream);
    for link in ["waiting", "connecting", "open"] {
        let status = watcher.text();
        assert!(status.starts_with(&format!(r#"{{"link":"{link}","failures":1,"#)), "{status}");
    }
    watcher.leave();
}

#[test]
fn device_stops_if_its_url_is_wrong() {
    let device = Example::start("device", &["http://127.0.0.1/"]);
    assert_eq!(device.end(), [""; 0]);
}
