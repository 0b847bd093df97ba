//! One message for many receivers.

use super::kit::*;
use super::{decompress, deflate, eager, offer, shared};
use lariat::protocol::{Connection, Limits, Message, Prepared, Shared};
use lariat::{Deflate, Takeover};

/// Creates the connections of one loop, whose clients have made these offers.
fn loop_of(deflate: Deflate, offers: &[&str]) -> (Shared, Vec<Connection>) {
    let mut shared = shared(deflate);
    let mut connections = Vec::new();
    for line in offers {
        let mut talk = Talk::fresh(shared, Default::default());
        offer(&mut talk, &[line]);
        shared = std::mem::replace(&mut talk.shared, Shared::new(Limits::default()));
        connections.push(talk.connection);
    }
    (shared, connections)
}

fn output(shared: &mut Shared, connection: &mut Connection) -> Vec<Sent> {
    let bytes = connection.output(shared).to_vec();
    connection.sent(shared, Default::default(), bytes.len());
    sent(&bytes)
}

#[test]
fn every_receiver_gets_a_message_that_it_can_read() {
    let offers = [
        "permessage-deflate",
        "",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=8",
    ];
    let text = "Everybody gets this. ".repeat(500);
    for takeover in [Takeover::Never, Takeover::Both] {
        let (mut shared, mut connections) = loop_of(eager(takeover), &offers);
        let mut last_sizes = Vec::new();
        for round in 0..3 {
            let prepared = Prepared::new(Message::Text(&text));
            let mut sizes = Vec::new();
            for (connection, offer) in connections.iter_mut().zip(offers) {
                connection.send_prepared(&mut shared, &prepared).expect("open");
                let [Sent::Frame(first, payload)] = &output(&mut shared, connection)[..] else { panic!("one frame") };
                sizes.push(payload.len());
                match offer {
                    "" => assert_eq!((*first, &payload[..]), (FIN | TEXT, text.as_bytes())),
                    _ if round == 0 || takeover == Takeover::Never => {
                        assert_eq!(*first, FIN | RSV1 | TEXT, "{offer}");
                        assert_eq!(decompress(payload), text.as_bytes(), "{offer}");
                    }
                    _ => assert_eq!(*first, FIN | RSV1 | TEXT, "{offer}"),
                }
            }
            if takeover == Takeover::Both && round > 0 {
                assert!(sizes[0] <= last_sizes[0], "the message refers to an earlier one");
            }
            last_sizes = sizes;
        }
    }
}

#[test]
fn a_message_for_many_is_compressed_once() {
    let text: String = (0..20_000).map(|number| format!("{number} ")).collect();
    let (mut shared, mut connections) = loop_of(deflate(|_| ()), &["permessage-deflate"; 200]);
    let time = |shared: &mut Shared, connections: &mut [Connection]| {
        let prepared = Prepared::new(Message::Text(&text));
        // The frame lies in memory once: each connection holds only a small outbox.
        for connection in connections.iter_mut() {
            connection.send_prepared(shared, &prepared).expect("open");
            assert!(connection.memory() < 1_000, "{}", connection.memory());
        }
        let first = output(shared, &mut connections[0]);
        for connection in &mut connections[1..] {
            assert_eq!(output(shared, connection), first);
        }
    };
    time(&mut shared, &mut connections);
    time(&mut shared, &mut connections);
}

#[test]
fn short_or_incompressible_messages_are_not_compressed_for_many() {
    let (mut shared, mut connections) = loop_of(Deflate::default(), &["permessage-deflate"; 2]);
    let noise: Vec<u8> = (0..2_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as u8).collect();
    let noise = [noise, b"end".to_vec()].concat();
    for message in [Message::Text("short"), Message::Binary(&noise[..1_000])] {
        let prepared = Prepared::new(message);
        for connection in &mut connections {
            connection.send_prepared(&mut shared, &prepared).expect("open");
            let expected = Sent::Frame(FIN | message_opcode(message), message.as_bytes().to_vec());
            assert_eq!(output(&mut shared, connection), [expected]);
        }
    }
}

fn message_opcode(message: Message<'_>) -> u8 {
    if message.as_text().is_some() { TEXT } else { BINARY }
}
