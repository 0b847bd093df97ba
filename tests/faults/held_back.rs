//! Clients that the application holds back: paused clients, and rates of one client.

use crate::common::{binary, close, frame, ping, text};
use crate::kit::{audited_rest, closed, connect, tight};
use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Config, Drain, Excess, Handler, Message, Rates, SendError};
use std::time::Duration;

/// Pauses a client with each message that begins with `!`, and remembers everything.
#[derive(Default)]
struct Pausing {
    ids: Vec<ClientId>,
    heard: Vec<String>,
    closed: Vec<CloseReason>,
    pauses_in_on_open: bool,
}

impl Handler for Pausing {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.ids.push(id);
        if self.pauses_in_on_open {
            assert!(clients.pause(id));
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
        if text.starts_with('!') {
            assert!(clients.pause(id) && clients.is_paused(id));
        }
        self.heard.push(text);
    }

    fn on_ping(&mut self, _: &mut Clients<()>, _: ClientId, payload: &[u8]) {
        self.heard.push(format!("ping {}", String::from_utf8_lossy(payload)));
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.heard.push("closed".to_owned());
        self.closed.push(reason.clone());
    }
}

fn one(config: Config) -> (Simulation<Pausing>, Peer) {
    let mut sim = Simulation::new(1, config, Pausing::default());
    let peer = connect(&mut sim, 1).remove(0);
    (sim, peer)
}

fn heard(sim: &mut Simulation<Pausing>) -> Vec<String> {
    sim.run_until_idle();
    std::mem::take(&mut sim.handler_mut().heard)
}

fn resume(sim: &mut Simulation<Pausing>) -> bool {
    let id = sim.handler().ids[0];
    sim.clients().resume(id)
}

#[test]
fn a_pause_takes_effect_with_the_next_message_of_a_batch_and_nothing_is_lost() {
    let batches: Vec<(Vec<u8>, Vec<String>)> = (0..40)
        .map(|number| {
            let name = if number % 3 == 0 { format!("!{number}") } else { number.to_string() };
            match number % 5 {
                0 | 1 => (text(&name), name),
                2 => (binary(name.as_bytes()), name),
                3 => (ping(name.as_bytes()), format!("ping {name}")),
                _ => ([frame(0x01, name.as_bytes()), frame(0x80, b"")].concat(), name),
            }
        })
        .map(|(bytes, name)| (bytes, vec![name]))
        .collect();
    // All kinds mixed, then long runs of one kind, which have a fast path.
    let mixed = batches.iter().map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>();
    let names = batches.into_iter().flat_map(|(_, names)| names).collect::<Vec<_>>();
    let runs = (0..40).map(|number| if number % 3 == 0 { format!("!{number}") } else { number.to_string() });
    let runs = runs.collect::<Vec<_>>();
    let all = [
        (mixed, names),
        (runs.iter().map(|name| text(name)).collect(), runs.clone()),
        (runs.iter().map(|name| binary(name.as_bytes())).collect(), runs),
    ];
    for (frames, names) in all {
        let (mut sim, peer) = one(Config::default());
        peer.send_raw(&frames.concat());
        let mut found = Vec::new();
        loop {
            let next = heard(&mut sim);
            if next.is_empty() {
                break;
            }
            // A ping whose payload begins with the mark does not pause.
            let (last, before) = next.split_last().expect("not empty");
            assert!(before.iter().all(|name| !name.starts_with('!')), "{next:?}");
            let is_paused = last.starts_with('!');
            found.extend(next.clone());
            assert_eq!(resume(&mut sim), is_paused, "{next:?}");
        }
        assert_eq!(found, names);
        assert!(peer.is_open());
    }
}

#[test]
fn an_invalid_message_behind_a_pause_fails_the_connection_only_after_it() {
    for rest in [frame(0x81, b"\xff"), frame(0x83, b"?"), b"\x81\x01x".to_vec()] {
        let (mut sim, peer) = one(Config::default());
        peer.send_raw(&[text("!"), text("kept"), rest].concat());
        assert_eq!(heard(&mut sim), ["!"]);
        assert!(peer.is_open());
        assert!(resume(&mut sim));
        assert_eq!(heard(&mut sim), ["kept", "closed"]);
        assert!(matches!(sim.handler().closed[0], CloseReason::Protocol(_)));
    }
}

#[test]
fn a_pause_in_on_open_keeps_what_followed_the_request_and_what_comes_later() {
    let mut sim = Simulation::new(1, Config::default(), Pausing { pauses_in_on_open: true, ..Pausing::default() });
    let peer = sim.connect("/");
    peer.send_raw(&text("early"));
    sim.run_until_idle();
    assert!(peer.is_open());
    peer.send("late");
    assert!(heard(&mut sim).is_empty());
    assert!(resume(&mut sim));
    assert_eq!(heard(&mut sim), ["early", "late"]);
}

#[test]
fn the_end_of_the_stream_comes_behind_what_was_kept() {
    let (mut sim, peer) = one(Config::default());
    peer.send_raw(&[text("!"), text("kept"), ping(b"?")].concat());
    assert_eq!(heard(&mut sim), ["!"]);
    peer.send("unread");
    peer.half_close();
    sim.run_for(Duration::from_secs(5));
    assert!(heard(&mut sim).is_empty());
    assert!(resume(&mut sim));
    assert_eq!(heard(&mut sim), ["kept", "ping ?", "unread", "closed"]);
    assert_eq!(sim.handler().closed, [CloseReason::Eof]);
}

#[test]
fn a_paused_client_is_never_too_silent_and_is_sent_pings_and_messages() {
    let mut config = Config::default();
    config.limits.ping_interval = Some(Duration::from_secs(10));
    config.limits.idle_timeout = Some(Duration::from_secs(25));
    config.limits.message_timeout = Some(Duration::from_secs(5));
    let (mut sim, peer) = one(config);
    // The first half of a message has arrived as well.
    peer.send_raw(&[text("!"), frame(0x01, b"half ")].concat());
    assert_eq!(heard(&mut sim), ["!"]);
    sim.run_for(Duration::from_secs(3_600));
    assert!(peer.is_open());
    let id = sim.handler().ids[0];
    sim.clients().send(id, "news").expect("it is open");
    sim.run_until_idle();
    assert_eq!(peer.received_text(), ["news"]);
    // After the pause, all timeouts begin again.
    assert!(resume(&mut sim));
    sim.run_for(Duration::from_secs(4));
    peer.send_raw(&frame(0x80, b"done"));
    assert_eq!(heard(&mut sim), ["half done"]);
    peer.stop_reading();
    sim.run_for(Duration::from_secs(24));
    assert!(peer.is_open());
    // Then its end, for which the server waits for 5 seconds.
    sim.run_for(Duration::from_secs(7));
    assert_eq!(closed(&sim.clients().stats(), "timeout", "idle"), 1);
}

#[test]
fn without_pings_the_silence_timeout_is_armed_again_after_a_pause() {
    let mut config = Config::default();
    (config.limits.ping_interval, config.limits.idle_timeout) = (None, Some(Duration::from_secs(25)));
    config.limits.max_lifetime = Some(Duration::from_secs(86_400));
    let (mut sim, peer) = one(config);
    peer.send("!");
    sim.run_for(Duration::from_secs(3_600));
    assert!(resume(&mut sim));
    sim.run_for(Duration::from_secs(24));
    assert!(peer.is_open());
    sim.run_for(Duration::from_secs(2));
    assert!(!peer.is_open());
}

#[test]
fn closing_a_paused_client_drops_what_was_kept_and_ends_with_the_handshake() {
    let (mut sim, peer) = one(Config::default());
    peer.send_raw(&[text("!"), text("kept")].concat());
    assert_eq!(heard(&mut sim), ["!"]);
    let id = sim.handler().ids[0];
    sim.clients().close(id, CloseCode::Normal, "enough").expect("it is open");
    assert!(!sim.clients().is_paused(id));
    assert_eq!(heard(&mut sim), ["closed"]);
    assert!(matches!(sim.handler().closed[0], CloseReason::Local(_)), "{:?}", sim.handler().closed);
    assert_eq!(sim.elapsed(), Duration::ZERO);
    assert!(!sim.clients().pause(id));
}

#[test]
fn a_close_frame_behind_a_pause_is_seen_after_it() {
    let (mut sim, peer) = one(Config::default());
    peer.send_raw(&[text("!"), close(1000, "bye")].concat());
    assert_eq!(heard(&mut sim), ["!"]);
    assert!(resume(&mut sim));
    assert_eq!(heard(&mut sim), ["closed"]);
    assert!(matches!(sim.handler().closed[0], CloseReason::Peer(Some(_))));
}

#[test]
fn a_shutdown_does_not_wait_for_a_pause_to_end() {
    let (mut sim, peer) = one(Config::default());
    peer.send_raw(&[text("!"), text("kept")].concat());
    assert_eq!(heard(&mut sim), ["!"]);
    sim.clients().shutdown(Drain::default());
    sim.run_until_idle();
    assert_eq!((sim.elapsed(), sim.clients().len_all()), (Duration::ZERO, 0));
}

#[test]
fn paused_clients_keep_one_read_each_and_the_budget_counts_it() {
    let mut config = tight(0);
    config.read_buffer = 16 << 10;
    config.memory_budget = config.least_memory_budget();
    let budget = config.memory_budget;
    let mut sim = Simulation::new(1, config, Pausing::default());
    let peers = connect(&mut sim, 1_000);
    for peer in &peers {
        peer.send("!");
        peer.send_raw(&binary(&[7; 100]).repeat(400));
    }
    audited_rest(&mut sim, budget);
    sim.run_for(Duration::from_secs(60));
    let stats = sim.clients().stats();
    assert!(stats.buffered <= budget, "{} bytes are held", stats.buffered);
    // The others can still be served, whatever happens to these.
    let fresh = connect(&mut sim, 1).remove(0);
    fresh.send("hello");
    assert!(heard(&mut sim).contains(&"hello".to_owned()));
}

#[test]
fn messages_that_a_pause_has_kept_are_charged_when_they_are_delivered() {
    let mut config = Config::default();
    config.rates.bytes_per_second = Some(1_000);
    config.rates.excess = Excess::Close;
    let (mut sim, peer) = one(config);
    // The request has about 200 bytes, and what is sent at once 216.
    for _ in 0..3 {
        peer.send_raw(&[text("!"), text("0123456789abc").repeat(11)].concat());
        sim.run_until_idle();
        assert!(resume(&mut sim));
        sim.run_until_idle();
        assert!(peer.is_open(), "what was kept has been charged twice");
    }
}

#[test]
fn a_client_can_have_rates_of_its_own() {
    let mut config = Config::default();
    config.rates.messages_per_second = Some(10);
    let mut sim = Simulation::new(1, config, Pausing::default());
    let peers = connect(&mut sim, 3);
    let ids = sim.handler().ids.clone();
    let mut more = Rates::default();
    more.messages_per_second = Some(100);
    assert!(sim.clients().set_rates(ids[1], more));
    assert!(sim.clients().set_rates(ids[2], Rates::default()));
    for (peer, name) in peers.iter().zip(["usual", "more", "free"]) {
        peer.send_raw(&text(name).repeat(10_000));
    }
    sim.run_for(Duration::from_secs(20));
    let heard = std::mem::take(&mut sim.handler_mut().heard);
    let count = |name: &str| heard.iter().filter(|heard| *heard == name).count();
    let (usual, more, free) = (count("usual"), count("more"), count("free"));
    assert!((200..=300).contains(&usual), "{usual} in 20 seconds, at 10 in a second");
    assert!((2_000..=2_300).contains(&more), "{more} in 20 seconds, at 100 in a second");
    assert_eq!(free, 10_000);
}

#[test]
fn new_rates_free_a_client_that_is_delayed_and_end_with_it() {
    let mut sim = Simulation::new(1, Config::default(), Pausing::default());
    let peers = connect(&mut sim, 2);
    let id = sim.handler().ids[0];
    let mut rates = Rates::default();
    rates.messages_per_second = Some(1);
    assert!(sim.clients().set_rates(id, rates.clone()));
    peers[0].send_raw(&text("slow").repeat(1_000));
    sim.run_for(Duration::from_secs(1));
    assert!(sim.handler().heard.len() < 100);
    assert!(sim.clients().set_rates(id, Rates::default()));
    sim.run_until_idle();
    assert_eq!(sim.handler().heard.len(), 1_000);
    peers[0].reset();
    sim.run_until_idle();
    assert!(!sim.clients().set_rates(id, rates));
    // The next client with the same index has no rates.
    let next = connect(&mut sim, 1).remove(0);
    next.send_raw(&text("next").repeat(1_000));
    assert_eq!(heard(&mut sim).iter().filter(|heard| *heard == "next").count(), 1_000);
}

#[test]
fn a_terminated_client_ends_at_once_and_its_output_is_dropped() {
    let (mut sim, peer) = one(Config::default());
    let id = sim.handler().ids[0];
    sim.clients().send(id, "never sent").expect("it is open");
    assert!(sim.clients().terminate(id));
    assert_eq!(sim.clients().send(id, "?"), Err(SendError::NotOpen));
    assert_eq!(heard(&mut sim), ["closed"]);
    assert_eq!(sim.handler().closed, [CloseReason::Terminated]);
    assert_eq!(closed(&sim.clients().stats(), "local", "terminated"), 1);
    assert!(peer.received().is_empty() && !peer.is_open());
    assert!(!sim.clients().terminate(id));
}
