//! What a process says of its connections when it hands over is altered on its way, or replaced.
//! The server that takes over must refuse it, or serve: it never panics, counts its memory right,
//! and comes to an end. If it refuses, the server before it goes on, and its clients notice
//! nothing.

#![no_main]

use lariat::sim::Simulation;
use lariat::{Answer, ClientId, Clients, CloseCode, Config, Drain, Handler, Message, Request, RestoreError, Upgrade};
use lariat::{SlowConsumer, Takeover};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// Uses most of what goes along.
struct Application;

impl Handler for Application {
    type Data = u8;

    fn on_start(&mut self, clients: &mut Clients<u8>) {
        clients.set_interval(Duration::from_secs(1), 1);
        clients.set_timer(Duration::from_secs(3), 2);
        clients.watch_topics();
    }

    fn on_request(&mut self, _: &mut Clients<u8>, _: ClientId, request: &Request<'_>) -> Answer {
        let mut upgrade = Upgrade::new();
        if let Some(first) = request.subprotocols().next() {
            upgrade = upgrade.subprotocol(first);
        }
        upgrade.into()
    }

    fn on_open(&mut self, clients: &mut Clients<u8>, id: ClientId) {
        clients.subscribe(id, "all");
        clients.set_client_interval(id, Duration::from_secs(2), 3);
        clients.set_slow_consumer(id, SlowConsumer::DropNewest);
    }

    fn on_message(&mut self, clients: &mut Clients<u8>, id: ClientId, message: Message<'_>) {
        match message.as_text() {
            Some("pieces") => drop(clients.receive_in_pieces(id)),
            Some("pause") => drop(clients.pause(id)),
            Some("close") => drop(clients.close(id, CloseCode::Normal, "asked")),
            Some("latest") => drop(clients.publish_latest("all", 7, message)),
            Some("trace") => drop(clients.trace(id)),
            _ => drop(clients.publish("all", message)),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<u8>, _: lariat::TimerId, _: u64) {
        clients.publish("all", "tick");
    }

    fn save(&mut self, _: &mut Clients<u8>) -> Option<Vec<u8>> {
        Some(b"kept".to_vec())
    }

    fn save_client(&mut self, clients: &mut Clients<u8>, id: ClientId) -> Option<Vec<u8>> {
        Some(vec![*clients.data(id)?])
    }

    fn restore(&mut self, _: &mut Clients<u8>, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }

    fn restore_client(&mut self, clients: &mut Clients<u8>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        *clients.data_mut(id).ok_or("no client")? = *saved.first().ok_or("no byte")?;
        Ok(())
    }
}

/// Changes bytes of a message: each patch is a place, what to do there, and a byte.
fn patch(bytes: &mut Vec<u8>, patches: &[u8]) {
    for patch in patches.chunks_exact(4) {
        let [low, high, what, byte] = *patch else { return };
        let place = usize::from(u16::from_le_bytes([low, high])) % (bytes.len() + 1);
        match what % 5 {
            0 if place < bytes.len() => bytes[place] = byte,
            1 if place < bytes.len() => bytes[place] ^= 1 << (byte % 8),
            2 => bytes.insert(place, byte),
            3 if place < bytes.len() => drop(bytes.remove(place)),
            4 => bytes.truncate(place),
            _ => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[scene, meant, how], rest)) = data.split_first_chunk() else { return };
    let mut config = Config::default();
    config.limits.high_water = 500;
    config.limits.max_lifetime = Some(Duration::from_secs(50));
    config.rates.messages_per_second = (scene & 1 > 0).then_some(3);
    if let Some(deflate) = config.deflate.as_mut() {
        deflate.threshold = 8;
        deflate.context_takeover = if scene & 2 > 0 { Takeover::Both } else { Takeover::Never };
    }
    let mut server = Simulation::new(1, config, Application);
    let mut options = lariat::ConnectOptions::new();
    options = options.subprotocol("chat");
    let peers: Vec<_> = (0..4).map(|_| server.connect_with("/", &options).expect("a path")).collect();
    server.run_until_idle();
    let words = ["pieces", "pause", "close", "latest", "trace", "hello, hello, hello, hello"];
    peers[0].send(words[usize::from(scene >> 2) % words.len()]);
    peers[1].stop_reading();
    (0..4).for_each(|_| peers[2].send(&"long ".repeat(if scene & 4 > 0 { 2_000 } else { 3 })));
    let raw = server.connect_raw();
    raw.send_raw(b"GET / HTT");
    peers[3].send_raw(&[0x01, 0x85, 1, 2, 3]);
    server.run_until_idle();

    let outcome = server.hand_over_altered(
        |_| Application,
        |number, bytes| match how % 3 {
            _ if number != usize::from(meant) % 5 => {}
            0 => patch(bytes, rest),
            1 => *bytes = rest.to_vec(),
            _ => {
                // The same message with other contents behind the same beginning.
                bytes.truncate(usize::from(how / 3));
                bytes.extend_from_slice(rest);
            }
        },
    );
    let found = server.footprint();
    let held = found.buffers + found.shared + found.contexts + found.spares;
    assert_eq!(found.held, held, "the memory is counted wrong after {outcome:?}: {found:?}");
    peers[2].send("still there?");
    peers[1].resume_reading();
    server.run_for(Duration::from_secs(5));
    if outcome.is_err() {
        assert!(peers[2].is_open(), "a takeover that has failed has closed a client");
    }
    let _ = server.remote().shutdown(Drain::default());
    server.run_for(Duration::from_secs(120));
    assert!(server.outcome().is_some(), "it does not come to an end");
});
