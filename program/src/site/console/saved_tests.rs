//! What the console saves, and what it makes of it.

use super::console::{Console, Watched, Watcher};
use crate::site::carried_tests;
use crate::site::traced::LastFrame;
use lariat::{ClientId, RestoreError};
use std::collections::HashMap;

fn restore(console: &mut Console, bytes: &[u8]) -> Result<(), RestoreError> {
    *console = Console::restored(bytes)?;
    Ok(())
}

fn id(number: u64) -> ClientId {
    ClientId::from_u64(number).expect("an id")
}

/// Two pages. One of them watches two connections.
fn console() -> Console {
    let mut console = Console::default();
    for (number, missed) in [(1, 0), (2, 9)] {
        let token = format!("token {number}");
        console.watchers.insert(id(number), Watcher { token, watched: HashMap::new(), missed });
    }
    for (number, on, key) in [(3, 7, None), (4, 8, Some([1, 2, 3, 4]))] {
        console.watched.insert(id(number), Watched { by: id(1), on, last: LastFrame { key, received: 300 } });
        console.watchers.get_mut(&id(1)).expect("a page").watched.insert(on, id(number));
    }
    console
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let bytes = console().saved().expect("it can be saved");
    let restored = carried_tests::check(&bytes, Console::default, restore, Console::saved);
    assert_eq!(restored.watchers[&id(1)].watched, [(7, id(3)), (8, id(4))].into());
    assert_eq!((restored.watchers[&id(2)].token.as_str(), restored.watchers[&id(2)].missed), ("token 2", 9));
    assert_eq!(restored.watched[&id(4)].last, LastFrame { key: Some([1, 2, 3, 4]), received: 300 });
}

#[test]
fn damage_causes_no_panic() {
    let bytes = console().saved().expect("it can be saved");
    carried_tests::damage(&bytes, Console::default, restore, |mut console| {
        for watched in console.watched.values_mut() {
            watched.last.shown(&[1, 2, 3]);
        }
    });
}
