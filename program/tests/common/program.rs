//! The program, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::WAIT;

/// A running `lariat`, ended when dropped.
pub struct Program {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it with these arguments.
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

    /// Its first line, which comes when it listens.
    pub fn ready_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("standard output");
        line
    }

    /// Waits until it listens, and says where.
    pub fn ready(&mut self) -> SocketAddr {
        let line = self.ready_line();
        let address = line.strip_prefix("Lariat listens on ").and_then(|rest| rest.split(": open").next());
        address.and_then(|address| address.trim().parse().ok()).unwrap_or_else(|| panic!("not a ready line: {line:?}"))
    }

    /// Its private dirty bytes: what it alone takes of the machine's memory.
    #[cfg(target_os = "linux")]
    pub fn private_dirty(&self) -> usize {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).expect("/proc");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("Private_Dirty");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    /// How many descriptors it has.
    #[cfg(target_os = "linux")]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc").count()
    }

    /// Sends a signal to it, and to nobody else.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill(1)");
        assert!(status.success(), "it has gone before the signal");
    }

    /// Waits for its end.
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
