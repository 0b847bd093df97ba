//! Topics: a thousand clients and two hundred topics, compared with a model.

use crate::common::{Wire, close, script, serve};
use lariat::ClientId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;

const TOPICS: usize = 200;
const STEPS: usize = 20_000;

/// Returns the number of clients that fit. Each uses two descriptors of this process.
fn clients_that_fit() -> usize {
    let limit = rlimit::increase_nofile_limit(4_096).unwrap_or(256);
    1_000.min((limit as usize).saturating_sub(100) / 2)
}

#[test]
fn every_client_gets_the_messages_of_the_model_in_order() {
    let (script, calls) = script();
    let server = serve(script);
    let mut random = StdRng::seed_from_u64(7);
    let mut wires: Vec<Option<Wire>> = (0..clients_that_fit()).map(|_| Some(Wire::open(server.addr))).collect();
    let ids: Vec<ClientId> = wires.iter().map(|_| calls.open()).collect();
    let mut members: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); TOPICS];
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); ids.len()];

    for step in 0..STEPS {
        let (topic, client) = (random.random_range(0..TOPICS), random.random_range(0..ids.len()));
        let (name, id) = (topic.to_string(), ids[client]);
        let is_here = wires[client].is_some();
        match random.random_range(0..100) {
            0 if is_here && wires.iter().flatten().count() > ids.len() / 2 => {
                // The client leaves, and all its memberships end. The messages that were sent to it
                // so far must have arrived.
                let mut wire = wires[client].take().expect("it is here");
                for message in expected[client].drain(..) {
                    wire.expect_text(&message);
                }
                wire.send(&close(1000, ""));
                wire.expect_close(1000);
                drop(wire);
                assert_eq!(calls.close().0, id);
                members.iter_mut().for_each(|topic| {
                    topic.remove(&client);
                });
            }
            0..=49 => {
                let joined = server.ask(move |clients| clients.subscribe(id, &name));
                assert_eq!(joined, is_here && members[topic].insert(client));
            }
            50..=69 => {
                let left = server.ask(move |clients| clients.unsubscribe(id, &name));
                assert_eq!(left, members[topic].remove(&client));
            }
            choice => {
                let message = format!("{step} to {topic}");
                let except = (choice >= 90).then_some(client);
                for member in members[topic].iter().filter(|member| Some(**member) != except) {
                    expected[*member].push(message.clone());
                }
                let receivers = members[topic].iter().filter(|member| Some(**member) != except).count();
                let (reached, count) = server.ask(move |clients| {
                    let reached = match except {
                        Some(_) => clients.publish_except(&name, id, message.as_str()),
                        None => clients.publish(&name, message.as_str()),
                    };
                    (reached, clients.subscribers(&name))
                });
                assert_eq!((reached, count), (receivers, members[topic].len()));
            }
        }
    }
    for (wire, messages) in wires.iter_mut().zip(&expected) {
        let Some(wire) = wire else { continue };
        messages.iter().for_each(|message| wire.expect_text(message));
        wire.send(&close(1000, ""));
        wire.expect_close(1000);
    }
}
