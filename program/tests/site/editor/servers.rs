//! Several servers have the same documents, even if they die, are cut off, or the engine between
//! them forgets everything.

use super::page::{Page, assert_agree};
use crate::servers::{Servers, Troubles};
use lariat::sim::Peer;
use lariat_cli::site::Editor;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Runs for half a second. Pages without a connection come back to any server.
fn settle(servers: &mut Servers<Editor>, pages: &mut [Page], random: &mut StdRng) {
    servers.run_for_half_a_second();
    for page in pages {
        page.listen();
        if !page.is_connected() {
            page.connect(servers.any(random));
        }
    }
}

#[test]
fn several_servers_have_one_text_while_they_die_and_are_cut_off() {
    let (mut troubles, mut begun_anew) = (Troubles::default(), 0);
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut servers = Servers::new(seed, 3, Editor::new);
        let mut pages: Vec<Page> = (1..=8).map(|author| Page::new(author, "hall")).collect();
        pages.iter_mut().for_each(|page| page.connect(servers.any(&mut random)));
        settle(&mut servers, &mut pages, &mut random);
        let mut words = Vec::new();
        for round in 0..20 {
            for page in &mut pages {
                for part in 0..random.random_range(0..3) {
                    let word = format!("<{}.{round}.{part}>", page.author);
                    let text = page.text();
                    let places: Vec<usize> = text.match_indices('<').map(|(at, _)| at).chain([text.len()]).collect();
                    page.write(places[random.random_range(0..places.len())], &word);
                    words.push(word);
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
        for _ in 0..120 {
            settle(&mut servers, &mut pages, &mut random);
        }
        assert_agree(&pages, &format!("seed {seed}"));
        // A page that has seen nothing yet may begin a forgotten document before the others are
        // back. These then show what they had, beside the document.
        let is_begun_anew = pages.iter().any(|page| page.aside > 0);
        assert!(has_forgotten || !is_begun_anew, "seed {seed}");
        begun_anew += u32::from(is_begun_anew);
        for word in words.iter().filter(|_| !is_begun_anew) {
            assert_eq!(pages[0].base.matches(word).count(), 1, "seed {seed}: {word} in {}", pages[0].base);
        }
        let inexact: usize = pages.iter().map(|page| page.inexact).sum();
        assert!(has_forgotten || inexact == 0, "seed {seed}: {inexact}");
        for page in &pages {
            assert_eq!(page.people.len(), 8, "seed {seed}: {}: {:?}", page.author, page.people);
            assert_eq!(page.documents, [("hall".to_owned(), 8)], "seed {seed}: {}", page.author);
        }
    }
    println!("{troubles:?}; documents begun anew: {begun_anew}");
    assert!(troubles.kills > 20 && troubles.cuts > 20 && troubles.forgets > 5 * begun_anew.max(1));
}

/// A page that comes back before its server has noticed that its connection is broken is one person
/// for all servers.
#[test]
fn a_person_who_is_replaced_leaves_the_lists_of_all_servers() {
    let mut random = StdRng::seed_from_u64(1);
    let mut servers = Servers::new(1, 2, Editor::new);
    let mut pages = [Page::new(1, "hall"), Page::new(2, "hall")];
    pages[0].connect(servers.at(0));
    pages[1].connect(servers.at(1));
    let mut before = Vec::new();
    for _ in 0..3 {
        for _ in 0..6 {
            settle(&mut servers, &mut pages, &mut random);
        }
        for page in &pages {
            assert_eq!(page.people.len(), 2, "{}: {:?}", page.author, page.people);
        }
        // The old connection stays.
        before.push(pages[0].peer.take());
        pages[0].connect(servers.at(0));
    }
}
