//! Operations: two lead to the same text in either order, and pages get the same results.

use lariat_cli::site::Operation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

pub fn string(units: &[u16]) -> String {
    String::from_utf16(units).expect("no character is taken apart")
}

pub fn apply(text: &str, operation: &Operation) -> String {
    string(&operation.apply(&units(text)).expect("it is for this text"))
}

pub fn operation(json: Value) -> Operation {
    serde_json::from_value(json).expect("an operation")
}

pub fn random_text(random: &mut StdRng, longest: usize) -> String {
    let some = ['a', 'b', '1', '-', ' ', '\n', 'é', '世', '👋', '🏽'];
    (0..random.random_range(0..=longest)).map(|_| some[random.random_range(0..some.len())]).collect()
}

/// Returns an operation with many changes at many places.
pub fn random_operation(random: &mut StdRng, text: &str) -> Operation {
    let mut operation = Operation::default();
    for character in text.chars() {
        if random.random_bool(0.15) {
            operation.insert(&units(&random_text(random, 3)));
        }
        match random.random_bool(0.2) {
            true => operation.delete(character.len_utf16()),
            false => operation.retain(character.len_utf16()),
        }
    }
    operation.insert(&units(&random_text(random, 2)));
    operation
}

/// Returns one change at one place, as when typing: so many characters are deleted, and this text
/// is inserted.
pub fn change(text: &str, place: usize, out: usize, put: &str) -> Operation {
    let length = |text: &mut dyn Iterator<Item = char>| text.map(char::len_utf16).sum();
    let mut characters = text.chars();
    let mut operation = Operation::default();
    operation.retain(length(&mut characters.by_ref().take(place)));
    operation.insert(&units(put));
    operation.delete(length(&mut characters.by_ref().take(out)));
    operation.retain(length(&mut characters));
    operation
}

/// Returns one change from a text to another one.
pub fn difference(before: &str, after: &str) -> Operation {
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = rest.take_while(|(old, new)| old == new).count();
    change(before, start, old.len() - end - start, &new[start..new.len() - end].iter().collect::<String>())
}

/// Returns the operation that undoes an operation on this text.
pub fn invert(text: &str, operation: &Operation) -> Operation {
    let (text, mut at, mut inverse) = (units(text), 0, Operation::default());
    for part in serde_json::to_value(operation).expect("JSON").as_array().expect("a list") {
        match part.as_i64() {
            None => inverse.delete(units(part.as_str().expect("a text")).len()),
            Some(length) if length > 0 => inverse.retain(length as usize),
            Some(length) => inverse.insert(&text[at..at + length.unsigned_abs() as usize]),
        }
        at += part.as_i64().unwrap_or_default().unsigned_abs() as usize;
    }
    inverse
}

#[test]
fn two_operations_lead_to_the_same_text_in_either_order() {
    for seed in 0..5_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let text = random_text(&mut random, 20);
        let (first, second) = (random_operation(&mut random, &text), random_operation(&mut random, &text));
        let (first_after, second_after) = first.transform(&second).expect("of one text");
        let both = apply(&apply(&text, &first), &second_after);
        assert_eq!(apply(&apply(&text, &second), &first_after), both, "seed {seed}");
        assert_eq!((first.len_before(), first.len_after()), (units(&text).len(), units(&apply(&text, &first)).len()));
        let again: Operation = operation(serde_json::to_value(&first).expect("JSON"));
        assert_eq!(again, first, "seed {seed}");
        let places = (0..=units(&text).len()).map(|place| first.transform_place(place));
        assert!(places.is_sorted() && first.transform_place(units(&text).len()) <= first.len_after(), "seed {seed}");
        let longer = Operation::default().transform(&first);
        assert_eq!(longer.is_some(), text.is_empty(), "only of texts of one length");
    }
}

#[test]
fn pages_get_the_same_results() {
    #[derive(Deserialize)]
    struct Case {
        text: String,
        first: Operation,
        second: Operation,
        first_after: Operation,
        second_after: Operation,
        both: String,
        places: Vec<usize>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("../operations.json")).expect("cases");
    assert!(cases.len() >= 100);
    for case in cases {
        let after = case.first.transform(&case.second);
        assert_eq!(after, Some((case.first_after, case.second_after.clone())), "{:?}", case.text);
        assert_eq!(apply(&apply(&case.text, &case.first), &case.second_after), case.both);
        let places: Vec<usize> = (0..case.places.len()).map(|place| case.first.transform_place(place)).collect();
        assert_eq!(places, case.places, "{:?}", case.text);
    }
}

#[test]
fn invalid_operations_are_refused() {
    for nonsense in [
        json!([0]),
        json!(["a\rb"]),
        json!([1.5]),
        json!([null]),
        json!(7),
        json!([1u64 << 60]),
        json!([-(1i64 << 60)]),
        json!([i64::MIN]),
        json!([1 << 24, 1 << 24]),
    ] {
        assert!(serde_json::from_value::<Operation>(nonsense.clone()).is_err(), "{nonsense}");
    }
    assert!(serde_json::from_str::<Operation>(r#"["\ud83d"]"#).is_err(), "half a character");
    let wave = units("👋");
    assert_eq!(operation(json!([1, "x", 1])).apply(&wave), None, "it would be taken apart");
    assert_eq!(operation(json!([-1, 1])).apply(&wave), None);
    assert_eq!(operation(json!([3])).apply(&wave), None, "too long");
    assert_eq!(operation(json!([1, "", 1, -1, "b", -2])), operation(json!([2, "b", -3])), "what is equal is the same");
}
