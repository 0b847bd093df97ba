//! Tests `foreign_loop`, `mio_host` and `tokio_host`.

use crate::kit::{Example, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::net::UdpSocket;
use tungstenite::Message;

#[test]
fn foreign_loop_serves_clients_and_its_own_input() {
    let mut example = Example::start("foreign_loop", &[]);
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    one.send("echo");
    assert_eq!(one.text(), "echo");
    two.send("another echo");
    assert_eq!(two.text(), "another echo");

    let mut input = example.input.take().expect("stdin is piped");
    input.write_all(b"typed\n").expect("write");
    assert_eq!((one.text(), two.text()), ("typed".to_owned(), "typed".to_owned()));
    one.send("still there");
    assert_eq!(one.text(), "still there");

    drop(input);
    for mut client in [one, two] {
        assert_eq!(u16::from(client.closed_with().code), 1001);
        client.finish();
    }
    assert_eq!(example.end(), [""; 0]);
}

/// Waits for the example's second line, and sends datagrams to the address in it.
fn datagrams(example: &Example) -> UdpSocket {
    let line = example.lines.recv_timeout(PATIENCE).expect("a second line");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(line.strip_prefix("datagrams to ").expect("the address")).expect("an address");
    socket
}

#[test]
fn mio_host_serves_clients_and_its_own_datagrams() {
    let example = Example::start("mio_host", &["127.0.0.1:0"]);
    let socket = datagrams(&example);
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    for number in 0..50 {
        one.send(&number.to_string());
        assert_eq!(one.text(), number.to_string());
        socket.send(format!("datagram {number}\n").as_bytes()).expect("send");
        assert_eq!((one.text(), two.text()), (format!("datagram {number}"), format!("datagram {number}")));
    }
    // While the host stands still, more datagrams arrive than it takes at a time. All of them are
    // one edge.
    let pid = Pid::from_child(&example.child);
    kill_process(pid, Signal::STOP).expect("a signal");
    for number in 0..130 {
        socket.send(number.to_string().as_bytes()).expect("send");
    }
    kill_process(pid, Signal::CONT).expect("a signal");
    for number in 0..130 {
        assert_eq!((one.text(), two.text()), (number.to_string(), number.to_string()));
    }
    one.leave();
}

#[test]
fn tokio_host_answers_questions_in_order_beside_its_datagrams() {
    let example = Example::start("tokio_host", &["127.0.0.1:0"]);
    let socket = datagrams(&example);
    let (mut one, mut two) = (example.connect("/"), example.connect("/"));
    socket.send(b"hello\n").expect("send");
    assert_eq!((one.text(), two.text()), ("hello".to_owned(), "hello".to_owned()));
    // All at once: the host asks for one answer after the other.
    for number in 0..20 {
        one.0.write(Message::text(format!("{number}?"))).expect("write");
    }
    one.0.flush().expect("send");
    two.send("why?");
    assert_eq!(two.text(), "why? Because.");
    for number in 0..20 {
        assert_eq!(one.text(), format!("{number}? Because."));
    }
    // A client that disconnects while it waits for its answer.
    two.send("and?");
    drop(two);
    one.send("still there?");
    assert_eq!(one.text(), "still there? Because.");
    one.leave();
}
