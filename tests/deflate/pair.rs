//! Both roles connected to each other, with every combination of parameters.

use super::deflate;
use lariat::protocol::{
    Connection, Event, Input, Limits, Message, Opening, Request, Role, Shared, State, Ticket, Upgrade,
};
use lariat::{CloseCode, CloseReason, Deflate, Takeover};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

struct Side {
    connection: Connection,
    shared: Shared,
    seen: Vec<(bool, Vec<u8>)>,
    /// The number of bytes that were sent to the other side.
    sent: usize,
}

impl Side {
    fn send(&mut self, message: Message<'_>) {
        self.connection.send(&mut self.shared, message).expect("there is room");
    }

    fn see(&mut self, message: Message<'_>) {
        self.seen.push((message.as_text().is_some(), message.as_bytes().to_vec()));
    }

    fn receive(&mut self, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        while let Some(event) = self.connection.receive(&mut self.shared, Default::default(), &mut input) {
            match event {
                Event::Request { head, .. } => {
                    let ticket = Ticket::new(&Request::parse(&head).expect("a valid request"));
                    let answer = Upgrade::new().into();
                    let outcome = self.connection.answer(&mut self.shared, Default::default(), ticket, answer);
                    outcome.expect("a valid answer");
                }
                Event::Message(message) => self.see(message),
                Event::Gathered(gathered) => {
                    self.see(gathered.as_message());
                    self.shared.recycle(gathered);
                }
                Event::Opened(_) | Event::Ping(_) | Event::Pong(_) => {}
                Event::Piece(..) => panic!("nobody asked for pieces"),
            }
        }
    }
}

/// Passes all output of `from` to `to`, in pieces of at most `most` bytes.
fn carry(from: &mut Side, to: &mut Side, random: &mut StdRng, most: usize) {
    loop {
        let output = from.connection.output(&mut from.shared);
        if output.is_empty() {
            return;
        }
        let count = random.random_range(1..=most).min(output.len());
        let mut bytes = output[..count].to_vec();
        from.connection.sent(&mut from.shared, Default::default(), count);
        from.sent += count;
        to.receive(&mut bytes);
    }
}

fn pair(server: Deflate, client: Deflate, random: &mut StdRng) -> (Side, Side) {
    let shared = |deflate, seed| Shared::with_seed(Limits::default(), seed).with_deflate(Some(deflate));
    let (opening, _, _) = Opening::parse("ws://localhost/").expect("a URL");
    let mut theirs = shared(client, random.random());
    let connection = Connection::connect(&mut theirs, Default::default(), &opening);
    let mut client = Side { connection, shared: theirs, seen: Vec::new(), sent: 0 };
    let connection = Connection::new(Role::Server, Default::default());
    let mut server = Side { connection, shared: shared(server, random.random()), seen: Vec::new(), sent: 0 };
    carry(&mut client, &mut server, random, 100);
    carry(&mut server, &mut client, random, 100);
    assert_eq!((server.connection.state(), client.connection.state()), (State::Open, State::Open));
    assert!(server.connection.agreed().is_compressed() && client.connection.agreed().is_compressed());
    (server, client)
}

/// Returns text and bytes of many sizes. Some resemble each other, and some cannot be compressed.
fn some_messages(random: &mut StdRng) -> Vec<(bool, Vec<u8>)> {
    let text = "Grüße, κόσμε! 😀 The quick brown fox. ".repeat(60);
    let mut messages = vec![(true, Vec::new()), (false, Vec::new()), (true, text.clone().into_bytes())];
    for length in [1, 30, 1_500, 40_000] {
        let mut noise = vec![0; length];
        random.fill_bytes(&mut noise);
        messages.push((false, noise.clone()));
        messages.push((false, [&noise[..length / 2], text.as_bytes()].concat()));
        messages.push((true, text.chars().take(length % text.chars().count()).collect::<String>().into_bytes()));
    }
    messages
}

fn send(side: &mut Side, (is_text, bytes): &(bool, Vec<u8>)) {
    match std::str::from_utf8(bytes) {
        Ok(text) if *is_text => side.send(Message::Text(text)),
        _ => side.send(Message::Binary(bytes)),
    }
}

#[test]
fn every_combination_of_parameters_transfers_every_message_both_ways() {
    let takeovers = [Takeover::Never, Takeover::Sent, Takeover::Received, Takeover::Both];
    let mut random = StdRng::seed_from_u64(7_692);
    let all_bits = (9..=15).flat_map(|server| (9..=15).map(move |client| (server, client)));
    for (server_bits, client_bits) in all_bits {
        for (ours, theirs) in takeovers.iter().flat_map(|ours| takeovers.iter().map(move |theirs| (*ours, *theirs))) {
            let threshold = [0, 100, 1_024][random.random_range(0..3)];
            let of = |bits, takeover| {
                deflate(|deflate| {
                    deflate.max_window_bits = bits;
                    deflate.context_takeover = takeover;
                    deflate.threshold = threshold;
                    deflate.level = 1;
                })
            };
            let (mut server, mut client) = pair(of(server_bits, ours), of(client_bits, theirs), &mut random);
            let what =
                format!("server {server_bits} {ours:?}, client {client_bits} {theirs:?}, from {threshold} bytes");
            let messages = some_messages(&mut random);
            for message in &messages {
                send(&mut server, message);
                send(&mut client, message);
                if random.random_bool(0.5) {
                    server.connection.ping(&mut server.shared, b"between").expect("open");
                    carry(&mut server, &mut client, &mut random, 9_000);
                    carry(&mut client, &mut server, &mut random, 9_000);
                }
            }
            carry(&mut server, &mut client, &mut random, 70_000);
            carry(&mut client, &mut server, &mut random, 70_000);
            assert!(client.seen == messages, "to the client: {what}");
            assert!(server.seen == messages, "to the server: {what}");
            for side in [&mut server, &mut client] {
                side.connection.end(&mut side.shared, CloseReason::Eof);
                assert_eq!(side.shared.context_bytes(), 0, "{what}");
            }
        }
    }
}

#[test]
fn context_takeover_makes_similar_messages_far_smaller() {
    let mut random = StdRng::seed_from_u64(1);
    let mut sizes = Vec::new();
    for takeover in [Takeover::Never, Takeover::Both] {
        let (mut server, mut client) = pair(super::eager(takeover), super::eager(takeover), &mut random);
        server.sent = 0;
        for number in 0..200 {
            let json = format!(r#"{{"type":"trade","symbol":"LRT","price":{}.25,"size":{number}}}"#, 100 + number % 7);
            server.send(Message::Text(&json));
            carry(&mut server, &mut client, &mut random, 10_000);
        }
        assert_eq!(client.seen.len(), 200);
        sizes.push(server.sent);
    }
    assert!(sizes[1] * 3 < sizes[0], "{sizes:?}");
}

#[test]
fn a_closing_handshake_is_never_compressed() {
    let mut random = StdRng::seed_from_u64(2);
    let (mut server, mut client) = pair(super::eager(Takeover::Both), super::eager(Takeover::Both), &mut random);
    let reason = "a".repeat(123);
    server.connection.close(&mut server.shared, Default::default(), CloseCode::Normal, &reason).expect("open");
    assert_eq!(server.connection.output(&mut server.shared)[..2], [0x88, 125]);
    carry(&mut server, &mut client, &mut random, 1);
    carry(&mut client, &mut server, &mut random, 1);
    assert_eq!(server.connection.state(), State::Draining);
    assert!(
        matches!(client.connection.take_close_reason(), Some(CloseReason::Peer(Some(frame))) if frame.reason == reason.as_str())
    );
}
