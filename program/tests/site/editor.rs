//! All pages have the same text in the end, even if they write at the same time, connections break
//! and the server restarts.

mod operation;
mod page;
mod servers;

use lariat::Config;
use lariat::sim::{Faults, Peer, Simulation};
use lariat_cli::site::Editor;
use operation::{change, operation, random_operation, random_text, units};
use page::{Page, assert_agree, pages, settle, settle_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_thousand_people_in_one_document_see_the_same_text_while_they_write_enter_and_leave() {
    let mut random = StdRng::seed_from_u64(5);
    let mut sim = Simulation::new(5, Config::default(), Editor::new(1));
    let mut pages = pages(1_000, "hall", &mut sim);
    for _ in 0..4 {
        for _ in 0..40 {
            let page = random.random_range(0..pages.len());
            let text = pages[page].text();
            let (place, out) = (random.random_range(0..=text.chars().count()), random.random_range(0..3));
            let put = random_text(&mut random, 6);
            pages[page].edit(change(&text, place, out, &put));
        }
        for _ in 0..40 {
            if let Some(peer) = &pages[random.random_range(0..1_000)].peer {
                peer.reset();
            }
        }
        settle(&mut sim, &mut pages);
    }
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after 4 rounds");
    assert!(pages[0].revision >= 150, "{}", pages[0].revision);
    assert_eq!(sim.clients().len(), 1_000, "those who broke off are gone");
    for page in &pages {
        assert!(page.people == pages[0].people && page.people.contains_key(&page.you), "{}", page.author);
        assert_eq!((page.people.len(), &page.documents[..]), (1_000, &[("hall".to_owned(), 1_000)][..]));
        let inside = |at: &(usize, usize)| at.0.max(at.1) <= units(&page.base).len();
        assert!(page.people.values().filter_map(|(_, at)| at.as_ref()).all(inside), "selections are in the text");
    }
}

#[test]
fn network_faults_do_no_harm() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Editor::new(1));
        let mut pages = pages(15, "hall", &mut sim);
        let mut faults = Faults::rough();
        faults.reset = 0.02;
        sim.set_faults(faults);
        for _ in 0..10 {
            for page in &mut pages {
                let text = page.text();
                let length = text.chars().count();
                page.edit(match length {
                    0..100 => random_operation(&mut random, &text),
                    _ => change(&text, random.random_range(0..length), 5, &random_text(&mut random, 5)),
                });
                if random.random_bool(0.1) {
                    page.peer = None;
                }
            }
            settle(&mut sim, &mut pages);
        }
        sim.set_faults(Faults::none());
        settle_all(&mut sim, &mut pages);
        assert_agree(&pages, &format!("seed {seed}"));
        assert!(pages.iter().all(|page| page.inexact == 0), "seed {seed}");
        assert_eq!(pages[0].authors, (1..=15).map(|author| (author, 10)).collect(), "seed {seed}: each edit, once");
    }
}

#[test]
fn a_restarted_server_gets_the_text_from_its_pages() {
    let mut exact = 0;
    for seed in 0..30 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Editor::new(1));
        let mut pages = pages(12, "hall", &mut sim);
        pages[0].write(0, "<begin>");
        settle_all(&mut sim, &mut pages);
        let mut words = BTreeSet::from(["begin".to_owned()]);
        for round in 0..3_u64 {
            for page in &mut pages {
                let word = format!("{}.{round}", page.author);
                let end = page.text().chars().count();
                page.write(if random.random_bool(0.5) { 0 } else { end }, &format!("<{word}>"));
                words.insert(word);
            }
            // The server dies while edits are in flight, and the pages come back one after the
            // other.
            for _ in 0..random.random_range(0..60) {
                sim.step();
                let page = random.random_range(0..pages.len());
                pages[page].listen();
            }
            let mut again = Simulation::new(seed, Config::default(), Editor::new(1_000 * (round + 1)));
            for at in 0..pages.len() {
                let other = random.random_range(at..pages.len());
                pages.swap(at, other);
                pages[at].connect(&mut again);
                for _ in 0..random.random_range(0..20) {
                    again.step();
                    pages[..=at].iter_mut().for_each(Page::listen);
                }
            }
            drop(std::mem::replace(&mut sim, again));
        }
        settle_all(&mut sim, &mut pages);
        assert_agree(&pages, &format!("seed {seed}"));
        let sorted = |text: &str| {
            let mut characters: Vec<char> = text.chars().collect();
            characters.sort_unstable();
            characters
        };
        let all: String = words.iter().map(|word| format!("<{word}>")).collect();
        assert_eq!(sorted(&pages[0].base), sorted(&all), "seed {seed}: all of it, once: {}", pages[0].base);
        // A merge by comparison may have put a word into another one.
        let is_exact = pages.iter().all(|page| page.inexact == 0);
        exact += usize::from(is_exact);
        let is_there = |word: &String| pages[0].base.contains(&format!("<{word}>"));
        assert!(!is_exact || words.iter().all(is_there), "seed {seed}: {}", pages[0].base);
    }
    assert!(exact > 20, "{exact}");
}

#[test]
fn a_late_page_gets_the_whole_text_and_keeps_its_edits() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let mut pages = pages(2, "hall", &mut sim);
    pages[0].write(0, "begin end");
    settle_all(&mut sim, &mut pages);
    let away = &mut pages[1];
    away.peer = None;
    away.write(5, ", written far away,");
    // More edits than the server remembers.
    for _ in 0..17 {
        pages[0].write(9, &"x".repeat(4_000));
        let text = pages[0].text();
        pages[0].edit(change(&text, 9, 3_999, ""));
        settle_all(&mut sim, &mut pages[..1]);
    }
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "in the end");
    assert_eq!(pages[0].base, format!("begin, written far away, end{}", "x".repeat(17)));
    assert_eq!((pages[0].inexact, pages[1].inexact), (0, 1));
    // A page that is in the document but too slow also gets the whole text.
    let old = json!({"edit": {"by": 2, "n": 99, "operation": ["late "], "revision": 0, "selection": null}});
    pages[1].send(&old);
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after an edit of long ago");
    assert!(!pages[0].base.contains("late"), "it is the page's to send again");
}

#[test]
fn documents_are_separate_and_selections_move_with_the_text() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let mut pages = pages(3, "hall", &mut sim);
    pages[2].document = "attic";
    pages[2].join();
    pages[0].write(0, "some words 👋");
    settle_all(&mut sim, &mut pages);
    assert_eq!((pages[1].base.as_str(), pages[2].base.as_str()), ("some words 👋", ""));
    assert_eq!(pages[2].documents, [("attic".to_owned(), 1), ("hall".to_owned(), 2)]);
    assert_eq!((pages[0].people.len(), pages[2].people.len()), (2, 1));
    pages[1].send(&json!({"select": {"revision": 1, "selection": [5, 10]}}));
    settle(&mut sim, &mut pages);
    let selected = |page: &Page, who: u64| page.people[&who].1;
    let who = pages[1].you;
    assert_eq!(selected(&pages[0], who), Some((5, 10)));
    pages[0].write(0, "but ");
    settle(&mut sim, &mut pages);
    assert_eq!(selected(&pages[0], who), Some((9, 14)));
    // A new page that has not seen the selection move, and a page that sends its selection from
    // before the text moved.
    let mut late = Page::new(9, "hall");
    late.connect(&mut sim);
    settle(&mut sim, &mut pages);
    late.listen();
    assert_eq!(selected(&late, who), Some((9, 14)));
    pages[1].send(&json!({"select": {"revision": 1, "selection": [1u64 << 40, 0]}}));
    settle(&mut sim, &mut pages);
    assert_eq!(selected(&pages[0], who), Some((17, 0)), "not beyond the end");
    // The same page over a second connection replaces the first.
    let first = pages[1].peer.take();
    pages[1].connect(&mut sim);
    settle_all(&mut sim, &mut pages);
    assert!(first.is_some_and(|peer| !peer.is_open()));
    assert_eq!(pages[0].people.len(), 3);
}

#[test]
fn nonsense_is_refused_and_all_limits_hold() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    for nonsense in [
        "",
        "{}",
        "[1]",
        "{\"join\":1}",
        "{\"edit\":{\"by\":1}}",
        "{\"restore\":{\"text\":\"\",\"authors\":[],\"edits\":[]}}",
    ] {
        let peer = sim.connect("/editor");
        peer.send(nonsense);
        sim.run_for(SECOND);
        assert!(!peer.is_open(), "{nonsense}");
    }
    let mut pages = pages(2, "hall", &mut sim);
    pages[0].write(0, &"é".repeat(65_536));
    settle_all(&mut sim, &mut pages);
    assert_eq!(units(&pages[1].base).len(), 65_536);
    pages[1].write(7, "x");
    pages[1].edit(operation(json!([-9, 65_528])));
    settle_all(&mut sim, &mut pages);
    assert_eq!(pages[1].refused, ["length"]);
    pages[1].refused.clear();
    assert_agree(&pages, "what was refused is taken back, and what followed it goes on");
    assert_eq!(units(&pages[0].base).len(), 65_528);
    // For another text, splitting a character, at too many places at once: none of them has an
    // effect.
    let many: Vec<Value> = (0..1_000).flat_map(|_| [json!(1), json!("x")]).chain([json!(64_528)]).collect();
    for (n, nonsense) in [(90, json!([1])), (91, json!(many))] {
        pages[1].send(&json!({"edit": {"by": 2, "n": n, "operation": nonsense, "revision": 2, "selection": null}}));
    }
    pages[1].send(
        &json!({"edit": {"by": 2, "n": 92, "operation": ["x", 65_528], "revision": 99, "selection": [99_999_999, 1]}}),
    );
    settle_all(&mut sim, &mut pages);
    assert_agree(&pages, "after nonsense");
    assert_eq!(pages[0].revision, 2);
}

#[test]
fn a_restored_document_is_checked() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let join = json!({"join": {"document": "hall", "name": "", "author": 1, "lineage": [[5, 3]]}});
    for (text, is_taken) in [("x".repeat(65_537), false), ("a\rb".into(), false), ("text".to_owned(), true)] {
        let peer = sim.connect("/editor");
        peer.send(&join.to_string());
        sim.run_for(SECOND);
        assert_eq!(peer.received_text(), ["\"lost\""]);
        // The first edit does not lead to the second.
        let edits = json!([{"by": 7, "n": 1, "operation": ["zz"]}, {"by": 7, "n": 2, "operation": [3, "t"]}]);
        peer.send(&json!({"restore": {"text": text, "authors": [[7, 2]], "edits": edits}}).to_string());
        sim.run_for(SECOND);
        let told = peer.received_text().concat();
        assert_eq!(told.contains("\"since\":3,\"edits\":[]"), is_taken, "{told}");
        assert_eq!(told.contains("\"full\""), !is_taken, "{told}");
    }
    let mut page = Page::new(3, "hall");
    (page.lineage, page.revision, page.base) = (vec![(5, 2)], 2, "tex".into());
    page.connect(&mut sim);
    sim.run_for(SECOND);
    page.listen();
    assert_eq!((page.base.as_str(), page.revision, page.history.len()), ("text", 3, 1), "by the one edit that fits");
}

#[test]
fn there_are_64_documents_and_empty_ones_are_removed() {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(1));
    let join = |sim: &mut Simulation<Editor>, document: &str| {
        let peer = sim.connect("/editor");
        peer.send(&json!({"join": {"document": document, "name": "", "author": 1, "lineage": []}}).to_string());
        sim.run_for(SECOND);
        peer
    };
    let mut peers: Vec<Peer> = (0..64).map(|number| join(&mut sim, &format!(" document {number:02}\n"))).collect();
    let refused = join(&mut sim, "one more");
    assert_eq!(refused.received_text(), ["{\"full\":\"documents\"}"]);
    // An empty document makes place for a new one.
    drop(peers.swap_remove(0));
    sim.run_for(SECOND);
    let peer = join(&mut sim, "one more");
    let told = peer.received_text().concat();
    assert!(told.contains("[\"one more\",1]") && !told.contains("document 00"), "{told}");
    assert!(told.contains("document 63"), "{told}");
    drop((peers, peer, refused));
    sim.run_for(59 * 60 * SECOND);
    let again = join(&mut sim, "document 01");
    assert!(again.received_text().concat().contains("document 02"));
    drop(again);
    sim.run_for(2 * 60 * 60 * SECOND);
    let turns = sim.turns();
    sim.run_for(60 * 60 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}
