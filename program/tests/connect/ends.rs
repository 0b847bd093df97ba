//! How a session ends, and its exit code.

use crate::common::raw::{frame, listen, literal, send, upgrade};
use crate::common::{serve, until};
use crate::messages::Echo;
use crate::{connect, finished, start};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};

#[test]
fn a_server_that_closes_with_a_code_of_its_own_is_a_failure() {
    for (code, exit) in [(1000_u16, 0), (1001, 0), (4000, 1), (1011, 1)] {
        let url = literal(move |stream| {
            upgrade(stream)?;
            let [high, low] = code.to_be_bytes();
            send(stream, &[b"\x81\x02hi\x88\x06", &[high, low][..], b"over"].concat())?;
            frame(stream).map(|_| ())
        });
        // Also if both close at the same time.
        for arguments in ["-n", ""] {
            let run = connect(&url, arguments, "");
            run.wrote("hi\n");
            assert_eq!(run.code, Some(exit), "{run:?}");
            if exit == 1 {
                run.says(&format!("lariat: the server closed with code {code}"));
            } else {
                assert_eq!(run.stderr, "");
            }
        }
    }
}

#[test]
fn a_close_that_crosses_ours_counts() {
    let url = literal(|stream| {
        upgrade(stream)?;
        frame(stream)?;
        send(stream, b"\x8a\x03end")?;
        frame(stream)?;
        send(stream, b"\x88\x02\x0f\xa0")
    });
    let run = connect(&url, "", "");
    run.says("the server closed with code 4000");
    assert_eq!(run.code, Some(1));
}

#[test]
fn nobody_listens_and_wrong_usage() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let run = connect(&format!("ws://{address}/"), "", "a\n");
    run.says(&format!("lariat: the connection was refused: nobody listens at {address}"));
    assert_eq!(run.code, Some(1));
    for (url, arguments, says) in [
        ("http://localhost/", "", "is not the URL of a WebSocket server"),
        ("ws://localhost/", "--insecure", "are for wss:// URLs"),
        ("ws://localhost/", "--header x", "is not a header"),
        ("ws://localhost/", "--close 1005", "a code that may be sent"),
        ("ws://localhost/", "--header Upgrade:x", "a header of the handshake itself"),
        ("wss://localhost/", "--ca /nowhere/ca.pem", "cannot use --ca /nowhere/ca.pem: there is no such file"),
    ] {
        let run = connect(url, arguments, "");
        run.says(says);
        assert_eq!(run.code, Some(2), "{run:?}");
    }
}

#[test]
fn no_message_comes_in_time() {
    let silent = literal(|stream| upgrade(stream).and_then(|()| listen(stream)));
    for input in ["", "a question\n"] {
        let run = connect(&silent, "-1 --timeout 200ms", input);
        run.wrote("");
        run.says("no message came within 200 ms");
        assert_eq!(run.code, Some(1));
    }
    let closing = literal(|stream| {
        upgrade(stream)?;
        send(stream, b"\x88\x02\x03\xe8")?;
        listen(stream)
    });
    let run = connect(&closing, "-1", "");
    run.says("the server closed before there was a message");
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_server_that_does_not_answer_is_lost() {
    let mute = literal(listen);
    let run = connect(&mute, "--timeout 200ms", "");
    run.says("the server did not answer the upgrade in time");
    assert_eq!(run.code, Some(1));
    let silent = literal(|stream| upgrade(stream).and_then(|()| listen(stream)));
    let run = connect(&silent, "-n --ping 200ms", "");
    run.says("the server sent nothing, not even answers to pings");
    assert_eq!(run.code, Some(1));
    let gone = literal(|stream| upgrade(stream).and_then(|()| send(stream, b"\x81\x02hi")));
    let run = connect(&gone, "-n", "");
    run.wrote("hi\n");
    assert_eq!(run.code, Some(1), "{run:?}");
}

/// Tells how its clients end, and that they are there.
struct Telling(Sender<Option<CloseCode>>);

impl Handler for Telling {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let _ = clients.send(id, "welcome");
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        let code = match reason {
            CloseReason::Peer(Some(frame)) => Some(frame.code),
            _ => None,
        };
        let _ = self.0.send(code);
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("kill(1)");
    assert!(status.success());
}

/// Waits for the first line of a session whose standard input stays open.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("text");
    line
}

#[test]
fn ctrl_c_closes_normally() {
    let (tell, told) = channel();
    let running = serve(Telling(tell));
    let mut child = start(&format!("ws://{}/", running.addr), "-v");
    let stdin = child.stdin.take();
    assert_eq!(first_line(&mut child), "welcome\n");
    signal(&child, "INT");
    let run = finished(child);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.says("closed with code 1000");
    assert_eq!(told.recv().expect("it is told"), Some(CloseCode::Normal));
    drop(stdin);
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let (closing, closed) = channel();
    let stubborn = literal(move |stream| {
        upgrade(stream)?;
        send(stream, b"\x81\x07welcome")?;
        closing.send(frame(stream)?.0).expect("somebody listens");
        listen(stream)
    });
    let mut child = start(&stubborn, "--timeout 1h");
    let stdin = child.stdin.take();
    assert_eq!(first_line(&mut child), "welcome\n");
    signal(&child, "INT");
    assert_eq!(closed.recv().expect("a frame"), 0x88);
    signal(&child, "INT");
    assert_eq!(finished(child).code, Some(1));
    drop(stdin);
}

#[test]
fn ctrl_c_also_ends_a_session_that_is_not_open() {
    let (began, begun) = channel();
    let mute = literal(move |stream| {
        stream.fill_buf()?;
        began.send(()).expect("somebody listens");
        listen(stream)
    });
    let child = start(&mute, "--timeout 1h");
    begun.recv().expect("it connects");
    signal(&child, "INT");
    let run = finished(child);
    run.says("a signal came before the connection was open");
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_closed_standard_output_ends_the_session_quietly() {
    let endless = literal(|stream| {
        upgrade(stream)?;
        while send(stream, &b"\x81\x01y".repeat(1_000)).is_ok() {}
        Ok(())
    });
    let running = serve(Echo);
    for url in [endless, format!("ws://{}/", running.addr)] {
        let mut child = start(&url, "--timeout 500ms");
        let mut stdin = child.stdin.take().expect("it is piped");
        // It ends before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&b"y\n".repeat(4 << 20))));
        let mut stdout = child.stdout.take().expect("it is piped");
        stdout.read_exact(&mut [0; 2]).expect("two bytes");
        drop(stdout);
        let run = finished(child);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        writer.join().expect("nobody panics");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let running = serve(Telling(channel().0));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lariat"));
    command.args(["connect", &format!("ws://{}/", running.addr), "-1"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let stdin = child.stdin.take();
    until(|| child.try_wait().expect("it is our child").is_some());
    let run = finished(child);
    run.says("cannot write to standard output: ");
    assert_eq!(run.code, Some(1));
    drop(stdin);
}
