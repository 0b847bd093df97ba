//! The program as a process.

use super::prometheus::{self, Metric};
use super::{WAIT, Wire};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Returns a command that runs the program, without the log level and the sockets of this process.
pub fn lariat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lariat"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("LISTEN_FDS").stdin(Stdio::null());
    command
}

/// Runs the program to its end. Checks its exit code, and that it says why on standard error only.
#[track_caller]
pub fn assert_fails(arguments: &[&str], code: i32, sentences: &[&str]) {
    assert_failed(&lariat(arguments).output().expect("the program starts"), code, sentences);
}

/// [`assert_fails`], of a program that has ended.
#[track_caller]
pub fn assert_failed(output: &Output, code: i32, sentences: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "an error belongs on standard error: {output:?}");
    for sentence in sentences {
        assert!(stderr.contains(sentence), "{sentence:?} is missing: {stderr}");
    }
}

/// Requests a page. Returns its status and its text.
pub fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut wire = Wire::connect(addr);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let response = wire.response();
    wire.expect_end();
    (response.status(), String::from_utf8(response.body).expect("text"))
}

/// Returns what `/metrics` says.
pub fn metrics(addr: SocketAddr) -> BTreeMap<String, Metric> {
    let (status, text) = get(addr, "/metrics");
    assert_eq!(status, 200);
    prometheus::parse(&text)
}

/// A running `lariat`. It is killed when this is dropped.
pub struct Program {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the program with these arguments.
    pub fn start(arguments: &[&str]) -> Program {
        Program::spawn(lariat(arguments))
    }

    /// Starts a command that becomes the program.
    pub fn spawn(mut command: Command) -> Program {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Program { child, stdout }
    }

    /// Returns the first line, which comes when the program listens.
    pub fn ready_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("standard output");
        line
    }

    /// Waits until the program listens, and returns its address.
    pub fn ready(&mut self) -> SocketAddr {
        let line = self.ready_line();
        let address = line.strip_prefix("Lariat listens on ").and_then(|rest| rest.split(": open").next());
        address.and_then(|address| address.trim().parse().ok()).unwrap_or_else(|| panic!("not a ready line: {line:?}"))
    }

    /// Returns the private dirty bytes: the memory that only this process uses.
    #[cfg(target_os = "linux")]
    pub fn private_dirty(&self) -> usize {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).expect("/proc");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("Private_Dirty");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    /// Returns the number of open descriptors.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc").count()
    }

    /// Sends a signal to this process only.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill(1)");
        assert!(status.success(), "it has gone before the signal");
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Ends the process properly. Returns its standard error, which must be piped.
    #[cfg(unix)]
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        assert!(self.wait().success());
        let mut stderr = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("text");
        stderr
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
