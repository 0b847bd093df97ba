//! Standard error is a terminal.

use crate::Counting;
use crate::common::program::lariat;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Command, Stdio};

/// Runs a command with standard error on a terminal of so many columns. Returns what the terminal
/// got.
fn on_terminal(command: &mut Command, columns: u16, term: &str) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("a size");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("ASCII");
    let side = OpenOptions::new().read(true).write(true).open(name).expect("the other side");
    let mut child = command.env("TERM", term).stdout(Stdio::null()).stderr(side).spawn().expect("it starts");
    // The command keeps the other side open, which would hold up the end.
    command.stderr(Stdio::null());
    let mut bytes = Vec::new();
    let mut terminal = File::from(terminal);
    let mut buffer = [0; 4_096];
    // Linux reports EIO once the other side is closed, other systems the end of the file.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    assert!(child.wait().expect("it is our child").success());
    String::from_utf8(bytes).expect("text")
}

fn run(columns: u16, term: &str, connections: &str, more: &[&str]) -> String {
    let (server, _) = Counting::new(|clients, id, message| {
        clients.send(id, message).expect("it is open");
    });
    let running = crate::common::serve(server);
    let url = format!("ws://{}/", running.addr);
    let arguments =
        [&["load", &url, "-c", connections, "--echo", "-m", "50", "--hold", "1s", "--json", "-"], more].concat();
    on_terminal(&mut lariat(&arguments), columns, term)
}

#[test]
fn the_status_line_fits_the_terminal() {
    for processes in ["1", "2"] {
        let text = run(30, "xterm", "2", &["--processes", processes]);
        // The report follows the last row, which is erased.
        let (status, report) = text.rsplit_once("\r\x1b[K").expect("a status line");
        let rows: Vec<&str> = status.split("\r\x1b[K").filter(|row| !row.is_empty()).collect();
        assert!(rows.len() >= 2 && rows.iter().all(|row| row.len() <= 29 && !row.contains('\n')), "{rows:?}");
        assert!(rows.iter().any(|row| row.contains("holding")), "{rows:?}");
        assert!(report.starts_with("plan "), "{report:?}");
    }
}

#[test]
fn a_terminal_without_cursor_gets_plain_lines() {
    for term in ["dumb", ""] {
        let text = run(60, term, "1", &[]);
        assert!(!text.contains('\x1b') && !text.replace("\r\n", "\n").contains('\r'), "{text:?}");
        let (status, report) = text.split_once("plan ").expect("a report");
        assert_eq!(status.lines().count(), 1, "a line now and then: {status:?}");
        assert!(status.contains("of 1 open") && status.lines().all(|line| line.len() <= 59), "{status:?}");
        assert!(report.starts_with("        1 connection to ws://"), "{report:?}");
    }
}

#[test]
fn a_terminal_of_unknown_size_gets_a_status_line() {
    assert!(run(0, "xterm", "1", &[]).contains("\r\x1b[K"));
}

#[test]
fn the_status_can_be_turned_off() {
    let text = run(60, "xterm", "1", &["--quiet"]);
    assert!(text.starts_with("plan "), "{text:?}");
}
