//! Nobody reads standard error, and strangers cannot fill the log.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::Wire;
use common::program::{Program, lariat};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Stdio;

/// Starts the program with its standard error in a pipe that nobody reads.
fn start(arguments: &[&str], log: &str) -> (Program, SocketAddr) {
    let mut command = lariat(&["--listen", "127.0.0.1:0"]);
    command.args(arguments).env("RUST_LOG", log).stderr(Stdio::piped());
    let mut program = Program::spawn(command);
    let addr = program.ready();
    (program, addr)
}

/// A pipe takes 64 KiB. The lines of 3,000 connections are several times as long.
#[test]
fn an_unread_standard_error_does_not_stop_the_server() {
    let (program, addr) = start(&[], "lariat=trace");
    let mut early = Wire::open_at(addr, "/echo");
    for _ in 0..3_000 {
        let mut wire = Wire::connect(addr);
        wire.send(b"EHLO localhost\r\n\r\n");
        assert_eq!(wire.response().status(), 400);
    }
    early.echo("still here");
    Wire::open_at(addr, "/echo").echo("and here");
    let log = program.stop();
    assert!(log.len() >= 60_000, "the pipe was never full: {} bytes", log.len());
}

#[test]
fn strangers_do_not_fill_the_log() {
    let (program, addr) = start(&["--proxy-protocol", "--trust-proxy", "192.0.2.1"], "warn");
    for _ in 0..200 {
        let mut stream = std::net::TcpStream::connect(addr).expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("room in the kernel");
        // It ends, perhaps with a reset.
        let _ = stream.read(&mut [0]);
    }
    let log = program.stop();
    let warnings = log.lines().filter(|line| line.contains("PROXY header")).count();
    // One of them comes at the end, with those that were not reported yet.
    assert!((1..=4).contains(&warnings), "{warnings} warnings:\n{log}");
    let counts = log.lines().filter_map(|line| line.split_once("PROXY header")?.1.split_once(": "));
    let counts = counts.filter_map(|(_, rest)| rest.split(';').next()?.trim().parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 200, "each is reported:\n{log}");
    assert!(log.contains("PROXY header: 1; the last from 127.0.0.1"), "{log}");
}
