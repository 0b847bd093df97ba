//! Several servers have the same rooms, even if they die, are cut off, or the engine between them
//! forgets everything.

use super::page::Page;
use crate::servers::{Servers, Troubles};
use lariat::sim::Peer;
use lariat_cli::site::Chat;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;

/// Runs for half a second. Pages without a connection come back to any server.
fn settle(servers: &mut Servers<Chat>, pages: &mut [Page], random: &mut StdRng) {
    servers.run_for_half_a_second();
    for page in pages {
        page.listen();
        page.send_again();
        if !page.is_connected() {
            page.connect(servers.any(random));
        }
    }
}

#[test]
fn several_servers_have_one_talk_while_they_die_and_are_cut_off() {
    let mut troubles = Troubles::default();
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut servers = Servers::new(seed, 3, Chat::new);
        let mut pages: Vec<Page> = (0..12).map(|number| Page::new(number, "hall")).collect();
        pages.iter_mut().for_each(|page| page.connect(servers.any(&mut random)));
        settle(&mut servers, &mut pages, &mut random);
        let mut said = BTreeSet::new();
        for _ in 0..20 {
            for page in &mut pages {
                if random.random_bool(0.4) {
                    let text = said.len().to_string();
                    page.say(&mut random, &text);
                    said.insert(text);
                }
                if random.random_bool(0.1) {
                    page.peer.take().inspect(Peer::reset);
                }
            }
            servers.disturb(&mut random, seed % 4 == 0);
            settle(&mut servers, &mut pages, &mut random);
        }
        let has_forgotten = servers.troubles.forgets > 0;
        troubles.add(servers.troubles);
        servers.restore();
        for _ in 0..60 {
            settle(&mut servers, &mut pages, &mut random);
        }
        for page in &pages {
            assert_eq!(page.pending.len(), 0, "seed {seed}: {}", page.name);
            assert_eq!(page.texts.len(), said.len(), "seed {seed}: {}: once each", page.name);
            assert_eq!(page.texts.iter().cloned().collect::<BTreeSet<_>>(), said, "seed {seed}: {}", page.name);
            // What was lost comes again, but not in the same order.
            if !has_forgotten {
                assert_eq!((page.missed, page.lost), (0, 0), "seed {seed}: {}", page.name);
                assert!(page.shown == pages[0].shown, "seed {seed}: {} has seen another order", page.name);
            }
            let names: BTreeSet<&String> = page.people.values().collect();
            assert_eq!((page.people.len(), names.len()), (12, 12), "seed {seed}: {}: {:?}", page.name, page.people);
            assert_eq!(page.rooms, [("hall".to_owned(), 12)], "seed {seed}: {}", page.name);
        }
    }
    println!("{troubles:?}");
    assert!(troubles.kills > 20 && troubles.cuts > 20 && troubles.forgets > 5);
}

/// The engine has lost the last message that a page has seen, and maybe given its place to another.
#[test]
fn a_page_is_told_if_the_history_is_not_the_one_that_it_has_seen() {
    let mut random = StdRng::seed_from_u64(1);
    let mut servers = Servers::new(1, 1, Chat::new);
    let mut pages = [Page::new(0, "hall"), Page::new(1, "hall")];
    pages.iter_mut().for_each(|page| page.connect(servers.any(&mut random)));
    for text in ["one", "two", "three"] {
        pages[0].say(&mut random, text);
        settle(&mut servers, &mut pages, &mut random);
    }
    assert_eq!((pages[1].texts.len(), pages[1].last, pages[1].lost), (3, 3, 0));
    let (two, three) = (pages[0].shown[1].clone(), pages[0].shown[2].clone());
    // What it has seen is there, another message has its place, or the history ends before it.
    for (last, id, lost) in [(3, &three, 0), (3, &two, 1), (4, &two, 1), (2, &two, 0), (2, &three, 1)] {
        let mut page = Page::new(2, "hall");
        (page.server, page.last, page.last_id) = (pages[0].server.clone(), last, id.clone());
        page.connect(servers.any(&mut random));
        let mut both = [page];
        settle(&mut servers, &mut both, &mut random);
        let what = format!("last {last}, {} texts", both[0].texts.len());
        assert_eq!((both[0].lost, both[0].missed), (lost, 0), "{what}");
        assert_eq!((both[0].last, both[0].server == pages[0].server), (3, true), "{what}");
    }
}
