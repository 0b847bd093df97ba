//! What the editor saves, and what it makes of it.

use super::document::Catch;
use super::handler::Editor;
use crate::site::carried_tests;
use lariat::sim::{Peer, Simulation};
use lariat::{Config, RestoreError};

fn restore(editor: &mut Editor, bytes: &[u8]) -> Result<(), RestoreError> {
    *editor = Editor::restored(bytes)?;
    Ok(())
}

fn say(sim: &mut Simulation<Editor>, peer: &Peer, what: &str) {
    peer.send(what);
    sim.run_until_idle();
}

fn join(sim: &mut Simulation<Editor>, author: u64, document: &str, lineage: &str) -> Peer {
    let peer = sim.connect("/editor");
    let join = format!(r#""document":"{document}","name":"user {author}","author":{author},"lineage":{lineage}"#);
    say(sim, &peer, &format!(r#"{{"join":{{{join}}}}}"#));
    peer
}

/// An editor with two documents, and a page that was asked for its copy.
fn editor() -> Simulation<Editor> {
    let mut sim = Simulation::new(1, Config::default(), Editor::new(7));
    let ada = join(&mut sim, 1, "notes", "[]");
    let bob = join(&mut sim, 2, "notes", "[]");
    let _others = [join(&mut sim, 3, "plans", "[]"), join(&mut sim, 4, "past", "[[9,5]]")];
    say(&mut sim, &ada, r#"{"edit":{"by":1,"n":1,"operation":["h\u00e9llo"],"revision":0,"selection":[5,5]}}"#);
    say(&mut sim, &bob, r#"{"edit":{"by":2,"n":1,"operation":[3,"-",-2],"revision":1,"selection":null}}"#);
    say(&mut sim, &bob, r#"{"select":{"revision":2,"selection":[1,2]}}"#);
    sim
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let sim = editor();
    let bytes = sim.handler().saved().expect("it can be saved");
    let editor = carried_tests::check(&bytes, || Editor::new(0), restore, Editor::saved);
    assert_eq!((editor.places.len(), editor.asked.len()), (3, 1));
    let notes = &editor.documents["notes"];
    assert_eq!(String::from_utf16_lossy(notes.text()), "hél-");
    assert_eq!(notes.everybody().iter().map(|person| person.2).collect::<Vec<_>>(), [Some((4, 4)), Some((1, 2))]);
    // A page that was away at the first revision gets the second one.
    let Catch::Edits(1, edits) = notes.catch_up(&[(notes.life(), 1)]) else { panic!("the edits are kept") };
    assert_eq!((edits.len(), edits[0].by), (1, 2));
}

/// Pages come, write and leave.
#[test]
fn damage_causes_no_panic() {
    let bytes = editor().handler().saved().expect("it can be saved");
    let use_it = |mut editor: Editor| {
        (editor.sending, editor.ticking) = (None, None);
        let mut sim = Simulation::new(2, Config::default(), editor);
        let peer = join(&mut sim, 1 << 40, "notes", "[]");
        say(&mut sim, &peer, r#"{"edit":{"by":9,"n":1,"operation":["x",4],"revision":1,"selection":[1,1]}}"#);
        say(&mut sim, &peer, r#"{"edit":{"by":9,"n":2,"operation":["x",4],"revision":2,"selection":[1,1]}}"#);
        say(&mut sim, &peer, r#"{"select":{"revision":0,"selection":[1,2]}}"#);
        sim.run_for(std::time::Duration::from_secs(1));
        assert!(peer.is_open(), "a panic would end it");
    };
    carried_tests::damage(&bytes, || Editor::new(0), restore, use_it);
}
