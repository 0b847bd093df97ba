//! `lariat load`, or one of its processes, is killed.

use crate::common::program::lariat;
use crate::common::{Folder, serve, until};
use crate::{Counting, Seen, finished};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A server that echoes.
fn echo() -> (Counting, Arc<Mutex<Seen>>) {
    Counting::new(|clients, id, message| {
        clients.send(id, message).expect("it is open");
    })
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

/// Returns the processes that this one has started.
fn children(of: &Child) -> Vec<u32> {
    let stats = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let parent = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == of.id()).then_some(pid)
    };
    stats.filter_map(parent).collect()
}

fn start(arguments: &[&str]) -> Child {
    lariat(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn the_table_survives_a_kill_of_the_program_and_its_processes_end() {
    for processes in ["1", "3"] {
        let (server, seen) = echo();
        let running = serve(server);
        let (url, folder) = (format!("ws://{}/", running.addr), Folder::new());
        let csv = folder.argument("table.csv");
        let options = ["--echo", "-m", "50", "--hold", "1h", "--processes", processes, "--csv", &csv];
        let mut child = start(&[&["load", &url, "-c", "6"], &options[..]].concat());
        let read = || std::fs::read_to_string(&csv).unwrap_or_default();
        until(|| read().lines().count() >= 3);
        kill(child.id());
        child.wait().expect("it is our child");
        let text = read();
        assert!(text.starts_with("at_s,") && text.ends_with('\n'), "{text:?}");
        assert!(text.lines().all(|line| line.split(',').count() == 11), "{text:?}");
        let open: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
        assert_eq!(open.last(), Some(&"6"), "the last second has the connections of all processes: {text}");
        until(|| seen.lock().expect("nobody has panicked").open == 0);
    }
}

#[test]
fn a_process_that_is_killed_while_it_sends_costs_its_own_measurements_only() {
    let (server, seen) = echo();
    let running = serve(server);
    let url = format!("ws://{}/", running.addr);
    let child =
        start(&["load", &url, "-c", "30", "--echo", "-m", "300", "--hold", "2s", "--processes", "3", "--json", "-"]);
    until(|| seen.lock().expect("nobody has panicked").messages >= 30);
    let pids = children(&child);
    assert_eq!(pids.len(), 3);
    kill(pids[1]);
    let run = finished(&child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.limits().first()), (Some(1), Some(&"load-process-lost")), "{}", run.stderr);
    assert!(run.stderr.contains("1 of 3 load processes ended without a report (signal: 9"), "{}", run.stderr);
    assert_eq!((run.count("connections opened"), run.count("client processes_lost")), (20, 1));
    assert!(run.count("messages right") > 20 && run.report["series"].as_array().is_some_and(|all| all.len() >= 2));
    assert_eq!(run.errors(), []);
}

#[test]
fn a_process_that_is_killed_while_it_connects_does_not_hold_up_the_others() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let child = start(&["load", &url, "-c", "4", "--processes", "2", "--timeout", "1s", "--hold", "1h", "--json", "-"]);
    // Nobody answers the upgrades.
    let streams: Vec<_> = listener.incoming().take(4).collect();
    kill(children(&child)[0]);
    let run = finished(&child.wait_with_output().expect("it ends"));
    drop(streams);
    assert_eq!((run.code, run.limits().first()), (Some(1), Some(&"load-process-lost")), "{}", run.stderr);
    assert_eq!(run.only_error("handshake-timeout"), 2);
}

#[test]
fn without_any_process_there_is_no_report() {
    let (server, seen) = echo();
    let running = serve(server);
    let url = format!("ws://{}/", running.addr);
    let child = start(&["load", &url, "-c", "4", "--processes", "2", "--hold", "1h", "--json", "-"]);
    until(|| seen.lock().expect("nobody has panicked").open == 4);
    children(&child).into_iter().for_each(kill);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("each of the 2 load processes ended without a report: signal: 9"), "{text}");
}
