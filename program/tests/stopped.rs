//! Clients that are stopped by SIGSTOP do not stop the program.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::{Program, metrics};
use common::{Wire, request, until};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Starts a process that connects and is then stopped by SIGSTOP. Its kernel still accepts bytes
/// for it.
fn stopped_client(addr: SocketAddr) -> Child {
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; printf '%b' \"$0\" >&3; echo ready; while read -r line <&3; do :; done",
        addr.ip(),
        addr.port()
    );
    let said = request("/echo").replace("\r\n", "\\r\\n");
    let mut child = Command::new("bash")
        .args(["-c", &script, &said])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().expect("it is piped"), &mut line).expect("it has connected");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::STOP)
        .expect("it is there");
    child
}

/// Waits until so many connections are open.
#[track_caller]
fn until_open(addr: SocketAddr, count: u32) {
    until(|| metrics(addr)["lariat_connections"].at("state", "open") == f64::from(count));
}

/// A stopped process is a peer whose kernel still answers. Only unread and missing bytes show that
/// it is stopped.
#[test]
fn stopped_processes_do_not_stop_the_server() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--memory-budget", "64MiB"]);
    let addr = program.ready();
    let mut children: Vec<Child> = (0..20).map(|_| stopped_client(addr)).collect();
    until_open(addr, 20);
    let mut good = Wire::open_at(addr, "/broadcast");
    let mut echo = Wire::open_at(addr, "/echo");
    for _ in 0..50 {
        good.echo("to all who are here");
        echo.echo("still here");
    }
    for child in &mut children {
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
    until_open(addr, 2);
    echo.echo("and it goes on");
}
