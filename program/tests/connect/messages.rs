//! What is sent and printed.

use crate::common::raw::{frame, literal, send, upgrade};
use crate::common::serve;
use crate::connect;
use lariat::http::StatusCode;
use lariat::{Answer, ClientId, Clients, Handler, Message, Request, Upgrade};
use std::sync::{Arc, Mutex};

/// Sends every message back.
#[derive(Clone, Copy, Default)]
pub struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

fn echo() -> (crate::common::Running<()>, String) {
    let running = serve(Echo);
    let url = format!("ws://{}/", running.addr);
    (running, url)
}

#[test]
fn each_line_is_a_message_and_each_message_a_line() {
    let (_running, url) = echo();
    for arguments in ["", "--deflate"] {
        let run = connect(&url, arguments, "one\r\n\ngrün\rx\n\x1b[2J\nlast");
        run.wrote("one\n\ngrün\rx\n\x1b[2J\nlast\n");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }
    let run = connect(&url, "", "");
    run.wrote("");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn binary_lines_come_back_as_they_are_and_hexadecimal_is_marked() {
    let (_running, url) = echo();
    let run = connect(&url, "--binary", b"\x00\xff\n\nabc");
    assert_eq!((&run.stdout[..], run.code), (&b"\x00\xffabc"[..], Some(0)), "{run:?}");
    let greeting = literal(|stream| {
        upgrade(stream)?;
        send(stream, b"\x82\x03\x00\x1b\xff\x81\x02hi\x88\x02\x03\xe8")?;
        frame(stream).map(|_| ())
    });
    let run = connect(&greeting, "", "");
    run.wrote("binary: 001bff\nhi\n");
    assert_eq!(run.code, Some(0));
}

#[test]
fn text_must_be_utf_8_and_lines_may_not_be_too_long() {
    let (_running, url) = echo();
    let run = connect(&url, "", b"fine\n\xff\nnever sent\n");
    run.wrote("fine\n");
    run.says("line 2 of standard input is not UTF-8: send lines with --binary");
    assert_eq!(run.code, Some(1));
    let run = connect(&url, "--max-message 10", "0123456789\r\n0123456789a\nb\n");
    run.wrote("0123456789\n");
    run.says("a line of standard input is longer than 10 bytes: raise --max-message");
    assert_eq!(run.code, Some(1));
    // It never ends, and is not read into memory.
    let run = connect(&url, "--max-message 1MiB", vec![b'x'; 3 << 20]);
    run.says("longer than 1048576 bytes");
}

#[test]
fn one_message_is_printed() {
    let (_running, url) = echo();
    let run = connect(&url, "-1 -v", "a\nb\nc\n");
    run.wrote("a\n");
    assert_eq!(run.code, Some(0));
    run.says("closed with code 1000");
    let eager = literal(|stream| {
        upgrade(stream)?;
        // All at once, and then it hangs up.
        send(stream, b"\x81\x01a\x81\x01b\x81\x01c")
    });
    let run = connect(&eager, "--one", "");
    run.wrote("a\n");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

/// A server that answers our Close late. The library delivers nothing behind our Close.
#[test]
fn what_comes_between_the_two_close_frames_is_printed() {
    let slow = literal(|stream| {
        upgrade(stream)?;
        assert_eq!(frame(stream)?, (0x81, b"ask".to_vec()));
        assert_eq!(frame(stream)?, (0x89, b"end".to_vec()));
        send(stream, b"\x81\x06before\x8a\x03end")?;
        assert_eq!(frame(stream)?, (0x88, vec![3, 232]));
        send(stream, b"\x81\x03one\x01\x01t\x80\x02wo\x82\x01\x07")?;
        send(stream, b"\x81\x05three\x88\x02\x03\xe8")
    });
    let run = connect(&slow, "", "ask\n");
    run.wrote("before\none\ntwo\nbinary: 07\nthree\n");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

/// A server that has read everything, but answers later.
#[test]
fn time_to_answer_can_be_given() {
    let late = literal(|stream| {
        upgrade(stream)?;
        frame(stream)?;
        // The client does not send anything before it closes, so this is the ping after --wait.
        assert_eq!(frame(stream)?.0, 0x89);
        send(stream, b"\x81\x04late\x88\x02\x03\xe8")
    });
    let run = connect(&late, "--wait 100ms", "ask\n");
    run.wrote("late\n");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_server_that_answers_no_pings_is_closed_after_a_while() {
    let deaf = literal(|stream| {
        upgrade(stream)?;
        assert_eq!(frame(stream)?.0, 0x89);
        assert_eq!(frame(stream)?, (0x88, b"\x0f\xa1bye".to_vec()));
        send(stream, b"\x88\x02\x0f\xa1")
    });
    let run = connect(&deaf, "--close 4001:bye", "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

/// Chooses a subprotocol, and keeps the headers.
struct Choosing(Arc<Mutex<Vec<String>>>);

impl Handler for Choosing {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        if request.path() != "/chat" {
            return StatusCode::NOT_FOUND.into();
        }
        let header = |name| format!("{name}: {:?}", request.header(name));
        *self.0.lock().expect("nobody panics") = ["origin", "x-a", "cookie"].map(header).to_vec();
        Upgrade::new().subprotocol("v2").into()
    }
}

#[test]
fn the_server_sees_headers_and_chooses_a_subprotocol() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let running = serve(Choosing(Arc::clone(&seen)));
    let url = format!("ws://{}/chat", running.addr);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lariat"));
    command.args(["connect", &url, "-v", "-s", "v1", "--subprotocol", "v2", "--origin", "http://localhost"]);
    command.args(["--header", "X-A: 1 2", "-H", "Cookie: a=b"]).stdin(std::process::Stdio::null());
    let output = command.output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("/chat, subprotocol v2\n"), "{output:?}");
    let seen = seen.lock().expect("nobody panics").join(", ");
    for value in ["http://localhost", "1 2", "a=b"] {
        assert!(seen.contains(value), "{seen}");
    }
    let run = connect(&format!("ws://{}/nope", running.addr), "", "");
    run.says("lariat: the server answered the upgrade with HTTP status 404");
    assert_eq!(run.code, Some(1));
}
