//! Which loop gets a connection.

use crate::common::{Folder, Wire, request};
use crate::kit::{serve, serve_with};
use lariat::{Closures, Config, ListenOptions};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

fn echo() -> Closures<()> {
    Closures::new().on_message(|clients, id, message| {
        let _ = clients.send(id, message);
    })
}

#[test]
fn connections_go_to_the_loop_that_has_the_fewest() {
    let server = serve(3, echo);
    let mut clients: Vec<Wire> = (0..30).map(|_| Wire::open(server.addr)).collect();
    assert_eq!(server.open(), [10, 10, 10]);
    for (number, client) in clients.iter_mut().enumerate() {
        client.echo(&number.to_string());
    }
    // All clients of one loop leave: new ones go there.
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..200 {
        let at = random.random_range(0..clients.len());
        drop(clients.swap_remove(at));
        server.wait_for_connections(clients.len());
        for _ in 0..random.random_range(0..=2) {
            clients.push(Wire::open(server.addr));
        }
        if clients.len() < 20 {
            clients.extend((0..10).map(|_| Wire::open(server.addr)));
        }
    }
    let missing = 60_usize.saturating_sub(clients.len());
    clients.extend((0..missing).map(|_| Wire::open(server.addr)));
    let open = server.open();
    let (least, most) = (open.iter().min().expect("loops"), open.iter().max().expect("loops"));
    assert!(most - least <= 1, "{open:?}");
    assert_eq!(open.iter().sum::<usize>(), clients.len());
}

#[test]
fn one_loop_is_a_server_as_any_other() {
    let server = serve(1, echo);
    let mut client = Wire::open(server.addr);
    client.echo("one");
    assert_eq!(server.open(), [1]);
    assert_eq!(server.ask(0, |clients| (clients.loop_number(), clients.loops())), (0, 1));
}

#[test]
fn with_reuse_port_the_kernel_chooses() {
    let mut options = ListenOptions::default();
    options.reuse_port = true;
    let server = serve_with(Config::default(), options, 2, echo);
    let mut clients: Vec<Wire> = (0..64).map(|_| Wire::open(server.addr)).collect();
    clients.iter_mut().for_each(|client| client.echo("x"));
    let open = server.open();
    assert_eq!(open.iter().sum::<usize>(), 64);
    println!("{open:?} of 64");
    assert!(open.iter().all(|count| *count > 0), "{open:?}");
}

/// Ids of different loops differ, and a client of another loop is none here.
#[test]
fn an_id_belongs_to_one_loop() {
    let server = serve(3, echo);
    let mut clients: Vec<Wire> = (0..9).map(|_| Wire::open(server.addr)).collect();
    let ids = server.ask_all(|clients| clients.iter().collect::<Vec<_>>());
    let mut all: Vec<_> = ids.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 9);
    for (number, own) in ids.iter().enumerate() {
        let own = own.clone();
        let found = server.ask_all(move |clients| own.iter().filter(|id| clients.send(**id, "hello").is_ok()).count());
        let expected: Vec<usize> = (0..3).map(|other| if other == number { 3 } else { 0 }).collect();
        assert_eq!(found, expected);
    }
    // A remote finds the loop.
    for id in all {
        server.remote.send(id, "from outside").expect("it runs");
    }
    for client in &mut clients {
        client.expect_text("hello");
        client.expect_text("from outside");
    }
}

/// What a client sends before its connection has reached its loop is not lost.
#[test]
fn bytes_that_come_early_are_read() {
    let server = serve(4, echo);
    let mut clients: Vec<Wire> = Vec::new();
    for number in 0..40 {
        let mut client = Wire::connect(server.addr);
        let mut bytes = request("/").into_bytes();
        bytes.extend(crate::common::text(&number.to_string()));
        client.send(&bytes);
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().status(), 101);
        client.expect_text(&number.to_string());
    }
}

#[cfg(unix)]
#[test]
fn unix_sockets_and_several_listeners_share_the_loops() {
    for reuse_port in [false, true] {
        share_the_loops(reuse_port);
    }
}

fn share_the_loops(reuse_port: bool) {
    let folder = Folder::new();
    let path = folder.path("socket");
    let mut options = lariat::ListenOptions::default();
    // This is for TCP. Connections of a Unix socket are still shared out.
    options.reuse_port = reuse_port;
    let server = lariat::Server::<()>::new(lariat::Config::default()).expect("a poller").options(options);
    let server = server.listen("127.0.0.1:0").expect("a free port");
    let server = server.listen_unix(&path).expect("a socket").loops(2).expect("loops");
    let (remote, addrs) = (server.remote(), server.local_addrs());
    assert_eq!(addrs.len(), 2);
    let thread = std::thread::spawn(move || server.run(echo).expect("a poller that works"));
    let mut clients: Vec<_> = (0..6).map(|_| Wire::open_unix(&path, "/")).collect();
    clients.iter_mut().for_each(|client| client.echo("over a file"));
    for number in 0..2 {
        let (count, counted) = std::sync::mpsc::channel();
        let on_loop = remote.on_loop(number);
        let call = move |clients: &mut lariat::Clients<()>| {
            let _ = count.send(clients.iter().count());
        };
        on_loop.run(call).expect("it runs");
        assert_eq!(counted.recv_timeout(crate::common::WAIT), Ok(3), "on loop {number}");
    }
    drop(clients);
    remote.shutdown(lariat::Drain::default()).expect("it runs");
    thread.join().expect("no panic");
    assert!(!path.exists(), "its file is removed at the end");
}
