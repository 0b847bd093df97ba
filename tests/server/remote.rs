//! Calls from other threads reach the loop.

use crate::common::{Call, Calls, Wire, echo_script, script, serve, serve_with, text};
use lariat::{CloseCode, CloseReason, Config, Drain, RemoteError};
use std::sync::mpsc;

#[test]
fn messages_of_eight_threads_stay_in_order_per_thread() {
    const EACH: u32 = 1_000;
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let remote = server.remote.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    let mut payload = vec![thread];
                    payload.extend_from_slice(&number.to_be_bytes());
                    remote.send(id, &payload).expect("the queue has room");
                }
            });
        }
        let mut next = [0; 8];
        for _ in 0..8 * EACH {
            let payload = wire.frame().payload;
            let number = &mut next[usize::from(payload[0])];
            assert_eq!(payload[1..], u32::to_be_bytes(*number));
            *number += 1;
        }
    });
    wire.echo("nothing more");
}

#[test]
fn a_remote_publishes_and_closes() {
    let (script, calls) = script();
    let server = serve(script.on_open(|clients, id| assert!(clients.subscribe(id, "topic"))));
    let mut wire = Wire::open(server.addr);
    let id = calls.open();
    server.remote.publish("topic", "hello").expect("the queue has room");
    server.remote.publish("another topic", "nobody").expect("the queue has room");
    server.remote.close(id, CloseCode::Policy, "go").expect("the queue has room");
    server.remote.send(id, "too late").expect("the queue has room");
    wire.expect_text("hello");
    assert_eq!(wire.expect_close(1008), "go");
    drop(wire);
    calls.close();
    server.remote.send(id, "nobody").expect("the queue has room");
    server.remote.close(id, CloseCode::Normal, "").expect("the queue has room");
    assert_eq!(server.ask(|clients| clients.len()), 0);
}

#[test]
fn a_full_queue_is_an_error_for_the_caller() {
    let mut config = Config::default();
    config.remote_queue = 4;
    let server = serve_with(config, script().0);
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let hold = move |_: &mut lariat::Clients<()>| {
        entered.send(()).expect("the test waits");
        released.recv().expect("the test releases it");
    };
    server.remote.run(hold).expect("the queue has room");
    inside.recv().expect("the call runs");
    let (done, order) = mpsc::channel();
    for number in 0..4 {
        let done = done.clone();
        server.remote.run(move |_| done.send(number).expect("the test waits")).expect("the queue has room");
    }
    let refused = server.remote.run(|_| unreachable!("the call was refused")).expect_err("the queue is full");
    assert_eq!(refused.error, RemoteError::Full);
    // The calls before it are made first.
    server.remote.shutdown(Drain::default()).expect("a shutdown has room");
    release.send(()).expect("the loop waits");
    drop(done);
    assert_eq!(order.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    server.outcome();
}

#[test]
fn a_remote_can_be_used_in_a_callback() {
    let (remotes, given) = mpsc::channel::<lariat::Remote<()>>();
    let mut remote = None;
    let (script, calls) = script();
    let server = serve(script.on_message(move |_, id, message| {
        let remote = remote.get_or_insert_with(|| given.recv().expect("a remote"));
        remote.send(id, message).expect("the queue has room");
        let again = remote.clone();
        remote.run(move |_| again.send(id, "again").expect("the queue has room")).expect("the queue has room");
    }));
    remotes.send(server.remote.clone()).expect("the handler waits");
    let mut wire = Wire::open(server.addr);
    wire.send(&text("hello"));
    wire.expect_text("hello");
    wire.expect_text("again");
    calls.open();
}

#[test]
fn a_call_that_panics_does_not_affect_clients() {
    let (script, _calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    server.remote.run(|_| panic!("a panic on purpose")).expect("the queue has room");
    server.ask(|_| ());
    wire.echo("still here");
}

#[test]
fn after_the_server_has_stopped_calls_return_an_error() {
    let (script, calls): (_, Calls) = script();
    let server = serve(script);
    let remote = server.remote.clone();
    let wire = Wire::open(server.addr);
    let id = calls.open();
    drop(wire);
    assert_eq!(calls.next(), Call::Close(id, CloseReason::Eof));
    server.stop(Drain::default());
    assert_eq!(remote.send(id, "hello"), Err(RemoteError::Stopped));
    assert_eq!(remote.shutdown(Drain::default()), Err(RemoteError::Stopped));
}

/// A call that cannot be queued is returned, with everything that it holds.
#[test]
fn a_refused_call_is_returned() {
    let mut config = Config::default();
    config.remote_queue = 1;
    let server = serve_with(config, script().0);
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    server
        .remote
        .run(move |_| {
            entered.send(()).expect("the test waits");
            released.recv().expect("the test releases it");
        })
        .expect("the queue has room");
    inside.recv().expect("the call runs");
    server.remote.run(|_| ()).expect("the queue has room");
    let (done, outcome) = mpsc::channel();
    let (precious, again) = (vec![1, 2, 3], server.remote.clone());
    let refused = server.remote.run(move |_| done.send(precious).expect("the test waits")).expect_err("it is full");
    assert_eq!(refused.error, RemoteError::Full);
    assert_eq!(refused.to_string(), RemoteError::Full.to_string());
    release.send(()).expect("the loop waits");
    let mut call = refused.call;
    while let Err(refused) = again.run(call) {
        assert_eq!(refused.error, RemoteError::Full);
        call = refused.call;
    }
    assert_eq!(outcome.recv(), Ok(vec![1, 2, 3]));
    server.stop(Drain::default());
    let value = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&value);
    let refused = again.run(move |_| drop(held)).expect_err("it has stopped");
    assert_eq!((refused.error, std::sync::Arc::strong_count(&value)), (RemoteError::Stopped, 2));
    drop(refused);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    // `?` converts it to the plain error.
    let plain = || -> Result<(), RemoteError> { Ok(again.run(|_| ())?) };
    assert_eq!(plain(), Err(RemoteError::Stopped));
}

/// The queue is not locked while a refused call is dropped.
#[test]
fn a_call_that_uses_the_remote_when_it_is_dropped_does_not_block() {
    struct Calls(lariat::Remote<()>);
    impl Drop for Calls {
        fn drop(&mut self) {
            // This call may be refused as well.
            let _ = self.0.run(|_| ());
        }
    }
    let server = serve(script().0);
    let (remote, calls) = (server.remote.clone(), Calls(server.remote.clone()));
    server.stop(Drain::default());
    let _ = remote.run(move |_| drop(calls));
}
