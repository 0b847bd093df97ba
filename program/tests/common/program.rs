//! The program as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::WAIT;

/// A running `lariat`. It is killed when this is dropped.
pub struct Program {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the program with these arguments.
    pub fn start(arguments: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lariat"));
        command.args(arguments).env_remove("RUST_LOG").env_remove("LISTEN_FDS");
        Program::spawn(command)
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
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
