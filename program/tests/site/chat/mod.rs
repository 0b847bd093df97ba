//! Everybody sees every message exactly once and in the same order, even if connections break and
//! the server restarts.

mod page;
mod servers;

use lariat::Config;
use lariat::sim::{Faults, Peer, Simulation};
use lariat_cli::site::Chat;
use page::Page;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Runs for a second. Pages without a connection come back.
fn settle(sim: &mut Simulation<Chat>, pages: &mut [Page]) {
    sim.run_for(SECOND);
    for page in &mut *pages {
        page.listen();
        if !page.is_connected() {
            page.connect(sim);
        }
    }
}

/// Runs until nothing is in flight.
fn settle_all(sim: &mut Simulation<Chat>, pages: &mut [Page]) {
    for _ in 0..60 {
        settle(sim, pages);
        if pages.iter().all(|page| page.is_in && page.is_connected() && page.pending.is_empty()) {
            break;
        }
    }
    settle(sim, pages);
}

/// Checks that all pages have seen the same messages, and all of them.
fn assert_agree(pages: &[Page], said: &BTreeSet<String>, what: &str) {
    for page in pages {
        assert_eq!((page.pending.len(), page.missed), (0, 0), "{what}: {}", page.name);
        assert!(page.shown == pages[0].shown, "{what}: {} has seen something else than {}", page.name, pages[0].name);
    }
    assert_eq!(pages[0].texts.len(), said.len(), "{what}: once each");
    assert_eq!(pages[0].texts.iter().cloned().collect::<BTreeSet<_>>(), *said, "{what}: all of it");
}

#[test]
fn a_thousand_people_see_each_message_once_and_in_order_while_they_enter_and_leave() {
    let mut random = StdRng::seed_from_u64(11);
    let mut sim = Simulation::new(11, Config::default(), Chat::new(1));
    let mut pages: Vec<Page> = (0..1_000).map(|number| Page::new(number, "hall")).collect();
    pages.iter_mut().for_each(|page| page.connect(&mut sim));
    settle_all(&mut sim, &mut pages);
    let mut said = BTreeSet::new();
    for round in 0..8 {
        for _ in 0..20 {
            let page = random.random_range(0..pages.len());
            let text = format!("{round}: {}", said.len());
            pages[page].say(&mut random, &text);
            said.insert(text);
        }
        // Some connections break: what is in flight, in both directions, is lost.
        for _ in 0..40 {
            if let Some(peer) = &pages[random.random_range(0..pages.len())].peer {
                peer.reset();
            }
        }
        settle(&mut sim, &mut pages);
    }
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, &said, "after 8 rounds");
    assert_eq!(sim.clients().len(), 1_000, "those who broke off are gone");
    for page in &pages {
        assert_eq!(page.people.len(), 1_000, "{}: {:?}", page.name, page.people.keys().take(3).collect::<Vec<_>>());
        assert!(page.people == pages[0].people && page.people.contains_key(&page.you), "{}", page.name);
        assert_eq!(page.rooms, [("hall".to_owned(), 1_000)]);
    }
}

#[test]
fn network_faults_do_no_harm() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Chat::new(seed));
        let mut faults = Faults::rough();
        faults.reset = 0.02;
        let mut pages: Vec<Page> = (0..20).map(|number| Page::new(number, "hall")).collect();
        pages.iter_mut().for_each(|page| page.connect(&mut sim));
        settle_all(&mut sim, &mut pages);
        sim.set_faults(faults);
        let mut said = BTreeSet::new();
        for _ in 0..10 {
            for page in &mut pages {
                if random.random_bool(0.5) {
                    let text = said.len().to_string();
                    page.say(&mut random, &text);
                    said.insert(text);
                }
            }
            settle(&mut sim, &mut pages);
        }
        sim.set_faults(Faults::none());
        settle_all(&mut sim, &mut pages);
        assert_agree(&pages, &said, &format!("seed {seed}"));
    }
}

#[test]
fn a_restarted_server_gets_the_messages_from_its_pages() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Chat::new(1));
        let mut pages: Vec<Page> = (0..30).map(|number| Page::new(number, "hall")).collect();
        pages.iter_mut().for_each(|page| page.connect(&mut sim));
        settle_all(&mut sim, &mut pages);
        // One page has lost its connection, and does not come back before the server does.
        let absent = random.random_range(0..pages.len());
        if let Some(peer) = &pages[absent].peer {
            peer.hang_up();
        }
        let mut said = BTreeSet::new();
        for page in &mut pages {
            page.say(&mut random, &page.name.clone());
            said.insert(page.name.clone());
        }
        // The server dies while messages are in flight.
        for _ in 0..random.random_range(0..60) {
            sim.step();
        }
        let mut again = Simulation::new(seed, Config::default(), Chat::new(2));
        for page in &mut pages {
            page.listen();
            page.connect(&mut again);
        }
        drop(sim);
        // Some pages lose their connection again before they have sent everything to the new
        // server.
        for _ in 0..random.random_range(0..100) {
            again.step();
            pages.iter_mut().for_each(Page::listen);
        }
        for page in pages.iter_mut().filter(|_| random.random_bool(0.5)) {
            page.peer.take().inspect(Peer::reset);
        }
        settle_all(&mut again, &mut pages);
        // Each page has all messages from before the restart, once and in the same order.
        for page in &pages {
            assert_eq!(page.pending.len(), 0, "seed {seed}: {}", page.name);
            assert_eq!(page.texts.len(), said.len(), "seed {seed}: {}", page.name);
            assert_eq!(page.texts.iter().cloned().collect::<BTreeSet<_>>(), said, "seed {seed}: {}", page.name);
        }
        // A new page gets them from the new server only.
        let mut newcomer = [Page::new(99, "hall")];
        newcomer[0].connect(&mut again);
        settle_all(&mut again, &mut newcomer);
        assert_eq!(newcomer[0].texts.iter().cloned().collect::<BTreeSet<_>>(), said, "seed {seed}");
    }
}

/// Two pages in a room.
fn two_in_the_hall() -> (StdRng, Simulation<Chat>, Page, Page) {
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    let mut pages = [0, 1].map(|number| Page::new(number, "hall"));
    pages.iter_mut().for_each(|page| page.connect(&mut sim));
    settle_all(&mut sim, &mut pages);
    let [speaker, away] = pages;
    (StdRng::seed_from_u64(1), sim, speaker, away)
}

/// More messages than a room keeps: the numbers from 0.
fn say_much(speaker: &mut Page, random: &mut StdRng) {
    for number in 0..1_200 {
        speaker.say(random, &number.to_string());
    }
}

#[test]
fn a_new_page_gets_the_last_fifty_and_a_late_one_learns_what_it_missed() {
    let (mut random, mut sim, mut speaker, mut away) = two_in_the_hall();
    away.peer = None;
    say_much(&mut speaker, &mut random);
    sim.run_for(10 * SECOND);
    speaker.listen();
    assert_eq!(speaker.texts.len(), 1_200);
    let mut newcomer = Page::new(2, "hall");
    newcomer.connect(&mut sim);
    away.connect(&mut sim);
    sim.run_for(SECOND);
    newcomer.listen();
    assert_eq!((newcomer.texts.len(), newcomer.texts[0].as_str(), newcomer.missed), (50, "1150", 0));
    assert!(newcomer.ages.iter().all(|age| (9_000..=11_000).contains(age)), "{:?}", newcomer.ages);
    away.listen();
    assert_eq!((away.texts.len(), away.texts[0].as_str(), away.missed), (1_000, "200", 200));
}

#[test]
fn a_message_appears_once_even_if_it_is_no_longer_kept() {
    let (mut random, mut sim, mut speaker, mut away) = two_in_the_hall();
    away.say(&mut random, "did you get that?");
    sim.run_for(SECOND);
    // Its connection breaks, with messages that it has not received.
    away.peer = None;
    say_much(&mut speaker, &mut random);
    sim.run_for(SECOND);
    speaker.listen();
    assert_eq!((speaker.texts.len(), speaker.texts[0].as_str()), (1_201, "did you get that?"));
    away.connect(&mut sim);
    let mut pages = [speaker, away];
    settle_all(&mut sim, &mut pages);
    assert_eq!((pages[1].pending.len(), pages[1].missed, pages[0].texts.len()), (0, 201, 1_201));
}

#[test]
fn rooms_are_separate_and_show_who_enters_leaves_and_types() {
    let mut random = StdRng::seed_from_u64(1);
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    let mut pages = vec![Page::new(0, "hall"), Page::new(1, " hall\t"), Page::new(2, "attic")];
    pages[1].name = pages[0].name.clone();
    pages.iter_mut().for_each(|page| page.connect(&mut sim));
    settle_all(&mut sim, &mut pages);
    let names: Vec<&str> = pages[0].people.values().map(String::as_str).collect();
    assert_eq!(names, ["user 0", "user 0 #2"], "two of one name can be told apart");
    pages[2].say(&mut random, "for the attic");
    pages[0].send(&json!("typing"));
    sim.run_for(SECOND);
    pages.iter_mut().for_each(Page::listen);
    assert_eq!((pages[0].texts.len(), pages[2].texts.len()), (0, 1));
    assert_eq!((pages[1].typing.clone(), pages[2].typing.0.len()), ((vec![pages[0].you], 0), 0));
    sim.run_for(5 * SECOND);
    pages[1].listen();
    assert_eq!(pages[1].typing.0.len(), 0, "nobody types for ever");
    pages[0].peer = None;
    settle(&mut sim, &mut pages[1..]);
    assert_eq!(pages[1].people.len(), 1);
    assert_eq!(pages[2].rooms, [("attic".to_owned(), 1), ("hall".to_owned(), 1)]);
    // The same page over a second connection replaces the first, of which the server may not know
    // that it is broken.
    let first = pages[1].peer.take();
    pages[1].connect(&mut sim);
    let you = pages[1].you;
    settle(&mut sim, &mut pages[1..]);
    assert_eq!((pages[1].people.len(), pages[1].you), (1, you));
    assert!(first.is_some_and(|peer| !peer.is_open()));
    // Empty rooms are removed, and then nothing ticks.
    pages.clear();
    sim.run_for(2 * 60 * 60 * SECOND);
    let turns = sim.turns();
    sim.run_for(60 * 60 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}

#[test]
fn nonsense_is_refused_and_memory_is_bounded() {
    let mut random = StdRng::seed_from_u64(1);
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    for nonsense in ["", "{}", "[1]", "{\"join\":1}", "{\"say\":{\"id\":\"1\"}}", "{\"leap\":{}}"] {
        let peer = sim.connect("/chat");
        peer.send(nonsense);
        sim.run_for(SECOND);
        assert!(!peer.is_open(), "{nonsense}");
    }
    let mut pages = vec![Page::new(0, "hall")];
    pages[0].connect(&mut sim);
    pages[0].say(&mut random, "before it is in, it waits");
    settle_all(&mut sim, &mut pages);
    assert_eq!(pages[0].texts.len(), 1);
    for (id, text) in [("1", "  "), ("no number", "text"), ("2", "x".repeat(8_193).as_str())] {
        pages[0].tell(id, text);
        settle(&mut sim, &mut pages);
        assert_eq!(pages[0].refused.pop().and_then(|(id, _)| id).as_deref(), Some(id));
    }
    // A room keeps 256 KiB.
    for _ in 0..60 {
        pages[0].say(&mut random, &"y".repeat(8_000));
    }
    settle_all(&mut sim, &mut pages);
    let mut late = Page::new(1, "hall");
    (late.server, late.last) = (pages[0].server.clone(), 1);
    late.connect(&mut sim);
    sim.run_for(SECOND);
    late.listen();
    assert_eq!((late.texts.len(), late.missed), (32, 28), "of 60 messages of 8,000 bytes");
}

#[test]
fn there_are_64_rooms_with_names_of_32_characters() {
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    let join = |sim: &mut Simulation<Chat>, room: &str, key: &str| {
        let peer = sim.connect("/chat");
        peer.send(&json!({"join": {"room": room, "name": room, "key": key, "server": "", "after": 0}}).to_string());
        sim.run_for(SECOND);
        peer
    };
    let names: Vec<String> = (0..64).map(|number| format!("{number:02}{}", "é".repeat(40))).collect();
    let mut peers: Vec<Peer> = names.iter().map(|name| join(&mut sim, name, "key")).collect();
    let short = format!("00{}", "é".repeat(30));
    let texts = peers[0].received_text();
    assert!(texts[0].contains(&format!("[[1,\"{short}\"]]")), "{texts:?}");
    let mut refused = Page::new(0, "one more");
    refused.connect(&mut sim);
    sim.run_for(SECOND);
    refused.listen();
    assert_eq!((refused.refused.len(), refused.is_in), (1, false));
    // A page that is refused stays in its room.
    let elsewhere = json!({"join": {"room": "one more", "name": "a", "key": "key", "server": "", "after": 0}});
    let guest = join(&mut sim, &names[1], "guest");
    guest.send(&elsewhere.to_string());
    sim.run_for(SECOND);
    guest.send(&json!({"say": {"id": "1", "text": "still here", "age": 0}}).to_string());
    sim.run_for(SECOND);
    let texts = guest.received_text();
    assert!(texts.iter().any(|text| text.contains("\"why\":\"rooms\"")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("still here")), "{texts:?}");
    drop(guest);
    // An empty room makes place for a new one.
    drop(peers.swap_remove(0));
    sim.run_for(SECOND);
    refused.join();
    sim.run_for(SECOND);
    refused.listen();
    assert!(refused.is_in && !refused.rooms.iter().any(|(name, _)| *name == short));
    let rude = join(&mut sim, "hall", &"k".repeat(65));
    assert!(!rude.is_open(), "a key has at most 64 bytes");
}

#[test]
fn a_page_that_returns_twice_in_one_period_is_announced_once() {
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    let join = json!({"join": {"room": "r", "name": "anna", "key": "k", "server": "", "after": 0}}).to_string();
    let watcher = sim.connect("/chat");
    watcher.send(&json!({"join": {"room": "r", "name": "bert", "key": "b", "server": "", "after": 0}}).to_string());
    sim.run_for(SECOND);
    let peers: Vec<Peer> = (0..3).map(|_| sim.connect("/chat")).collect();
    peers.iter().for_each(|peer| peer.send(&join));
    sim.run_for(SECOND);
    let texts = watcher.received_text();
    let announced: usize = texts.iter().filter(|text| text.contains("came")).map(|t| t.matches("anna").count()).sum();
    assert_eq!(announced, 1, "{texts:?}");
}

/// The page knows the server, and says that it has seen more messages than there are.
#[test]
fn a_page_that_has_seen_too_much_gets_nothing_and_stays() {
    let mut sim = Simulation::new(1, Config::default(), Chat::new(1));
    let join = |server: &str, after: u64| {
        json!({"join": {"room": "r", "name": "anna", "key": "k", "server": server, "after": after}}).to_string()
    };
    let first = sim.connect("/chat");
    first.send(&join("", 0));
    first.send(&json!({"say": {"id": format!("{:032x}", 1), "text": "hello", "age": 0}}).to_string());
    sim.run_for(SECOND);
    let welcome = |texts: Vec<String>| {
        let told = texts.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
        told.map(|told| told["welcome"].clone()).find(|told| !told.is_null()).expect("a welcome")
    };
    let server = welcome(first.received_text())["server"].as_str().expect("a name").to_owned();
    for (after, texts) in [(0, 1), (1, 0), (2, 0), (u64::MAX - 1, 0), (u64::MAX, 0)] {
        let peer = sim.connect("/chat");
        peer.send(&join(&server, after));
        sim.run_for(SECOND);
        assert!(peer.is_open(), "{after}");
        let welcome = welcome(peer.received_text());
        assert_eq!(welcome["messages"].as_array().map(Vec::len), Some(texts), "{after}");
        assert_eq!(welcome["missed"], 0, "{after}");
    }
}
