//! The program: its output, what it serves, and how it ends.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::{Program, assert_fails, get, lariat};
use common::{Folder, Wire, close, text, until};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A path for a socket that only one test uses.
struct Path(PathBuf, #[expect(dead_code, reason = "it is removed at the end")] Folder);

impl Path {
    fn new() -> Path {
        let folder = Folder::new();
        Path(folder.path("socket"), folder)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

#[test]
fn help_and_version_exit_with_0() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["help"]] {
        let output = lariat(arguments).output().expect("the program starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("Usage:"), "{output:?}");
    }
    let output = lariat(&["--version"]).output().expect("the program starts");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("lariat {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_2() {
    assert_fails(&["--no-such-option"], 2, &["Usage:", "--no-such-option"]);
    assert_fails(&["no-such-command"], 2, &["Usage:"]);
    assert_fails(&["--listen"], 2, &["--listen"]);
    assert_fails(&["--max-message", "1 elephant"], 2, &["64KiB"]);
    assert_fails(&["--max-connections", "many"], 2, &["--max-connections"]);
}

#[test]
fn a_port_that_is_in_use_is_1_and_says_what_to_do() {
    let occupied = TcpListener::bind("127.0.0.1:0").and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (addr, _listener) = occupied.expect("a free port");
    let (address, port) = (addr.to_string(), addr.port().to_string());
    assert_fails(&["--listen", &address], 1, &["cannot listen on", &address, "in use", "ss -ltnp", &port, "--listen"]);
}

#[test]
fn a_bad_address_is_1_and_says_how_to_write_one() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:http"] {
        assert_fails(&["--listen", address], 1, &[address, "127.0.0.1:9998"]);
    }
    // A documentation address (RFC 5737): no host has it.
    assert_fails(&["--listen", "192.0.2.1:0"], 1, &["192.0.2.1", "does not have this address", "--listen"]);
}

/// As after `kill -9`: the next start must not fail, or systemd would try again for ever.
#[test]
fn a_socket_that_was_left_behind_is_replaced_and_that_is_logged() {
    let path = Path::new();
    for _ in 0..2 {
        let mut command = lariat(&["--listen", &path.address()]);
        command.stderr(Stdio::piped());
        drop(UnixListener::bind(&path.0));
        let mut program = Program::spawn(command);
        assert!(program.ready_line().contains(&path.address()));
        assert!(UnixStream::connect(&path.0).is_ok());
        // A thread writes the log, perhaps after the line that the program is ready.
        let stderr = BufReader::new(program.child.stderr.take().expect("it is piped"));
        let mut lines = stderr.lines().map(|line| line.expect("text"));
        let told = lines.find(|line| line.contains("left behind")).expect("a line about it");
        assert!(told.contains(&path.0.display().to_string()), "{told}");
        program.signal("KILL");
        program.wait();
        assert!(path.0.exists(), "it is left behind");
    }
}

#[test]
fn a_file_that_is_no_socket_is_1_and_stays() {
    let path = Path::new();
    std::fs::write(&path.0, "precious").expect("a file");
    assert_fails(&["--listen", &path.address()], 1, &["not a socket", "another path"]);
    assert_eq!(std::fs::read_to_string(&path.0).expect("it is still there"), "precious");
}

#[test]
fn a_socket_that_is_in_use_is_1_and_stays() {
    let path = Path::new();
    let _listener = UnixListener::bind(&path.0).expect("a free path");
    assert_fails(&["--listen", &path.address()], 1, &["another program listens there"]);
    assert!(UnixStream::connect(&path.0).is_ok());
    assert_fails(&["--listen", "unix:/no/such/folder/lariat.sock"], 1, &["folder does not exist"]);
}

#[test]
fn the_ready_line_has_an_address_for_a_browser() {
    let mut program = Program::start(&["serve", "--listen", "127.0.0.1:0"]);
    let line = program.ready_line();
    let url = line.trim_end().strip_suffix(" in a browser").and_then(|line| line.split("open http://").nth(1));
    let addr = url.and_then(|url| url.trim_end_matches('/').parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let mut wire = Wire::connect(addr);
    wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = wire.response();
    assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.starts_with(b"<!"), "not a page");
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/echo", 426), ("/nothing", 404)] {
        assert_eq!(get(addr, path).0, status, "{path}");
    }
    Wire::open_at(addr, "/echo").echo("hello");
    let (mut one, mut other) = (Wire::open_at(addr, "/broadcast"), Wire::open_at(addr, "/broadcast"));
    one.send(&common::text("to both"));
    one.expect_text("to both");
    other.expect_text("to both");
}

#[test]
fn options_take_effect() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--max-message", "1KiB", "--max-connections", "1"]);
    let addr = program.ready();
    let mut wire = Wire::open_at(addr, "/echo");
    let mut second = Wire::connect(addr);
    second.send(common::request("/echo").as_bytes());
    assert_eq!(second.response().status(), 503);
    wire.send(&common::binary(&[0; 1_024]));
    wire.expect(0x82, &[0; 1_024]);
    wire.send(&common::binary(&[0; 1_025]));
    wire.expect_close(1009);
}

#[test]
fn options_of_redis_are_checked_and_shown_without_passwords() {
    assert_fails(&["--listen", "127.0.0.1:0", "--redis-prefix", "x"], 1, &["--redis-prefix", "LARIAT_REDIS"]);
    assert_fails(&["--listen", "127.0.0.1:0", "--redis-buffer", "1MiB"], 1, &["--redis-buffer", "LARIAT_REDIS"]);
    assert_fails(&["--listen", "127.0.0.1:0", "--redis", "redis://:p@ss:w/rd@h"], 1, &["Redis URL 1 of 1", "%40"]);
    // Nobody listens there.
    let urls = ["--redis", "redis://:secret@127.0.0.1:1/", "--redis", "redis://127.0.0.2:1/3"];
    let arguments = [&["--listen", "127.0.0.1:0", "--redis-prefix", "mine"], &urls[..]].concat();
    let mut program = Program::start(&arguments);
    program.ready();
    let line = "With other servers: through Redis at 127.0.0.1:1 or 127.0.0.2:1, prefix mine\n";
    assert_eq!(program.ready_line(), line);
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let path = Path::new();
    let mut program = Program::start(&["--listen", &path.address()]);
    assert!(program.ready_line().contains(&path.address()));
    let mut wire = Wire::open_unix(&path.0, "/echo");
    wire.echo("hello");
    program.signal("TERM");
    wire.expect_close(1001);
    drop(wire);
    assert_eq!(program.wait().code(), Some(0));
    assert!(!path.0.exists(), "its file is still there");
}

#[test]
fn a_unix_socket_has_the_mode_and_the_group_of_the_options() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let path = Path::new();
    let group = std::fs::metadata("/proc/self").map_or(0, |metadata| metadata.gid());
    let mut program =
        Program::start(&["--listen", &path.address(), "--socket-mode", "640", "--socket-group", &group.to_string()]);
    program.ready_line();
    let metadata = std::fs::symlink_metadata(&path.0).expect("it listens");
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.gid()), (0o640, group));
    assert_fails(&["--listen", &path.address(), "--socket-mode", "999"], 2, &["--socket-mode", "660"]);
    assert_fails(&["--listen", &path.address(), "--socket-group", "no such group"], 2, &["getent group"]);
    assert_fails(&["--listen", "127.0.0.1:0", "--socket-mode", "660"], 1, &["--listen unix:PATH"]);
    // It has a file as well.
    assert_fails(&["--listen", &format!("plain:{}", path.address()), "--socket-mode", "660"], 1, &["add --tls-cert"]);
}

#[test]
fn signals_close_everybody_with_1001_and_end_with_0() {
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        let addr = program.ready();
        let start = Instant::now();
        let mut wires: Vec<Wire> = ["/echo", "/broadcast", "/echo"].map(|path| Wire::open_at(addr, path)).into();
        program.signal(signal);
        for wire in &mut wires {
            wire.expect_close(1001);
            wire.send(&close(1001, ""));
            wire.expect_end();
        }
        drop(wires);
        assert_eq!(program.wait().code(), Some(0), "{signal}");
        assert!(start.elapsed() < Duration::from_secs(4), "it waited for nobody: {:?}", start.elapsed());
    }
}

#[test]
fn a_client_that_never_answers_is_waited_for_5_seconds() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let mut wire = Wire::open_at(program.ready(), "/echo");
    let start = Instant::now();
    program.signal("TERM");
    wire.expect_close(1001);
    assert_eq!(program.wait().code(), Some(0));
    let took = start.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(15), "{took:?}");
    wire.expect_gone();
}

#[test]
fn the_second_signal_does_not_wait() {
    for signals in [["INT", "INT"], ["TERM", "INT"], ["HUP", "TERM"], ["QUIT", "QUIT"]] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        let mut wire = Wire::open_at(program.ready(), "/echo");
        let start = Instant::now();
        program.signal(signals[0]);
        wire.expect_close(1001);
        program.signal(signals[1]);
        assert_eq!(program.wait().code(), Some(1));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        wire.expect_gone();
    }
}

/// A terminal that closes sends SIGHUP more than once, and systemd may send it behind SIGTERM.
#[test]
fn a_further_hangup_does_not_cut_a_shutdown_short() {
    for first in ["HUP", "TERM"] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        let addr = program.ready();
        let mut wire = Wire::open_at(addr, "/echo");
        let mut others: Vec<Wire> = (0..3).map(|_| Wire::open_at(addr, "/echo")).collect();
        program.signal(first);
        wire.expect_close(1001);
        for other in &mut others {
            other.expect_close(1001);
            program.signal("HUP");
            // The server notices the signal before it answers.
            other.send(&close(1001, ""));
            other.expect_end();
        }
        drop(others);
        wire.send(&close(1001, ""));
        wire.expect_end();
        drop(wire);
        assert_eq!(program.wait().code(), Some(0), "{first}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn under_nohup_a_hangup_is_ignored() {
    let mut command = Command::new("nohup");
    command.args([env!("CARGO_BIN_EXE_lariat"), "--listen", "127.0.0.1:0"]);
    command.env_remove("RUST_LOG").env_remove("LISTEN_FDS").stderr(Stdio::null());
    let mut program = Program::spawn(command);
    let mut wire = Wire::open_at(program.ready(), "/echo");
    program.signal("HUP");
    // A turn that noticed the signal may still answer the first message, but not the second.
    wire.echo("still here");
    wire.echo("and still here");
    program.signal("TERM");
    wire.expect_close(1001);
    wire.send(&close(1001, ""));
    drop(wire);
    assert_eq!(program.wait().code(), Some(0));
}

/// An experiment of a lesson takes two descriptors. Without them, its page is told so, and nothing
/// else happens.
#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_no_experiment_runs_and_with_them_it_does_again() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$0\" serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_lariat")]);
    let mut program = Program::spawn(command);
    let addr = program.ready();
    let mut page = Wire::open_at(addr, "/learn");
    let mut run = |on: u32| {
        page.send(&text(&format!("{{\"run\":{{\"on\":{on},\"steps\":[],\"within\":10}}}}")));
        loop {
            let told = String::from_utf8(page.frame().payload).expect("text");
            if told.starts_with("{\"refused\"") || told.starts_with("{\"ended\"") {
                return told;
            }
        }
    };
    // As many as it accepts. The kernel keeps some more for it.
    let others: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(addr).expect("the kernel accepts")).collect();
    until(|| program.descriptors() >= 39);
    for on in [1, 2] {
        assert_eq!(run(on), format!("{{\"refused\":{{\"on\":{on},\"why\":\"failed\"}}}}"));
    }
    drop(others);
    until(|| program.descriptors() < 30);
    for on in [1, 2] {
        assert!(run(on).contains("\"how\":\"time\""));
    }
}

#[test]
fn an_error_is_printed_once_and_nothing_else() {
    let mut program = {
        let mut command = lariat(&["--listen", "127.0.0.1:0"]);
        command.stderr(Stdio::piped());
        Program::spawn(command)
    };
    let mut wire = Wire::open_at(program.ready(), "/echo");
    wire.echo("hello");
    program.signal("INT");
    wire.expect_close(1001);
    program.signal("INT");
    assert_eq!(program.wait().code(), Some(1));
    let mut stderr = String::new();
    program.child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("text");
    assert!(
        stderr.starts_with("lariat: ") && stderr.contains("interrupted") && stderr.lines().count() == 1,
        "{stderr}"
    );
}
