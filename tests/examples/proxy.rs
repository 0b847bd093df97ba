//! Tests `proxy`.

use crate::kit::{Example, UPGRADE};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

#[test]
fn proxy_passes_messages_and_the_close_through() {
    let echo = Example::start("echo", &[]);
    let proxy = Example::start("proxy", &[&format!("ws://{}/", echo.address)]);
    let mut client = proxy.connect("/");
    for number in 0..20 {
        client.send(&number.to_string());
    }
    for number in 0..20 {
        assert_eq!(client.text(), number.to_string());
    }
    client.leave();

    let mut client = proxy.connect("/");
    client.send("once more");
    assert_eq!(client.text(), "once more");
    drop(echo);
    assert_eq!(u16::from(client.closed_with().code), 1001);
    client.finish();
    assert!(proxy.get("/", UPGRADE).starts_with("HTTP/1.1 502 "));
}

/// More than the buffers of two kernels hold.
const FLOOD: usize = 64 << 20;

/// Sends frames until `FLOOD` bytes are sent, an error occurs, or nothing is accepted for two
/// seconds. Returns the number of bytes.
fn flood(mut stream: TcpStream) -> usize {
    // A binary frame of 64 KiB whose masking key is zero.
    let mut frame = vec![0; 14 + (64 << 10)];
    frame[..10].copy_from_slice(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set a timeout");
    (0..FLOOD).step_by(frame.len()).take_while(|_| stream.write_all(&frame).is_ok()).count() * frame.len()
}

#[test]
fn proxy_does_not_buffer_for_a_server_that_has_not_accepted() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Example::start("proxy", &[&format!("ws://{}/", silent.local_addr().expect("an address"))]);
    let mut stream = proxy.stream();
    write!(stream, "GET / HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n").expect("send");
    let (upstream, _) = silent.accept().expect("the proxy connects");

    let accepted = flood(stream.try_clone().expect("clone"));
    assert!(accepted < FLOOD, "the proxy has read {accepted} bytes");
    drop(upstream);
    let mut response = [0; 13];
    stream.read_exact(&mut response).expect("a response");
    assert_eq!(response, *b"HTTP/1.1 502 ");
}

#[test]
fn proxy_holds_back_a_client_whose_server_reads_late_and_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Example::start("proxy", &[&format!("ws://{}/", listener.local_addr().expect("an address"))]);
    // This server accepts and reads later.
    let upstream =
        thread::spawn(move || tungstenite::accept(listener.accept().expect("a client").0).expect("an upgrade"));
    let client = proxy.connect("/");
    let mut upstream = upstream.join().expect("a connection");

    let stream = client.0.get_ref().try_clone().expect("clone");
    let accepted = flood(stream.try_clone().expect("clone"));
    assert!(accepted < FLOOD, "the proxy has read {accepted} bytes");
    // The last frame has been sent in part, so the rest of it cannot be told apart from others.
    stream.shutdown(std::net::Shutdown::Write).expect("the proxy is still connected");
    let mut received = 0;
    while let Ok(message) = upstream.read() {
        received += message.into_data().len();
    }
    assert!(received.abs_diff(accepted) < 1 << 17, "{received} bytes of {accepted}");
}
