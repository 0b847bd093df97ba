//! What earlier releases have said is understood.
//!
//! `versions/N` has the messages of a handover as the first release with version N of the format
//! has written them: each behind its length, 4 bytes, big-endian. A later release must take over
//! from that one, so it must read them. `LARIAT_RECORD=1 cargo test --test handover versions`
//! writes the file of the present version anew. Do that only before a release, and never for an old
//! version.

use lariat::sim::{Peer, Simulation};
use lariat::{
    ClientId, Clients, CloseCode, Config, ConnectOptions, Handler, Message, RestoreError, SlowConsumer, Takeover,
    TimerId,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Uses most of what goes along.
#[derive(Default)]
struct App {
    ticks: u32,
}

impl Handler for App {
    type Data = u32;

    fn on_start(&mut self, clients: &mut Clients<u32>) {
        clients.set_interval(Duration::from_secs(1), 1);
    }

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        clients.subscribe(id, "all");
        clients.set_client_timer(id, Duration::from_secs(90), 3);
        clients.set_slow_consumer(id, SlowConsumer::DropNewest);
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        if let Some(count) = clients.data_mut(id) {
            *count += 1;
        }
        let count = clients.data(id).copied().unwrap_or_default();
        match message.as_text() {
            Some("pause") => drop(clients.pause(id)),
            Some("close") => drop(clients.close(id, CloseCode::Normal, "asked")),
            Some("count") => drop(clients.send(id, &format!("{count} messages, {} ticks", self.ticks))),
            Some("latest") => drop(clients.publish_latest("all", 7, "the latest")),
            _ => drop(clients.publish("all", message)),
        }
    }

    fn on_timer(&mut self, _: &mut Clients<u32>, _: TimerId, _: u64) {
        self.ticks += 1;
    }

    fn save(&mut self, _: &mut Clients<u32>) -> Option<Vec<u8>> {
        Some(self.ticks.to_be_bytes().to_vec())
    }

    fn save_client(&mut self, clients: &mut Clients<u32>, id: ClientId) -> Option<Vec<u8>> {
        Some(clients.data(id)?.to_be_bytes().to_vec())
    }

    fn restore(&mut self, _: &mut Clients<u32>, saved: &[u8]) -> Result<(), RestoreError> {
        self.ticks = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }

    fn restore_client(&mut self, clients: &mut Clients<u32>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        *clients.data_mut(id).ok_or("no client")? = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }
}

/// A server whose clients are in many states: the same in each run.
fn scene() -> (Simulation<App>, Vec<Peer>) {
    let mut config = Config::default();
    config.limits.high_water = 2_000;
    config.rates.messages_per_second = Some(50);
    if let Some(deflate) = config.deflate.as_mut() {
        deflate.threshold = 8;
        deflate.context_takeover = Takeover::Both;
    }
    let mut server = Simulation::new(1, config, App::default());
    let options = ConnectOptions::new().subprotocol("chat");
    let mut peers: Vec<Peer> = (0..4).map(|_| server.connect_with("/", &options).expect("a path")).collect();
    server.run_until_idle();
    peers[0].send("count");
    peers[1].stop_reading();
    (0..8).for_each(|number| peers[2].send(&format!("{number} {}", "long and long again ".repeat(200))));
    server.run_for(Duration::from_millis(2_500));
    peers[2].send("latest");
    peers[3].send("pause");
    server.run_until_idle();
    peers[3].send("held");
    // The beginnings of a frame and of an opening handshake.
    peers[0].send_raw(&[0x81, 0x85, 0, 0, 0, 0, b'c', b'o']);
    peers.push(server.connect_raw());
    peers[4].send_raw(b"GET / HTTP/1.1\r\nHost: localh");
    server.run_until_idle();
    (server, peers)
}

fn file(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/handover/versions/{version}"))
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message.to_vec());
        rest = behind;
    }
    messages
}

/// The version that this release writes.
const PRESENT: u16 = 1;

#[test]
fn versions_that_were_released_are_understood() {
    if std::env::var_os("LARIAT_RECORD").is_some() {
        let (mut server, _peers) = scene();
        let mut bytes = Vec::new();
        let record = |_, message: &mut Vec<u8>| {
            bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
            bytes.extend_from_slice(message);
        };
        server.hand_over_altered(|_| App::default(), record).expect("it can be handed over");
        std::fs::write(file(PRESENT), bytes).expect("a file");
    }
    for version in 1..=PRESENT {
        let messages = read(&file(version));
        let (mut server, peers) = scene();
        let mut count = 0;
        let replay = |number: usize, message: &mut Vec<u8>| {
            count += 1;
            message.clone_from(&messages[number]);
        };
        server.hand_over_altered(|_| App::default(), replay).expect("this version is understood");
        assert_eq!(count, messages.len(), "as many messages as then");
        // Everybody goes on: the half frame, the half request, what was unsent, the pause.
        peers[0].send_raw(b"unt");
        let opening = "ost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        peers[4].send_raw(opening.as_bytes());
        peers[1].resume_reading();
        server.run_for(Duration::from_secs(2));
        let said = peers[0].received_text();
        assert!(said.iter().any(|text| text == "2 messages, 2 ticks"), "{said:?}");
        let late = peers[1].received_text();
        assert!(late.iter().any(|text| text == "the latest"), "what was unsent has not arrived: {late:?}");
        assert!(peers[..4].iter().all(Peer::is_open), "a connection has ended");
        assert_eq!(server.clients().len(), 5);
        peers[0].send("count");
        server.run_until_idle();
        assert_eq!(peers[0].received_text().pop().as_deref(), Some("3 messages, 4 ticks"));
    }
}
