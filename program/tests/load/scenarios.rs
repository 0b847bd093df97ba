//! `lariat load --scenario` and `--data`.

use crate::common::program::lariat;
use crate::common::{Folder, serve};
use crate::{Counting, Run, echo, load};
use lariat::{ClientId, Clients, CloseCode, Message};
use std::path::Path;

/// Runs a scenario against a server.
fn walk(act: fn(&mut Clients<()>, ClientId, Message<'_>), scenario: &str, options: &str) -> (Run, Vec<String>) {
    let folder = Folder::new();
    let path = file(&folder, "scenario", scenario);
    let (server, seen) = Counting::new(act);
    let running = serve(server);
    let run = load(&format!("ws://{}/", running.addr), &format!("--scenario {path} {options}"));
    let texts = seen.lock().expect("nobody has panicked").texts.clone();
    (run, texts)
}

fn file(folder: &Folder, name: &str, content: &str) -> String {
    let path = folder.path(name);
    std::fs::write(&path, content).expect("a file");
    shown(&path)
}

fn shown(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Returns what was done and has failed, by line.
fn steps(run: &Run) -> Vec<(u64, u64, u64)> {
    let number = |step: &serde_json::Value, name: &str| step[name].as_u64().expect("a number");
    let steps = run.report["steps"].as_array().expect("steps").iter();
    steps.map(|step| (number(step, "line"), number(step, "done"), number(step, "failed"))).collect()
}

#[test]
fn each_connection_walks_through_all_steps() {
    let folder = Folder::new();
    let rows = file(&folder, "rows.csv", "user,word\nann,\"a, b\"\nbob,\"say \"\"{id}\"\"\"\n");
    let scenario = "# Who is who\nsend {\"user\":\"{user}\",\"n\":{seq}}\nexpect json /user = {user}\ncapture name json /user\n\
                    repeat 3\n  send {name} {seq} {word}\n  expect next exact {name} {seq} {word}\nend\nping\n\
                    send hex 00 ff\nexpect hex 00 ..\nclose\n";
    let (run, mut texts) = walk(echo, scenario, &format!("-c 4 --data {rows} --rows cycle"));
    assert_eq!((run.code, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let all = [(2, 4, 0), (3, 4, 0), (4, 4, 0), (5, 4, 0), (6, 12, 0), (7, 12, 0)];
    let end = [(9, 4, 0), (10, 4, 0), (11, 4, 0), (12, 4, 0)];
    assert_eq!(steps(&run), [&all[..], &end].concat());
    assert_eq!((run.count("walks finished"), run.count("messages sent")), (4, 4 * 5));
    assert_eq!(run.count("steps 1 latency count"), 4);
    texts.sort_unstable();
    texts.dedup();
    let expected = [
        "ann 1 a, b",
        "ann 2 a, b",
        "ann 3 a, b",
        "bob 1 say \"{id}\"",
        "bob 2 say \"{id}\"",
        "bob 3 say \"{id}\"",
        "{\"user\":\"ann\",\"n\":0}",
        "{\"user\":\"bob\",\"n\":0}",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn a_step_that_fails_says_what_came_instead() {
    let (run, _) = walk(echo, "send a\nexpect exact b\nsend c", "-c 3 --timeout 200ms");
    assert_eq!((run.code, run.only_error("scenario")), (Some(1), 3));
    assert_eq!(steps(&run), [(1, 3, 0), (2, 0, 3), (3, 0, 0)]);
    let failure = run.report.pointer("/steps/1/failures/0/text").and_then(serde_json::Value::as_str);
    assert_eq!(failure, Some("no message matched in time; the first that came was \"a\""));
    let (run, _) = walk(echo, "send a\nexpect next exact b", "-c 1");
    let failure = run.report.pointer("/steps/1/failures/0/text").and_then(serde_json::Value::as_str);
    assert_eq!((run.code, failure), (Some(1), Some("the next message was \"a\"")));
    let (run, _) = walk(|_, _, _| {}, "ping\nexpect within 100ms any", "-c 1");
    let failure = run.report.pointer("/steps/1/failures/0/text").and_then(serde_json::Value::as_str);
    assert_eq!((run.code, failure), (Some(1), Some("no message came in time")));
}

/// Answers with three messages, of which the second asks for an answer, and closes when it has it.
fn ask(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    match message.as_text() {
        Some("alive") => clients.close(id, CloseCode::Library(4_321), "thanks").expect("it is open"),
        _ => ["first", "alive?", "last"].iter().for_each(|text| clients.send(id, *text).expect("it is open")),
    }
}

#[test]
fn rules_answer_and_messages_wait_until_they_are_expected() {
    let scenario = "on exact alive? send alive\nsend go\nwait 50ms\nexpect close 4321";
    let (run, texts) = walk(ask, scenario, "-c 2");
    assert_eq!(texts, ["go", "go", "alive", "alive"].map(str::to_owned), "{}", run.report);
    // It closes while the connection waits for the time.
    assert_eq!((run.code, run.count("steps 2 failed")), (Some(1), 2));
    let scenario = "send go\nwait 50ms\nexpect exact first\nexpect exact last\nsend alive\nexpect close 4321";
    let (run, _) = walk(ask, scenario, "-c 2");
    assert_eq!((run.code, run.count("walks finished")), (Some(0), 2), "{:#}", run.report["steps"]);
    assert_eq!((run.errors(), run.limits(), run.count("connections lost")), (vec![], vec![], 0), "{}", run.stderr);
    let (run, _) =
        walk(ask, "send alive\nexpect close 1000", "-c 1 --reconnect backoff=1ms..1ms,jitter=none --hold 100ms");
    assert_eq!((run.code, run.count("walks finished")), (Some(1), 0));
    assert!(run.errors().contains(&("closed-4321".to_owned(), run.count("connections lost"))), "{:?}", run.errors());
    // A scenario that ends as it should is over: the connection does not come back.
    let (run, _) =
        walk(ask, "send alive\nexpect close 4321", "-c 1 --reconnect backoff=1ms..1ms,jitter=none --hold 100ms");
    assert_eq!((run.code, run.count("walks finished"), run.count("connections opened")), (Some(0), 1, 1));
}

/// Asks before it answers.
fn ask_first(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    match message {
        Message::Text("here") => {}
        _ => ["ask", "ask"].map(Message::Text).into_iter().chain([message]).for_each(|message| {
            clients.send(id, message).expect("it is open");
        }),
    }
}

#[test]
fn an_expect_has_the_number_of_the_last_send_though_rules_have_answered_since() {
    let scenario = "on exact ask send here\nrepeat 3\n  send {seq}\n  expect next exact {seq}\nend\n\
                    send hex 00 {uuid}\nexpect next hex 00 {uuid}";
    let (run, texts) = walk(ask_first, scenario, "-c 1");
    assert_eq!((run.code, run.count("walks finished")), (Some(0), 1), "{:#}", run.report["steps"]);
    let numbers: Vec<&String> = texts.iter().filter(|text| *text != "here").collect();
    assert_eq!(numbers, ["0", "3", "6"]);
}

#[test]
fn a_loop_has_its_rate_and_an_endless_one_ends_with_the_run() {
    let (run, texts) = walk(echo, "repeat 11 at 50/s\nsend x\nexpect any\nend", "-c 1");
    assert_eq!((run.code, texts.len()), (Some(0), 11));
    assert!(run.number("elapsed_s") >= 0.2, "{}", run.number("elapsed_s"));
    let (run, texts) = walk(echo, "forever at 100/s\nsend x\nexpect any\nend", "-c 2 --hold 300ms");
    assert_eq!((run.code, run.count("walks unfinished"), run.errors()), (Some(0), 2, vec![]));
    assert!((20..=70).contains(&texts.len()), "{} messages", texts.len());
}

#[test]
fn rows_that_are_too_few_and_files_that_are_wrong_are_refused() {
    let folder = Folder::new();
    let rows = file(&folder, "rows.csv", "user\nann\nb\u{1}c\n");
    let scenario = file(&folder, "scenario", "send a\n\nexpct a\n");
    for (arguments, expected) in [
        (vec!["--scenario", &scenario], "line 3: \"expct\" is no step"),
        (vec!["--scenario", "/no/such/file"], "cannot read this file"),
        (vec!["--data", &rows, "-c", "3"], "2 rows for 3 connections"),
        (vec!["--data", &rows, "-c", "2", "--header", "X: {user}"], "row 2"),
        (vec!["--rows", "cycle"], "--data"),
        (vec!["--echo", "--message", "{random:5-1}"], "is no range"),
    ] {
        let output = lariat(&[&["load", "ws://127.0.0.1:9/"], &arguments[..]].concat()).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let rows = file(&folder, "good.csv", "user\nann\nbob\n");
    let run = load(&format!("ws://{}/{{user}}", running.addr), &format!("-c 9 --hold 10ms --data {rows} --rows end"));
    assert_eq!((run.code, run.count("connections opened")), (Some(0), 2));
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 2);
}

#[test]
fn long_walks_give_way_without_losing_or_doubling_a_step() {
    let (run, _) = walk(echo, "repeat 1000\nsend x\nend\nwait 100ms\nsend last\nexpect exact last", "-c 3");
    assert_eq!((run.code, run.count("messages sent")), (Some(0), 3 * 1_001), "{}", run.stderr);
    assert_eq!(steps(&run), [(1, 3, 0), (2, 3_000, 0), (4, 3, 0), (5, 3, 0), (6, 3, 0)]);
    // The thousandth step is the wait.
    let (run, _) = walk(echo, "send a\nrepeat 499\nsend x\nend\nwait 200ms\nsend b", "-c 1");
    assert_eq!((run.code, run.count("messages sent")), (Some(0), 501));
    assert!(run.number("elapsed_s") >= 0.2, "{}", run.number("elapsed_s"));
}

#[test]
fn a_scenario_that_does_not_come_to_its_end_is_a_failure() {
    let (run, _) = walk(echo, "send a\nexpect exact b", "-c 2 --hold 200ms");
    assert_eq!((run.code, run.count("walks unfinished"), run.count("walks failed")), (Some(1), 2, 0));
    let (run, _) = walk(echo, "send a\nexpect exact b", "-c 2 --timeout 100ms --expect finished=2");
    assert_eq!((run.code, run.count("steps 1 first_failed")), (Some(1), 0));
    assert_eq!(run.report.pointer("/expectations/0/holds"), Some(&serde_json::Value::Bool(false)));
    for (options, expected) in [("--expect p99<3", "no unit"), ("--until p99<50", "no unit")] {
        let options: Vec<&str> = options.split(' ').collect();
        let arguments = [&["load", "ws://127.0.0.1:9/"], &options[..]].concat();
        let output = lariat(&arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
}

#[test]
fn storms_that_cannot_come_are_refused() {
    for (options, expected) in [("--hold 2s --storm 50%@5s", "hold longer"), ("--storm 50%@10s", "hold longer")] {
        let options: Vec<&str> = options.split(' ').collect();
        let output = lariat(&[&["load", "ws://127.0.0.1:9/"], &options[..]].concat()).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{output:?}");
    }
}

/// The report counts what a walk takes, although it is allocated before the first connection.
#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_a_connection_includes_its_walk() {
    let per_connection = |scenario: &str| {
        let (run, _) = walk(echo, scenario, "-c 3000 --hold 1ms --timeout 30s");
        assert_eq!(run.errors(), vec![], "{}", run.stderr);
        run.number("client memory_bytes_per_connection")
    };
    let (short, looping) = (per_connection("ping\n"), per_connection("repeat 2\n  ping\nend\n"));
    assert!(short >= 56.0 + 112.0, "{short} bytes, less than the connection and its walk take");
    assert!(looping >= short, "{looping} bytes with a loop, {short} without");
}
