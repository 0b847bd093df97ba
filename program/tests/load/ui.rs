//! `--ui`: the run on a terminal, which is as before when it ends.

use crate::agents::{Agent, TOKEN};
use crate::common::program::lariat;
use crate::{Counting, echo};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

const BEGIN: &str = "\x1b[?1049h";
const END: &str = "\x1b[?1049l";

/// A run on a terminal, with its keys.
struct Screen {
    terminal: File,
    /// Keeps the settings of the terminal, so that they can be compared.
    side: File,
    child: Child,
    text: String,
}

impl Screen {
    fn start(command: &mut Command) -> Screen {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).expect("a size");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("ASCII");
        let side = OpenOptions::new().read(true).write(true).open(name).expect("the other side");
        let [input, output, error] = [(); 3].map(|()| Stdio::from(side.try_clone().expect("a descriptor")));
        let child = command.env("TERM", "xterm").stdin(input).stdout(output).stderr(error).spawn();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Screen { terminal: File::from(terminal), side, child: child.expect("it starts"), text: String::new() }
    }

    /// Reads until the terminal has got these words.
    fn until(&mut self, words: &str) {
        let mut buffer = [0; 4_096];
        while !self.text.contains(words) {
            let count = self.terminal.read(&mut buffer).unwrap_or_else(|error| panic!("{error}: {}", self.text));
            self.text += &String::from_utf8_lossy(&buffer[..count]);
        }
    }

    /// Returns the exit code and what the terminal got once it was as before.
    fn end(mut self) -> (Option<i32>, String) {
        self.until(END);
        self.until("limited by");
        let code = self.child.wait().expect("it is our child").code();
        let (view, rest) = self.text.split_once(END).expect("the end");
        assert_eq!(view.matches(BEGIN).count(), 1);
        assert!(!rest.contains(BEGIN) && rest.contains("\x1b[?25h"), "{rest:?}");
        let modes = tcgetattr(&self.side).expect("a terminal").local_modes;
        assert!(modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO), "{modes:?}");
        (code, rest.to_owned())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_run_is_shown_and_its_report_follows() {
    let (server, _) = Counting::new(echo);
    let running = crate::common::serve(server);
    let url = format!("ws://{}/", running.addr);
    let mut screen =
        Screen::start(&mut lariat(&["load", &url, "-c", "3", "--echo", "-m", "50", "--hold", "2s", "--ui"]));
    for words in [BEGIN, "Connections", "Latency", "Errors", "Limits", "hold"] {
        screen.until(words);
    }
    let (code, report) = screen.end();
    assert!(report.contains("plan         3 connections") && report.contains("ended        complete"), "{report:?}");
    assert_eq!(code, Some(0));
}

#[test]
fn keys_and_signals_end_the_run_early_with_its_report() {
    let (server, _) = Counting::new(echo);
    let running = crate::common::serve(server);
    let url = format!("ws://{}/", running.addr);
    for (key, processes) in [("q", "1"), ("\x03", "1"), ("q", "2"), ("TERM", "1"), ("TERM", "2"), ("INT", "2")] {
        let arguments = ["load", &url, "-c", "4", "--hold", "1h", "--ui", "--processes", processes];
        let mut screen = Screen::start(&mut lariat(&arguments));
        // Only letters that have changed are written: "opening" has the same end.
        screen.until("hold");
        if key.len() == 1 {
            screen.terminal.write_all(format!("x{key}").as_bytes()).expect("it reads");
        } else {
            signal(&screen.child, key);
        }
        let (_, report) = screen.end();
        assert!(report.contains("interrupted by a signal"), "{key:?} with {processes}: {report:?}");
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

#[test]
fn a_key_or_a_signal_ends_a_run_of_agents_early_with_its_report() {
    let (server, _) = Counting::new(echo);
    let running = crate::common::serve(server);
    let (url, agent) = (format!("ws://{}/", running.addr), Agent::start());
    for end in ["q", "TERM", "HUP", "INT"] {
        let addr = agent.addr.to_string();
        let mut command = lariat(&["load", &url, "-c", "4", "--hold", "1h", "--ui", "--agents", &addr]);
        let mut screen = Screen::start(command.env("LARIAT_TOKEN", TOKEN));
        screen.until("hold");
        match end {
            "q" => screen.terminal.write_all(b"q").expect("it reads"),
            name => signal(&screen.child, name),
        }
        let (_, report) = screen.end();
        assert!(report.contains("interrupted by a signal"), "{end}: {report:?}");
    }
}

/// The agent says nothing. Before the workers have begun, nobody but the view hears the keys.
#[test]
fn a_key_or_a_signal_ends_the_wait_for_agents_at_once() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = silent.local_addr().expect("an address").to_string();
    for end in ["q", "\x03", "TERM", "HUP", "INT"] {
        let mut command = lariat(&["load", "ws://127.0.0.1:9/", "--ui", "--agents", &addr]);
        let mut screen = Screen::start(command.env("LARIAT_TOKEN", TOKEN));
        screen.until(BEGIN);
        let agent = silent.accept().expect("the controller connects");
        match end.len() {
            1 => screen.terminal.write_all(end.as_bytes()).expect("it reads"),
            _ => signal(&screen.child, end),
        }
        screen.until(END);
        let status = screen.child.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(2), "{end:?}: {status} {}", screen.text);
        let modes = tcgetattr(&screen.side).expect("a terminal").local_modes;
        assert!(modes.contains(rustix::termios::LocalModes::ICANON), "{modes:?}");
        drop(agent);
    }
}

#[test]
fn lines_of_the_log_come_after_the_view() {
    // Nobody listens: a line says so, and the report shows it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let mut command = lariat(&["load", &url, "-c", "2", "--ui"]);
    let (code, report) = Screen::start(command.env("RUST_LOG", "debug")).end();
    assert!(report.contains("connect-refused"), "{report:?}");
    assert_eq!(code, Some(1));
}

#[test]
fn without_a_terminal_it_is_refused() {
    let output = lariat(&["load", "ws://127.0.0.1:9/", "--ui"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--ui needs a terminal on standard error") && !stderr.contains(BEGIN), "{stderr}");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true));
}
