//! Which process serves, and what becomes of the other one.

use crate::apps::{Talker, talk};
use crate::common::program::Program;
use crate::common::{Wire, request, text};
use crate::kit::{Site, next, say, start, told};
use serde_json::json;
use std::net::SocketAddr;

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
            self.take_over();
        }
    }
}

#[test]
fn at_sigusr2_the_program_replaces_itself() {
    let mut site = Site::new(&[]);
    let mut talkers = vec![Talker::enter(site.addr, "Ada").0, Talker::enter(site.addr, "Bo").0];
    let mut echo = site.open("/echo");
    let socket = site.folder.socket();
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

/// The old process goes on if the next one cannot serve the same.
#[test]
fn another_number_of_loops_is_refused() {
    let mut site = Site::new(&[]);
    let mut echo = site.open("/echo");
    let mut wrong = start(&site.addr.to_string(), &site.folder.socket(), &["--loops", "2"]);
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
