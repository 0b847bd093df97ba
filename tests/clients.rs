//! Tests with another implementation as the client: tungstenite.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use common::{WAIT, echo_script, script, serve};
use lariat::{CloseCode, CloseFrame, CloseReason};
use std::net::{SocketAddr, TcpStream};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::{Error, Message, WebSocket};

fn connect(addr: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let (socket, response) = tungstenite::client(format!("ws://{addr}/echo"), stream).expect("a handshake");
    assert_eq!(response.status(), 101);
    socket
}

fn echo(socket: &mut WebSocket<TcpStream>, message: Message) {
    socket.send(message.clone()).expect("it is open");
    assert!(socket.read().expect("an echo") == message, "the echo differs");
}

#[test]
fn messages_are_echoed() {
    let server = serve(echo_script().0);
    let mut socket = connect(server.addr);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        echo(&mut socket, Message::binary(vec![42; length]));
        echo(&mut socket, Message::text("\u{20ac}".repeat(length / 3)));
    }
}

#[test]
fn fragments_with_a_ping_between_them_become_one_message() {
    let server = serve(echo_script().0);
    let mut socket = connect(server.addr);
    let fragment = |code: Data, fin: bool, payload: &'static [u8]| {
        let header = FrameHeader { is_final: fin, opcode: OpCode::Data(code), ..FrameHeader::default() };
        Message::Frame(Frame::from_payload(header, payload.into()))
    };
    socket.send(fragment(Data::Text, false, b"frag")).expect("it is open");
    socket.send(Message::Ping("between".into())).expect("it is open");
    socket.send(fragment(Data::Continue, false, b"")).expect("it is open");
    socket.send(fragment(Data::Continue, true, b"ments")).expect("it is open");
    assert_eq!(socket.read().expect("a pong"), Message::Pong("between".into()));
    assert_eq!(socket.read().expect("an echo"), Message::text("fragments"));
}

#[test]
fn pings_are_answered_in_both_directions() {
    let (script, calls) = script();
    let server = serve(script.on_message(|clients, id, message| {
        clients.ping(id, message.as_bytes()).expect("it is open");
    }));
    let mut socket = connect(server.addr);
    let id = calls.open();
    socket.send(Message::Ping("client's".into())).expect("it is open");
    assert_eq!(socket.read().expect("a pong"), Message::Pong("client's".into()));
    socket.send(Message::text("server's")).expect("it is open");
    assert_eq!(socket.read().expect("a ping"), Message::Ping("server's".into()));
    socket.flush().expect("the pong");
    calls.until(&common::Call::Pong(id, b"server's".to_vec()));
}

/// Reads until the connection ends. Returns the Close frame that came before the end.
fn read_close(socket: &mut WebSocket<TcpStream>) -> Option<CloseFrame> {
    let mut frame = None;
    loop {
        match socket.read() {
            Ok(Message::Close(close)) => frame = close.map(CloseFrame::from),
            Ok(message) => panic!("{message:?} after the end"),
            Err(Error::ConnectionClosed) => return frame,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn close_codes_are_sent_and_received() {
    let (script, calls) = script();
    let server = serve(script.on_message(|clients, id, message| {
        let code = message.as_text().and_then(|code| code.parse::<u16>().ok()).expect("a code");
        clients.close(id, CloseCode::from(code), "as you asked").expect("a code that may travel");
    }));
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] {
        let mut socket = connect(server.addr);
        let sent = CloseFrame { code: CloseCode::from(code), reason: "going".into() };
        socket.close(Some(sent.clone().into())).expect("it is open");
        assert_eq!(read_close(&mut socket), Some(sent.clone()));
        drop(socket);
        assert_eq!(calls.close().1, CloseReason::Peer(Some(sent)));

        let mut socket = connect(server.addr);
        socket.send(Message::text(code.to_string())).expect("it is open");
        let received = CloseFrame { code: CloseCode::from(code), reason: "as you asked".into() };
        assert_eq!(read_close(&mut socket), Some(received.clone()));
        drop(socket);
        assert_eq!(calls.close().1, CloseReason::Local(received));
    }
    let mut socket = connect(server.addr);
    socket.close(None).expect("it is open");
    assert_eq!(read_close(&mut socket), None);
    drop(socket);
    assert_eq!(calls.close().1, CloseReason::Peer(None));
}

#[test]
fn sixteen_clients_at_once_get_their_echoes() {
    let server = serve(echo_script().0);
    let addr = server.addr;
    std::thread::scope(|scope| {
        for client in 0..16_usize {
            scope.spawn(move || {
                let mut socket = connect(addr);
                for round in 0..100 {
                    echo(&mut socket, Message::text(format!("{client}: {round}")));
                    echo(&mut socket, Message::binary(vec![client as u8; client * round]));
                }
                // Keeps several messages in flight as well.
                (0..50).for_each(|n| socket.send(Message::text(format!("{client}, {n}"))).expect("it is open"));
                (0..50).for_each(|n| {
                    assert_eq!(socket.read().expect("an echo"), Message::text(format!("{client}, {n}")));
                });
                socket.close(None).expect("it is open");
                assert_eq!(read_close(&mut socket), None);
            });
        }
    });
}
