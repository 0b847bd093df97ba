//! What is saved of the pages that watch, and what becomes of it.

use super::watch::{Loop, Watcher};
use crate::site::carried_tests;
use lariat::ClientId;

fn id(number: u64) -> ClientId {
    ClientId::from_u64(number).expect("an id")
}

/// Two pages. Both follow the same connection.
fn watched() -> Loop {
    let mut watched = Loop::new(true);
    for (number, may_teach) in [(1, true), (2, false)] {
        let known = vec![3; 9];
        watched.watchers.insert(id(number), Watcher { may_teach, follows: Some(id(5)), missed: 4, known });
    }
    watched.opening = Some((id(6), true));
    watched
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let bytes = watched().saved().expect("it can be saved");
    let restored = carried_tests::check(&bytes, || Loop::new(true), Loop::restore_saved, Loop::saved);
    assert_eq!(restored.followers, [(id(5), vec![id(1), id(2)])].into());
    assert!(restored.watchers[&id(1)].may_teach && restored.watchers[&id(1)].known.is_empty());
    let mut strict = Loop::new(false);
    strict.restore_saved(&bytes).expect("it was saved");
    assert!(strict.watchers.values().all(|watcher| !watcher.may_teach), "the new process decides");
    carried_tests::damage(&bytes, || Loop::new(true), Loop::restore_saved, drop);
}
