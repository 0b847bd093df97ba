//! Servers that refuse, stall, close, reset, or answer wrongly or not at all. The report shows all
//! of it.

use crate::common::program::{Program, lariat};
use crate::common::raw::{listen, literal, upgrade};
use crate::common::serve;
use crate::{Counting, load};
use lariat::{Answer, CloseCode};
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::process::Command;

#[test]
fn no_program_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let run = load(&url, "-c 30 --hold 1h");
    assert_eq!(run.only_error("connect-refused"), 30);
    assert_eq!((run.count("connections failed"), run.count("connections begun")), (30, 30));
    assert_eq!(run.report["ended"], "no connection could be opened");
    assert_eq!((run.limits(), run.code), (vec!["refused"], Some(1)));
}

#[test]
fn the_server_does_not_accept() {
    // The kernel completes the TCP handshake, but no program reads the request.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let run = load(&url, "-c 10 --hold 1h --timeout 300ms");
    assert_eq!(run.only_error("handshake-timeout"), 10);
    assert_eq!((run.count("latency connect count"), run.count("latency handshake count")), (10, 0));
    assert_eq!((run.limits(), run.code), (vec!["server-does-not-accept"], Some(1)));
    drop(listener);
}

#[test]
fn upgrades_get_wrong_answers() {
    let refusing = literal(|stream| stream.get_mut().write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
    let run = load(&refusing, "-c 5 --hold 1h");
    assert_eq!((run.only_error("status-503"), run.limits()), (5, vec!["server-refuses"]));
    let lying = literal(|stream| {
        let head = "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).and_then(|()| listen(stream))
    });
    let run = load(&lying, "-c 5 --hold 1h");
    assert_eq!((run.only_error("bad-handshake"), run.limits()), (5, vec!["bad-handshake"]));
    let moved = literal(|stream| {
        let head = "HTTP/1.1 301 Moved\r\nLocation: https://other.example/chat\r\nContent-Length: 0\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes())
    });
    let moved = load(&moved, "-c 5 --hold 1h");
    assert_eq!((moved.only_error("status-301"), moved.limits()), (5, vec!["server-refuses"]));
    let location = r#"status 301: Location: "https://other.example/chat""#;
    assert_eq!(moved.stderr.matches(location).count(), 2, "{}", moved.stderr);
    // The library knows the reason.
    assert!(run.stderr.contains("section 4.1: "), "{}", run.stderr);
    let leaving = literal(|stream| stream.fill_buf().map(|_| ()));
    assert_eq!(load(&leaving, "-c 5 --hold 1h").only_error("handshake-broken"), 5);
}

/// The server of another protocol speaks, and waits for an answer: its first bytes are enough.
#[test]
fn the_server_speaks_another_protocol() {
    let ssh = literal(|stream| stream.get_mut().write_all(b"SSH-2.0-Other\r\n").and_then(|()| listen(stream)));
    let run = load(&ssh, "-c 5 --hold 1h --timeout 1h");
    assert_eq!((run.only_error("bad-handshake"), run.limits()), (5, vec!["bad-handshake"]));
    assert!(run.stderr.contains(r#"not HTTP/1: its first bytes are "SSH-2.0-Other\r\n""#), "{}", run.stderr);
    // The alert of a TLS server to a request without TLS.
    let tls = literal(|stream| {
        stream.fill_buf()?;
        stream.get_mut().write_all(&[0x15, 3, 1, 0, 2, 2, 0xff])?;
        listen(stream)
    });
    let run = load(&tls, "-c 5 --hold 1h --timeout 1h");
    assert!(run.stderr.contains(r#"its first bytes are "\x15\x03\x01\x00\x02\x02\xff""#), "{}", run.stderr);
}

#[test]
fn of_two_servers_one_does_not_listen() {
    let (server, _) = Counting::new(|_, _, _| {});
    let running = serve(server);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = listener.local_addr().expect("an address");
    drop(listener);
    let urls = [format!("ws://{}/", running.addr), format!("ws://{dead}/")];
    let arguments = ["load", &urls[0], &urls[1], "-c", "10", "--hold", "100ms", "--json", "-"];
    let run = crate::finished(&lariat(&arguments).output().expect("the program runs"));
    assert_eq!((run.only_error("connect-refused"), run.limits()), (5, vec!["refused"]));
    assert_eq!(run.stderr.matches(&format!("nobody listens at {dead}")).count(), 2, "{}", run.stderr);
    assert!(run.stderr.contains(": 5 connections refused"), "{}", run.stderr);
}

#[test]
fn some_upgrades_are_refused() {
    let (script, _ears) = crate::common::script();
    let mut count = 0;
    let running = serve(script.on_request(move |_, _, _| {
        count += 1;
        if count % 3 == 0 {
            lariat::http::StatusCode::FORBIDDEN.into()
        } else {
            Answer::Upgrade(lariat::Upgrade::new())
        }
    }));
    let run = load(&format!("ws://{}/", running.addr), "-c 30 --hold 100ms");
    assert_eq!(run.only_error("status-403"), 10);
    assert_eq!((run.count("connections opened"), run.count("connections failed")), (20, 10));
    assert_eq!(run.code, Some(0), "some were opened, and nothing was expected");
}

#[test]
fn the_server_closes() {
    let (server, seen) = Counting::new(|clients, id, _| {
        clients.close(id, CloseCode::Again, "token\u{9b}missing").expect("it is open");
    });
    let running = serve(server);
    let run = load(&format!("ws://{}/", running.addr), "-c 10 --echo --hold 1h");
    assert_eq!(run.errors(), [("closed-1013".to_owned(), 10), ("lost".to_owned(), 10)]);
    assert_eq!((run.count("connections lost"), run.count("messages unanswered")), (10, 10));
    assert_eq!(run.count("messages sent"), seen.lock().expect("nobody has panicked").messages);
    assert_eq!(run.report["ended"], "cut short: all connections were lost");
    assert_eq!(run.limits(), ["server-closes", "server-stalls"]);
    let reason = r#"the server closed with code 1013 (try again later): "token\u{9b}missing""#;
    assert_eq!(run.stderr.matches(reason).count(), 2, "as an error and as a limit: {}", run.stderr);
}

#[test]
fn the_server_hangs_up_or_resets() {
    let hanging_up = literal(|stream| upgrade(stream).and_then(|()| stream.fill_buf().map(|_| ())).map(drop));
    let run = load(&hanging_up, "-c 6 --echo --hold 1h");
    let kinds: Vec<String> = run.errors().into_iter().map(|(kind, _)| kind).collect();
    // Unread bytes make its kernel send a reset.
    assert!(kinds.iter().all(|kind| ["hung-up", "reset", "lost"].contains(&kind.as_str())), "{kinds:?}");
    assert_eq!((run.count("connections lost"), run.count("messages unanswered")), (6, 6));
    let resetting = literal(|stream| {
        upgrade(stream)?;
        stream.fill_buf()?;
        socket2::SockRef::from(stream.get_ref()).set_linger(Some(std::time::Duration::ZERO))
    });
    let run = load(&resetting, "-c 6 --echo --hold 1h");
    assert_eq!(run.errors(), [("reset".to_owned(), 6), ("lost".to_owned(), 6)]);
}

#[test]
fn echoes_are_wrong() {
    let (server, _) = Counting::new(|clients, id, message| {
        let mut bytes = message.as_bytes().to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        let text = String::from_utf8(bytes).expect("ASCII stays ASCII");
        clients.send(id, text.as_str()).expect("it is open");
    });
    let running = serve(server);
    let run = load(&format!("ws://{}/", running.addr), "-c 4 --echo -m 40 --hold 500ms --expect errors=0");
    assert_eq!(run.only_error("wrong-message"), run.count("messages sent"));
    assert_eq!((run.count("messages right"), run.count("messages wrong")), (0, run.count("messages sent")));
    assert!(run.limits().contains(&"no-echo"), "{}", run.stderr);
    assert_eq!(run.code, Some(1));
}

#[test]
fn echoes_come_twice() {
    let (server, _) = Counting::new(|clients, id, message| {
        for _ in 0..2 {
            clients.send(id, message).expect("it is open");
        }
    });
    let running = serve(server);
    let run = load(&format!("ws://{}/", running.addr), "-c 4 --echo -m 40 --hold 500ms");
    assert_eq!(run.only_error("unexpected-message"), run.count("messages unexpected"));
    let (right, sent) = (run.count("messages right"), run.count("messages sent"));
    assert_eq!((right, run.count("messages received")), (sent, right + run.count("messages unexpected")));
}

#[test]
fn echoes_do_not_come() {
    let (server, seen) = Counting::new(|_, _, _| {});
    let running = serve(server);
    let url = format!("ws://{}/", running.addr);
    let run = load(&url, "-c 4 --echo --depth 3 --hold 200ms --timeout 300ms");
    assert_eq!((run.count("messages sent"), run.only_error("unanswered")), (12, 12));
    assert_eq!((run.limits(), run.report["ended"].as_str()), (vec!["no-echo"], Some("complete")));
    assert!(run.stderr.contains("this is not an echo server: 12 messages sent, 0 received"), "{}", run.stderr);
    let run = load(&url, "-c 4 --subscribe --hold 200ms --timeout 300ms");
    assert_eq!(run.limits(), ["no-echo"]);
    seen.lock().expect("nobody has panicked").messages = 12;
    let run = load(&url, "-c 4 --until p99<1s -m 20 --hold 200ms --timeout 300ms");
    assert!(run.report["search"]["highest"].is_null(), "{:#}", run.report["search"]);
    assert_eq!(run.only_error("unanswered"), run.count("messages sent"));
    assert_eq!(seen.lock().expect("nobody has panicked").messages, 12 + run.count("messages sent"));
}

#[test]
fn the_server_does_not_read() {
    let stalling = literal(|stream| upgrade(stream).map(|()| std::thread::park()));
    let run = load(&stalling, "-c 1 -m 40 --size 1MiB --hold 1s --timeout 300ms");
    let stalled: u64 = run.errors().iter().filter(|(kind, _)| kind == "stalled").map(|(_, count)| count).sum();
    assert!(stalled > 0 && run.count("messages sent") + stalled >= 40, "{:?}", run.errors());
    assert!(run.limits().contains(&"server-stalls"));
    assert!(run.errors().contains(&("close-unanswered".to_owned(), 1)));
}

#[test]
fn the_server_does_not_answer_pings() {
    let silent = literal(|stream| upgrade(stream).and_then(|()| listen(stream)));
    let run = load(&silent, "-c 3 --ping 100ms --hold 1h --timeout 300ms");
    assert_eq!(run.only_error("silent"), 3);
}

#[test]
fn the_server_breaks_the_protocol() {
    let masking = literal(|stream| {
        upgrade(stream)?;
        stream.get_mut().write_all(&[0x81, 0x81, 1, 2, 3, 4, b'x' ^ 1])?;
        listen(stream)
    });
    let run = load(&masking, "-c 3 --hold 1h");
    assert_eq!(run.only_error("protocol-1002"), 3);
}

/// This is what the tool is for: it shows what stops a server.
#[cfg(target_os = "linux")]
#[test]
fn a_server_without_descriptors_is_recognised() {
    let mut command = Command::new("sh");
    let script = "ulimit -n 40; exec \"$0\" serve --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_lariat")]).env_remove("RUST_LOG");
    let mut program = Program::spawn(command);
    let addr = program.ready();
    let run = load(&format!("ws://{addr}/echo"), "-c 100 --hold 100ms --timeout 2s");
    let opened = run.count("connections opened");
    assert!((20..40).contains(&opened), "{opened}");
    assert_eq!(run.count("connections failed"), 100 - opened);
    assert_eq!(run.limits().first(), Some(&"server-descriptors"), "{}", run.stderr);
    assert_eq!(run.count("server files_limit"), 40);
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_without_descriptors_reports_it_before_and_after() {
    let (server, seen) = Counting::new(|_, _, _| {});
    let running = serve(server);
    let mut command = Command::new("sh");
    let script = "ulimit -n 40; exec \"$0\" load \"$1\" -c 100 --hold 100ms --json -";
    let url = format!("ws://{}/", running.addr);
    command.args(["-c", script, env!("CARGO_BIN_EXE_lariat"), &url]).env_remove("RUST_LOG");
    let run = crate::finished(&command.output().expect("the program runs"));
    assert!(
        run.stderr.contains("this run will reach a limit at 24: open files of a process, hard limit (40)"),
        "{}",
        run.stderr
    );
    let opened = run.count("connections opened");
    assert_eq!((opened, run.only_error("no-descriptors")), (seen.lock().expect("it lives").opened, 100 - opened));
    assert_eq!(run.limits(), ["client-descriptors"]);
}
