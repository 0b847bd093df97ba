//! A loop that does not get to the messages of the others.

use crate::common::{Wire, text};
use crate::kit::serve_with;
use lariat::{ClientId, Clients, Closures, Config, ListenOptions, SlowConsumer};
use std::sync::mpsc;

fn join(clients: &mut Clients<()>, id: ClientId) {
    clients.subscribe(id, "room");
    let _ = clients.send(id, &format!("joined on loop {}", clients.loop_number()));
}

/// Its queue is bounded. Members that may lose messages lose them, and the others are closed. The
/// loop that publishes goes on.
#[test]
fn members_of_a_loop_that_is_behind_are_slow_consumers() {
    let mut config = Config::default();
    config.memory_budget = 128 << 20;
    let make = || {
        Closures::<()>::new()
            .on_message(|clients, id, message| match message.as_text() {
                Some("join, may lose") => {
                    clients.set_slow_consumer(id, SlowConsumer::DropNewest);
                    join(clients, id);
                }
                _ => join(clients, id),
            })
            .on_drain(|clients, id| {
                let missed = clients.take_dropped(id);
                let _ = clients.send(id, &format!("missed {missed}"));
            })
    };
    let server = serve_with(config, ListenOptions::default(), 2, make);
    let mut others = Vec::new();
    let mut clients: Vec<Wire> = (0..4).map(|_| Wire::open(server.addr)).collect();
    let place = server.ask_all(|clients| clients.iter().collect::<Vec<_>>());
    assert!(place.iter().all(|ids| ids.len() == 2));
    let mut survivor = None;
    for (number, mut client) in clients.drain(..).enumerate() {
        client.send(&text(if number < 2 { "join" } else { "join, may lose" }));
        let answer = String::from_utf8(client.frame().payload).expect("text");
        match answer.as_str() {
            "joined on loop 1" if number >= 2 => survivor = Some(client),
            _ => others.push(client),
        }
    }
    // The second loop does not run for a while.
    let (go_on, wait) = mpsc::channel::<()>();
    let (has_begun, begun) = mpsc::channel::<()>();
    let hold = move |_: &mut Clients<()>| {
        let _ = has_begun.send(());
        let _ = wait.recv();
    };
    server.remote.on_loop(1).run(hold).expect("it runs");
    begun.recv().expect("it is held");
    // Its queue has room for 8 MiB, an eighth of its share. These take nothing of it.
    let published: usize = server.ask(0, |clients| {
        let large = vec![7; 8 << 10];
        (0..5_000).map(|_| clients.publish("nobody", &large)).sum()
    });
    assert_eq!(published, 0, "nobody is a member of that topic");
    server.ask(0, |clients| {
        // Only the queue of the other loop is to fill, so the members here leave.
        let own: Vec<_> = clients.iter().collect();
        assert!(own.iter().all(|id| clients.unsubscribe(*id, "room")));
        for number in 0..40_000 {
            clients.publish("room", &format!("{number:0>1000}"));
        }
    });
    go_on.send(()).expect("it waits");
    // The members that may not miss a message are closed.
    server.ask_until(1, |clients| clients.stats().closed.keys().any(|cause| cause.reason == "slow_consumer"));
    // The other one is told how many it has missed.
    let mut survivor = survivor.expect("a member on the second loop");
    let (mut came, mut missed) = (0, 0);
    while came + missed < 40_000 {
        let payload = String::from_utf8(survivor.frame().payload).expect("text");
        match payload.strip_prefix("missed ") {
            Some(count) => missed += count.parse::<usize>().expect("a number"),
            None => came += 1,
        }
    }
    assert_eq!(came + missed, 40_000);
    // In the 8 KiB that the others would have left, there is no room for so many.
    assert!(came > 30 && missed > 1_000, "{came} came, {missed} were missed");
    assert_eq!(server.ask(1, |clients| clients.stats().dropped), missed as u64);
    // The loop is well, and so is that member.
    assert_eq!(server.ask(1, |clients| clients.publish("room", "at last")), 1);
    survivor.expect_text("at last");
}
