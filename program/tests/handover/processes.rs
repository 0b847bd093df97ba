//! Which process serves, and what becomes of the other one.

use crate::apps::{Talker, talk};
use crate::common::program::{Program, assert_fails};
use crate::common::{Folder, Wire, request, text, until};
use crate::kit::{Site, next, open, say, start, told};
use serde_json::json;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// The process that serves after a signal is none of ours. Another one takes over from it, and ends
/// with the test.
struct Last<'a>(&'a str, SocketAddr);

impl Last<'_> {
    fn take_over(&self) -> Program {
        let mut last = start(&self.1.to_string(), self.0, &[]);
        last.ready();
        last
    }
}

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A panic here would abort.
            let _ = std::panic::catch_unwind(|| self.take_over());
        }
    }
}

#[test]
fn at_sigusr2_the_program_replaces_itself() {
    let mut site = Site::new(&[]);
    let mut talkers = vec![Talker::enter(site.addr, "Ada").0, Talker::enter(site.addr, "Bo").0];
    let mut echo = site.open("/echo");
    let socket = site.socket();
    let last = Last(&socket, site.addr);
    site.program().signal("USR2");
    assert!(site.program().wait().success());
    assert_eq!(site.program().ready(), site.addr, "the next process says where it listens");
    talk(&mut talkers);
    echo.echo("still here");
    let mut third = last.take_over();
    talk(&mut talkers);
    echo.echo("still here");
    drop((talkers, echo));
    third.signal("TERM");
    assert!(third.wait().success());
}

#[test]
fn a_loop_that_is_held_goes_on_freely_in_the_next_process() {
    let mut site = Site::new(&["--teach"]);
    let mut echo = site.open("/echo");
    let mut page = site.open("/loop");
    assert_eq!(next(&mut page, "hello")["teaches"], true);
    say(&mut page, &json!("hold"));
    while next(&mut page, "turns")["pace"] != "held" {}
    echo.send(&text("waits"));
    next(&mut page, "turns");
    let upgrade = site.begin();
    echo.expect_text("waits");
    site.end(upgrade);
    while next(&mut page, "turns")["pace"] != "free" {}
    // The page may still teach.
    say(&mut page, &json!("hold"));
    while next(&mut page, "turns")["pace"] != "held" {}
    say(&mut page, &json!("free"));
    echo.echo("served");
}

#[test]
fn a_successor_that_hangs_is_named_and_the_next_signal_works_when_it_has_ended() {
    let folder = Folder::new();
    let (socket, current, log) = (folder.argument("handover"), folder.argument("current"), folder.argument("log"));
    symlink(env!("CARGO_BIN_EXE_lariat"), &current).expect("a folder");
    let mut command = Command::new(&current);
    command.args(["serve", "--listen", "127.0.0.1:0", "--handover", &socket]).env_remove("RUST_LOG");
    command.stderr(File::create(&log).expect("a folder"));
    let mut program = Program::spawn(command);
    let mut echo = open(program.ready(), "/echo");
    let process = folder.argument("process");
    let hangs = format!("#!/bin/sh\necho $$ > {process}.part && mv {process}.part {process} && exec sleep 100\n");
    std::fs::write(folder.argument("hangs"), hangs).expect("a folder");
    std::fs::set_permissions(folder.argument("hangs"), PermissionsExt::from_mode(0o755)).expect("our file");
    let put = |target: &str| {
        symlink(target, folder.argument("next")).expect("a folder");
        std::fs::rename(folder.argument("next"), &current).expect("a folder");
    };
    put(&folder.argument("hangs"));
    program.signal("USR2");
    until(|| std::path::Path::new(&process).exists());
    let hanging = std::fs::read_to_string(&process).expect("it is there");
    let has_said = |what: &str| std::fs::read_to_string(&log).expect("a log").contains(what);
    program.signal("USR2");
    until(|| has_said(&format!("process {} was started to take over, and still runs", hanging.trim())));
    echo.echo("still here");
    assert!(Command::new("kill").arg(hanging.trim()).status().expect("kill(1)").success());
    until(|| has_said("the process that was started to take over has ended"));
    // The one that hung is started again, by a new signal only.
    std::fs::remove_file(&process).expect("it is there");
    until(|| {
        program.signal("USR2");
        std::path::Path::new(&process).exists()
    });
    let hanging = std::fs::read_to_string(&process).expect("it is there");
    assert!(Command::new("kill").arg(hanging.trim()).status().expect("kill(1)").success());
    echo.echo("still here");
}

/// What other servers publish meanwhile would be lost. The old process refuses before it freezes.
#[test]
fn a_server_with_redis_refuses_and_goes_on() {
    let site = Site::new(&["--redis", "redis://127.0.0.1:1"]);
    let mut echo = site.open("/echo");
    let arguments = ["serve", "--listen", &site.addr.to_string(), "--handover", &site.socket()];
    assert_fails(&arguments, 1, &["a server that shares topics with others cannot hand over"]);
    echo.echo("still here");
}

/// The old process goes on if the next one cannot serve the same.
#[test]
fn another_number_of_loops_is_refused() {
    let mut site = Site::new(&[]);
    let mut echo = site.open("/echo");
    let mut wrong = start(&site.addr.to_string(), &site.socket(), &["--loops", "2"]);
    assert!(!wrong.wait().success());
    echo.echo("still here");
    site.upgrade(|| echo.echo("served"));
    let mut index = site.open("/");
    assert_eq!(told(&mut index)["/echo"], 1);
}

/// Requests that are half there when the program is upgraded. One with a body is not answered, and
/// nothing is said.
#[test]
fn half_a_head_goes_along_and_half_a_body_does_not() {
    let mut site = Site::new(&[]);
    let mut talkers = [Talker::enter(site.addr, "Ada").0];
    let (mut post, mut half) = (Wire::connect(site.addr), Wire::connect(site.addr));
    let head = "POST /chat/lobby HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    post.send(format!("{head}he").as_bytes());
    half.send(&request("/echo").as_bytes()[..40]);
    site.upgrade(|| talk(&mut talkers));
    half.send(&request("/echo").as_bytes()[40..]);
    assert_eq!(half.response().status(), 101);
    half.echo("open");
    post.expect_gone();
    let mut post = Wire::connect(site.addr);
    post.send(format!("{head}hello").as_bytes());
    assert_eq!(post.response().body, b"said in #lobby, where 1 person is\n");
    assert_eq!(talkers[0].hear(), "hello");
}
