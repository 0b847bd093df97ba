//! What is not sent or not read yet goes along: each test fails if it were lost.

use crate::common::{Folder, Wire, text, until};
use crate::kit::{echo, nothing_saved, only, roomy, serve, serve_with};
use lariat::{ClientId, Closures, Config, Position, SlowConsumer};

#[test]
fn what_slow_clients_have_not_read_arrives_once_and_complete() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_open(|clients, id| {
            clients.subscribe(id, "all");
        }))
    };
    let mut server = serve_with(roomy(), &path, make);
    let mut slow: Vec<Wire> = (0..8).map(|_| Wire::open(server.addr)).collect();
    until(|| server.ask(|clients| clients.len()) == 8);
    let pattern = |seed: u8| (0..1_000_000_u32).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed).collect::<Vec<u8>>();
    let mut sent = Vec::new();
    // The kernel takes a lot.
    until(|| {
        let seed = sent.len() as u8;
        sent.push(seed);
        let (payload, own) = (pattern(seed), vec![seed; 100_000]);
        server.ask(move |clients| {
            assert_eq!(clients.publish("all", &payload[..]), 8);
            let ids: Vec<ClientId> = clients.iter().collect();
            ids.into_iter().for_each(|id| clients.send(id, &own[..]).expect("it is open"));
        });
        server.ask(|clients| clients.iter().all(|id| clients.buffered_amount(id) > 2 << 20))
    });
    for _ in 0..3 {
        server = server.replace(roomy(), &path, make);
        let unsent: Vec<usize> = server.ask(|clients| clients.iter().map(|id| clients.buffered_amount(id)).collect());
        assert!(unsent.len() == 8 && unsent.iter().all(|bytes| *bytes > 1 << 20), "{unsent:?}");
    }
    server.ask(|clients| assert_eq!(clients.publish("all", "the end"), 8));
    for client in &mut slow {
        for seed in &sent {
            client.expect(0x82, &pattern(*seed));
            client.expect(0x82, &vec![*seed; 100_000]);
        }
        client.expect_text("the end");
    }
}

#[test]
fn a_message_that_the_handler_sends_in_pieces_goes_on() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let server = serve(&path, echo);
    let mut client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    server.ask(|clients| clients.send_piece(only(clients), "one ", Position::First).expect("it is open"));
    let server = server.replace(Config::default(), &path, echo);
    server.ask(|clients| {
        let id = only(clients);
        assert_eq!(clients.send(id, "between"), Err(lariat::SendError::Unfinished));
        clients.send_piece(id, "two ", Position::Middle).expect("it goes on");
        clients.send_piece(id, "three", Position::Last).expect("it goes on");
    });
    client.expect(0x01, b"one ");
    client.expect(0x00, b"two ");
    client.expect(0x80, b"three");
    client.echo("whole");
}

#[test]
fn a_paused_client_stays_paused_with_what_it_has_sent() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_message(|clients, id, message| {
            if message.as_text() == Some("pause") {
                clients.pause(id);
            }
            let _ = clients.send(id, message);
        }))
    };
    let mut server = serve(&path, make);
    let mut client = Wire::open(server.addr);
    // One read brings all of it, so the rest is held.
    client.send(&[text("pause"), text("held"), text("also held")[..9].to_vec()].concat());
    client.expect_text("pause");
    for _ in 0..2 {
        server = server.replace(Config::default(), &path, make);
        server.ask(|clients| assert!(clients.is_paused(only(clients))));
        server.ask(|clients| clients.send(only(clients), "in the pause").expect("it is open"));
        client.expect_text("in the pause");
    }
    client.send(&text("also held")[9..]);
    client.send(&text("later"));
    server.ask(|clients| assert!(clients.resume(only(clients))));
    client.expect_text("held");
    client.expect_text("also held");
    client.expect_text("later");
}

#[test]
fn a_slow_consumer_keeps_its_policy_its_count_and_its_latest_messages() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_open(|clients, id| {
            clients.set_slow_consumer(id, SlowConsumer::DropNewest);
        }))
    };
    let server = serve_with(roomy(), &path, make);
    let mut client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    let large = vec![b'x'; 1 << 20];
    let mut sent = 0;
    until(|| {
        let large = large.clone();
        let is_full = server.ask(move |clients| {
            let id = only(clients);
            clients.send(id, &large[..]) == Err(lariat::SendError::Dropped)
        });
        sent += u32::from(!is_full);
        is_full
    });
    server.ask(|clients| {
        let id = only(clients);
        for (key, words) in [(1, "old price"), (2, "a position"), (1, "new price")] {
            clients.send_latest(id, key, words).expect("it waits");
        }
    });
    let server = server.replace(roomy(), &path, make);
    server.ask(|clients| {
        let id = only(clients);
        assert_eq!(clients.send(id, "dropped"), Err(lariat::SendError::Dropped));
        clients.send_latest(id, 2, "a newer position").expect("it waits");
    });
    let server = server.replace(roomy(), &path, make);
    assert_eq!(server.ask(|clients| clients.take_dropped(only(clients))), 2);
    for _ in 0..sent {
        client.expect(0x82, &large);
    }
    let mut latest = [client.frame(), client.frame()].map(|frame| String::from_utf8(frame.payload).expect("text"));
    latest.sort();
    assert_eq!(latest, ["a newer position", "new price"]);
    assert_eq!(server.stats().conflated, 2);
}
