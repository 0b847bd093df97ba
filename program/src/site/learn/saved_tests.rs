//! What is saved of the pages with lessons, and what becomes of it.

use super::handler::{Learn, Page};
use crate::site::carried_tests;
use lariat::ClientId;

fn id(number: u64) -> ClientId {
    ClientId::from_u64(number).expect("an id")
}

/// Two pages. One of them runs these experiments.
fn learn(running: &[u32]) -> Learn {
    let mut learn = Learn::default();
    learn.pages.insert(id(1), Page { running: running.iter().map(|on| (*on, id(9))).collect(), missed: 0 });
    learn.pages.insert(id(2), Page { missed: 4, ..Page::default() });
    learn.opening = Some((id(3), true));
    learn
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let bytes = learn(&[]).saved().expect("it can be saved");
    let restored = carried_tests::check(&bytes, Learn::default, Learn::restore_saved, Learn::saved);
    assert_eq!((restored.pages.len(), restored.pages[&id(2)].missed), (2, 4));
    assert_eq!(restored.opening, Some((id(3), true)));
    let bytes = learn(&[7, 8]).saved().expect("it can be saved");
    carried_tests::damage(&bytes, Learn::default, Learn::restore_saved, drop);
}

#[test]
fn experiments_are_over_for_the_process_that_takes_over() {
    let bytes = learn(&[7, 8]).saved().expect("it can be saved");
    let mut restored = Learn::default();
    restored.restore_saved(&bytes).expect("it was saved");
    assert_eq!(restored.left_behind, [(id(1), [7, 8].into())].into());
    assert!(restored.pages.values().all(|page| page.running.is_empty()));
}
