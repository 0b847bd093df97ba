//! Tests what happens when file descriptors run out. It is the only test of its process, because it
//! lowers the limit of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use common::{WAIT, Wire, echo_script, request, text, turn_until};
use lariat::{LocalAddr, Server};
use rlimit::Resource;
use std::fs::File;
use std::time::{Duration, Instant};

/// New connections get 503. Existing connections are served. The loop does not spin. When there are
/// descriptors again, new connections are accepted.
#[test]
fn running_out_of_descriptors_affects_only_new_connections() {
    let (script, _calls) = echo_script();
    let server = Server::bind("127.0.0.1:0").expect("a free port");
    let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
    let mut event_loop = server.start(script).expect("a loop");
    let mut old = Wire::connect(addr);
    old.send(request("/").as_bytes());
    turn_until(&mut event_loop, |event_loop| event_loop.clients_mut().len() == 1);
    assert_eq!(old.response().status(), 101);

    // The kernel completes these connections, but no descriptors are left to accept them.
    let mut newcomers: Vec<Wire> = (0..10).map(|_| Wire::connect(addr)).collect();
    let (soft, hard) = Resource::NOFILE.get().expect("RLIMIT_NOFILE");
    Resource::NOFILE.set(16, hard).expect("it can be lowered");
    let holes: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    event_loop.turn(Some(WAIT)).expect("the poller works");
    for newcomer in &mut newcomers {
        let response = newcomer.response();
        assert_eq!((response.status(), response.header("retry-after")), (503, Some("5")));
        newcomer.expect_gone();
    }
    let stats = event_loop.stats();
    assert_eq!((stats.turned_away, stats.connections.open), (10, 1));
    assert!(stats.accept_errors >= 1);
    old.send(&text("still here"));
    old.stream.get_ref().set_nonblocking(true).expect("non-blocking");
    turn_until(&mut event_loop, |_| old.stream.get_ref().peek(&mut [0; 100]).is_ok());
    old.expect_text("still here");

    // When there are descriptors again, the server tries again, finds no connection, and sleeps
    // until the next ping.
    drop(holes);
    Resource::NOFILE.set(soft, hard).expect("the old limit");
    turn_until(&mut event_loop, |event_loop| {
        event_loop.next_deadline().is_some_and(|at| at > Instant::now() + Duration::from_secs(5))
    });
    let mut welcome = Wire::connect(addr);
    welcome.send(request("/").as_bytes());
    turn_until(&mut event_loop, |event_loop| event_loop.clients_mut().len() == 2);
    assert_eq!(welcome.response().status(), 101);
}
