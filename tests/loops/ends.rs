//! How a server with several loops ends.

use crate::common::{WAIT, Wire, close, request, text};
use crate::kit::{Running, serve};
use lariat::{Clients, Closures, Drain, Handler, Server};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// The client answers the Close frame, and leaves.
fn leave(mut client: Wire) {
    client.expect_close(1001);
    client.send(&close(1001, ""));
    client.expect_end();
}

#[test]
fn a_shutdown_closes_the_clients_of_all_loops() {
    let server = serve(3, Closures::<()>::new);
    let clients: Vec<Wire> = (0..9).map(|_| Wire::open(server.addr)).collect();
    let mut drain = Drain::default();
    drain.deadline = Duration::from_secs(30);
    server.remote.shutdown(drain).expect("it runs");
    clients.into_iter().for_each(leave);
    let outcome = server.join();
    assert_eq!((outcome.dropped, outcome.interrupted), (0, false));
}

#[test]
fn a_handler_of_any_loop_can_shut_all_down() {
    for ender in 0..6 {
        let server = serve(3, || Closures::<()>::new().on_message(|clients, _, _| clients.shutdown(Drain::default())));
        let mut clients: Vec<Wire> = (0..6).map(|_| Wire::open(server.addr)).collect();
        clients[ender].send(&text("the end"));
        clients.into_iter().for_each(leave);
        let outcome = server.join();
        assert_eq!((outcome.dropped, outcome.interrupted), (0, false));
    }
}

#[test]
fn clients_that_do_not_answer_are_counted_on_all_loops() {
    let server = serve(2, Closures::<()>::new);
    let mut clients: Vec<Wire> = (0..6).map(|_| Wire::open(server.addr)).collect();
    let mut drain = Drain::default();
    drain.deadline = Duration::from_millis(50);
    assert_eq!(server.stop(drain).dropped, 6);
    for client in &mut clients {
        client.expect_close(1001);
        client.expect_gone();
    }
}

/// Returns a server with two loops that shuts down, and the open clients of each.
fn shutting_down() -> (Running, [Wire; 2]) {
    let greet = |clients: &mut Clients<()>, id| {
        let _ = clients.send(id, &clients.loop_number().to_string());
    };
    let server = serve(2, move || Closures::<()>::new().on_open(greet));
    let mut clients = [(); 2].map(|()| {
        let mut client = Wire::open(server.addr);
        (client.frame().payload, client)
    });
    clients.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(clients.each_ref().map(|(number, _)| number.as_slice()), [b"0", b"1"]);
    server.remote.shutdown(Drain::default()).expect("it runs");
    (server, clients.map(|(_, client)| client))
}

/// The first loop gets the signals, so it runs without clients until the others have ended.
#[test]
fn the_first_loop_ends_last() {
    let (server, [first, second]) = shutting_down();
    leave(first);
    server.ask_until(0, |clients| clients.is_empty());
    // It would have ended at the end of that turn.
    assert!(server.ask(0, |clients| clients.is_shutting_down()));
    leave(second);
    assert_eq!(server.join().dropped, 0);
}

/// A question is answered by the loops that still run.
#[test]
fn a_question_does_not_wait_for_loops_that_have_stopped() {
    let (server, [first, second]) = shutting_down();
    assert_eq!(server.ask_all(|clients| clients.loop_number()), [0, 1]);
    leave(second);
    let start = Instant::now();
    while server.ask_all(|clients| clients.loop_number()) != [0] {
        assert!(start.elapsed() < WAIT, "the second loop does not end");
    }
    leave(first);
    assert_eq!(server.join().dropped, 0);
}

/// `make` panics on one of the threads: all loops end, and the panic arrives.
#[test]
fn a_panic_while_a_handler_is_made_ends_all_loops() {
    for bad in 0..3 {
        let made = Arc::new(AtomicUsize::new(0));
        let server = Server::<()>::bind("127.0.0.1:0").expect("a free port").loops(3).expect("loops");
        let make = move || {
            assert_ne!(made.fetch_add(1, Ordering::SeqCst), bad, "as wanted");
            Closures::new()
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| server.run(make)));
        assert!(outcome.is_err());
    }
}

#[test]
fn a_panic_of_a_handler_ends_one_client_only() {
    let server = serve(2, || {
        Closures::<()>::new().on_message(|clients, id, message| {
            assert_ne!(message.as_text(), Some("panic"), "as wanted");
            let _ = clients.send(id, message);
        })
    });
    let mut clients: Vec<Wire> = (0..4).map(|_| Wire::open(server.addr)).collect();
    clients[1].send(&text("panic"));
    clients[1].expect_close(1011);
    clients[1].send(&close(1011, ""));
    clients[1].expect_end();
    for number in [0, 2, 3] {
        clients[number].echo("still here");
    }
}

/// All loops ask all loops before the first turn.
#[test]
fn loops_can_ask_one_another_at_the_start() {
    struct Asks(Sender<Vec<usize>>);
    impl Handler for Asks {
        type Data = ();
        fn on_start(&mut self, clients: &mut Clients<()>) {
            let answered = self.0.clone();
            clients.ask_loops(|clients| clients.loop_number(), move |_, answers| drop(answered.send(answers)));
        }
    }
    let (sender, receiver) = channel();
    let server = serve(4, move || Asks(sender.clone()));
    for _ in 0..4 {
        assert_eq!(receiver.recv_timeout(WAIT).expect("answers"), [0, 1, 2, 3]);
    }
    server.stop(Drain::default());
}

#[test]
fn connections_during_a_shutdown_get_503() {
    let server = serve(3, Closures::<()>::new);
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::open(server.addr)).collect();
    let mut drain = Drain::default();
    drain.deadline = WAIT;
    server.remote.shutdown(drain).expect("it runs");
    // Each loop has one of them, so all loops shut down.
    for client in &mut clients {
        client.expect_close(1001);
    }
    for _ in 0..20 {
        let mut late = Wire::connect(server.addr);
        late.send(request("/").as_bytes());
        assert_eq!(late.response().status(), 503);
        late.expect_end();
    }
    for mut client in clients {
        client.send(&close(1001, ""));
        client.expect_end();
    }
    assert_eq!(server.join().dropped, 0);
}

/// New connections while the loops end get an answer or an end, and nothing hangs.
#[test]
fn connections_while_the_loops_end_do_not_hang() {
    let server = serve(3, Closures::<()>::new);
    let clients: Vec<Wire> = (0..3).map(|_| Wire::open(server.addr)).collect();
    let mut drain = Drain::default();
    drain.deadline = WAIT;
    server.remote.shutdown(drain).expect("it runs");
    let mut late = Vec::new();
    for mut client in clients {
        client.expect_close(1001);
        client.send(&close(1001, ""));
        // Nobody listens any more once the last loop has ended.
        late.extend((0..10).filter_map(|_| TcpStream::connect(server.addr).ok()).map(|mut stream| {
            stream.set_read_timeout(Some(WAIT)).expect("a timeout");
            let _ = stream.write_all(request("/").as_bytes());
            stream
        }));
        client.expect_end();
    }
    assert!(late.len() >= 20, "at least one loop was there for {}", late.len());
    for mut stream in late {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        assert!(read.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true), "{read:?}");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    }
    assert_eq!(server.join().dropped, 0);
}
