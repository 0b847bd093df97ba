//! What is saved of a class, and what becomes of it.

use super::handler::{Class, Page};
use super::messages::Said;
use crate::site::carried_tests;
use lariat::ClientId;

fn id(number: u64) -> ClientId {
    ClientId::from_u64(number).expect("an id")
}

/// A teacher, a learner with an answer, and a page that has not joined.
fn class() -> Class {
    let mut class = Class::new(true);
    class.teachers.push(id(1));
    class.pages = [(id(2), Page { messages: 3 }), (id(3), Page::default())].into();
    class.roll.join(id(2), "0123456789abcdef".repeat(2), "Ada".to_owned(), "mask".to_owned()).expect("there is room");
    let said =
        |choice: &str| Said { lesson: "mask".to_owned(), question: "same".to_owned(), choice: choice.to_owned() };
    assert!(class.roll.note(0, &said("same"), false) && class.roll.note(0, &said("different"), true));
    class.opening = Some((id(4), false));
    class
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let bytes = class().saved().expect("it can be saved");
    let restored = carried_tests::check(&bytes, || Class::new(true), Class::restore_saved, Class::saved);
    assert_eq!(restored.roll, class().roll);
    assert_eq!((restored.pages, restored.teachers), (class().pages, vec![id(1)]));
    let mut other = Class::new(false);
    other.restore_saved(&bytes).expect("it was saved");
    assert!(other.teachers.is_empty() && other.opening.is_none(), "the new process decides");
    carried_tests::damage(&bytes, || Class::new(true), Class::restore_saved, drop);
}
