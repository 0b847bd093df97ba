//! Servers with several loops, and with Unix sockets.

use crate::common::{Folder, Wire, text, until};
use crate::kit::{echo, nothing_saved, roomy, run, taking_over, try_taking_over};
use lariat::{ClientId, Clients, Closures, Config, Handler, Message};
use std::time::Duration;

struct Several {
    addr: std::net::SocketAddr,
    remote: lariat::Remote<()>,
    thread: std::thread::JoinHandle<std::io::Result<lariat::Outcome>>,
}

fn several(path: &std::path::Path, loops: usize, reuse_port: bool) -> Several {
    let mut options = lariat::ListenOptions::default();
    options.reuse_port = reuse_port;
    let server = taking_over(roomy(), path).options(options).listen("127.0.0.1:0");
    let server = server.and_then(|server| server.loops(loops)).expect("loops");
    let lariat::LocalAddr::Tcp(addr) = server.local_addrs().remove(0) else { panic!("not TCP") };
    let remote = server.remote();
    let make = || {
        let closures = Closures::new().on_open(|clients, id| {
            clients.subscribe(id, "all");
        });
        nothing_saved(closures.on_message(|clients, id, message: Message<'_>| {
            if message.as_text() == Some("all") {
                clients.publish("all", message);
            } else {
                let number = clients.loop_number();
                let _ = clients.send(id, &format!("{} {number}", message.as_text().expect("text")));
            }
        }))
    };
    Several { addr, remote, thread: std::thread::spawn(move || server.run(make)) }
}

#[test]
fn several_loops_hand_over_together() {
    for reuse_port in [false, true] {
        let folder = Folder::new();
        let path = folder.path("handover");
        let mut server = several(&path, 2, reuse_port);
        let mut clients: Vec<Wire> = (0..12).map(|_| Wire::open(server.addr)).collect();
        let loop_of = |client: &mut Wire| {
            client.send(&text("where"));
            client.frame().payload
        };
        let mut loops: Vec<Vec<u8>> = clients.iter_mut().map(loop_of).collect();
        for _ in 0..3 {
            // Another number of loops is refused.
            let error = taking_over(roomy(), &path).start(echo()).expect_err("it has one loop");
            assert!(error.to_string().contains("loops of the old server: 2, of the new one: 1"), "{error}");
            until(|| try_taking_over::<()>(roomy(), &path).is_ok());
            let mut next = None;
            until(|| match std::panic::catch_unwind(|| several(&path, 2, reuse_port)) {
                Ok(server) => {
                    next = Some(server);
                    true
                }
                Err(_) => false,
            });
            let old = std::mem::replace(&mut server, next.expect("it starts"));
            let outcome = old.thread.join().expect("no panic").expect("it works");
            assert!(outcome.replaced);
            assert_eq!(outcome.handed_over, clients.len());
            assert_eq!(old.addr, server.addr);
            for (client, number) in clients.iter_mut().zip(&loops) {
                assert_eq!(loop_of(client), *number, "it stays on its loop");
            }
            clients[0].send(&text("all"));
            clients.iter_mut().for_each(|client| client.expect_text("all"));
            clients.push(Wire::open(server.addr));
            loops.push(loop_of(clients.last_mut().expect("it is new")));
        }
        assert!(loops.iter().any(|number| number.ends_with(b"0")) && loops.iter().any(|number| number.ends_with(b"1")));
        server.remote.shutdown(lariat::Drain::default().deadline(Duration::ZERO)).expect("it runs");
        assert!(!server.thread.join().expect("no panic").expect("it works").replaced);
        assert!(!path.exists());
    }
}

#[test]
fn a_server_with_a_unix_socket_keeps_its_clients_and_its_file() {
    let folder = Folder::new();
    let (path, socket) = (folder.path("handover"), folder.path("socket"));
    let first = taking_over(Config::default(), &path).listen("127.0.0.1:0");
    let first = first.and_then(|server| server.listen_unix(&socket)).expect("sockets");
    let mut server = run(first, echo);
    let mut client = Wire::open_unix(&socket, "/");
    client.echo("old");
    for _ in 0..2 {
        let next = run(taking_over(Config::default(), &path).listen_as_before().expect("all sockets"), echo);
        assert_eq!(next.addr, server.addr);
        assert_eq!(std::mem::replace(&mut server, next).handed_over(), 1);
        client.echo("new");
        assert!(socket.exists());
        Wire::open_unix(&socket, "/").echo("newer");
        until(|| server.ask(|clients| clients.len()) == 1);
    }
    drop(server);
    assert!(!socket.exists() && !path.exists());
}

/// Publishes numbers on the first loop. Members are on all loops.
struct Counter(u64);

impl Handler for Counter {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        if clients.loop_number() == 0 {
            clients.set_timer(Duration::ZERO, 0);
        }
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "numbers");
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: lariat::TimerId, _: u64) {
        // Other loops are at rest before this turn is over.
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {}
        self.0 += 1;
        clients.publish("numbers", &self.0.to_string());
        clients.set_timer(Duration::ZERO, 0);
    }

    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        Some(self.0.to_be_bytes().to_vec())
    }

    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), lariat::RestoreError> {
        self.0 = u64::from_be_bytes(saved.try_into().map_err(|_| "not a number")?);
        Ok(())
    }
}

#[test]
fn what_a_loop_publishes_in_its_last_turn_reaches_members_on_other_loops() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let serve = || {
        let server =
            taking_over(roomy(), &path).listen("127.0.0.1:0").and_then(|server| server.loops(2)).expect("loops");
        let lariat::LocalAddr::Tcp(addr) = server.local_addrs().remove(0) else { panic!("not TCP") };
        (addr, server.remote(), std::thread::spawn(move || server.run(|| Counter(0))))
    };
    let mut server = serve();
    let mut clients: Vec<Wire> = (0..4).map(|_| Wire::open(server.0)).collect();
    let number = |client: &mut Wire| -> u64 {
        let payload = String::from_utf8(client.frame().payload).expect("text");
        payload.parse().expect("a number")
    };
    let mut last: Vec<u64> = clients.iter_mut().map(number).collect();
    for _ in 0..20 {
        let old = std::mem::replace(&mut server, serve());
        assert!(old.2.join().expect("no panic").expect("it works").replaced);
        for (client, last) in clients.iter_mut().zip(&mut last) {
            for _ in 0..5 {
                *last += 1;
                assert_eq!(number(client), *last, "none is lost, and none comes twice");
            }
        }
    }
    server.1.shutdown(lariat::Drain::default().deadline(Duration::ZERO)).expect("it runs");
    server.2.join().expect("no panic").expect("it works");
}
