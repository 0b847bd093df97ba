//! Everything goes on, while the program is upgraded three times.

use crate::apps::{Horse, Reader, Talker, Writer, talk, write};
use crate::common::{Wire, text};
use crate::kit::{Site, next, say, told};
use serde_json::{Value, json};

/// Returns the payload of the next frame that a console shows of its connection 7.
fn shown(console: &mut Wire) -> Value {
    let frame = next(console, "frame");
    assert_eq!(frame["on"], 7);
    frame["plain"].clone()
}

/// A client whose frames a console shows.
fn watched(site: &Site) -> (Wire, Wire) {
    let mut console = site.open("/console");
    let token = next(&mut console, "token");
    let echo = site.open(&format!("/echo?wire={}.7&plain", token.as_str().expect("a token")));
    (console, echo)
}

/// Sends "hi": the console shows it, and its echo.
fn show(console: &mut Wire, echo: &mut Wire) {
    echo.echo("hi");
    assert_eq!((shown(console), shown(console)), (json!("6869"), json!("6869")));
    say(console, &json!({"ping": {"on": 7, "payload": "?"}}));
    echo.expect(0x89, b"?");
    assert_eq!(shown(console), json!("3f"));
}

/// A page of the loop that follows a client of `/echo`.
fn follower(site: &Site) -> Wire {
    let mut page = site.open("/loop");
    next(&mut page, "hello");
    let follows = (0..64).any(|slot| {
        say(&mut page, &json!({"follow": slot}));
        loop {
            let message = told(&mut page);
            if let Some(follows) = message.get("follows") {
                return follows["route"] == "/echo";
            }
            if message.get("refused").is_some() {
                return false;
            }
        }
    });
    assert!(follows, "the client is in one of the first slots");
    page
}

/// An experiment ends with the process in which it runs. Its page learns that, and can go on.
#[test]
fn an_experiment_of_a_lesson_ends_and_its_page_goes_on() {
    let mut site = Site::new(&[]);
    let (mut busy, mut idle) = (site.open("/learn"), site.open("/learn"));
    let run = |on: u32, within: u32| json!({"run": {"on": on, "steps": [{"send": "47"}], "within": within}});
    for on in [3, 4] {
        say(&mut busy, &run(on, 5_000));
        assert_eq!(next(&mut busy, "did")["on"], on);
    }
    site.upgrade(|| {});
    for on in [3, 4] {
        let ended = next(&mut busy, "ended");
        assert_eq!((&ended["on"], &ended["how"]), (&json!(on), &json!("moved")));
    }
    for page in [&mut busy, &mut idle] {
        say(page, &run(3, 10));
        let ended = next(page, "ended");
        assert_eq!((&ended["on"], &ended["how"]), (&json!(3), &json!("time")));
    }
}

#[test]
fn every_app_goes_on_through_three_upgrades() {
    let mut site = Site::new(&[]);
    let mut talkers = vec![Talker::enter(site.addr, "Ada").0, Talker::enter(site.addr, "Bo").0];
    let mut writers = vec![Writer::enter(&site, 1), Writer::enter(&site, 2)];
    let mut horses = ["Cy", "Dot"].map(|name| Horse::enter(&site, name));
    let mut reader = Reader::enter(&site);
    let mut followed = site.open("/echo");
    let mut page = follower(&site);
    let (mut console, mut echo) = watched(&site);
    let mut index = site.open("/");
    let (name, mut tick) = (horses[0].ask_name(), 0);
    talk(&mut talkers);
    for round in 1..=3 {
        site.upgrade(|| {
            talk(&mut talkers);
            write(&mut writers);
            show(&mut console, &mut echo);
            followed.echo("followed");
        });
        talk(&mut talkers);
        write(&mut writers);
        show(&mut console, &mut echo);
        // Nobody begins anew.
        reader.read(5);
        for horse in &mut horses {
            horse.wire.send(&crate::common::binary(&[round, 0, 0x60, 0x10]));
            tick = horse.ride_until(tick);
        }
        assert_eq!(horses[0].ask_name(), name);
        let (mut newcomer, welcome) = Talker::enter(site.addr, "Newcomer");
        assert_eq!((&newcomer.server, newcomer.last), (&talkers[0].server, talkers[0].last));
        assert_eq!(welcome["people"].as_array().map(Vec::len), Some(3), "{welcome}");
        talkers.iter_mut().chain([&mut newcomer]).for_each(|talker| talker.wire.send(&[]));
        assert_eq!(Writer::enter(&site, 100 + u64::from(round)).text(), writers[0].text());
        // The page of the loop gets reports, and each line of the client that it follows.
        next(&mut page, "turns");
        followed.echo("once more");
        while next(&mut page, "line")["text"].as_str() != Some("< TEXT [9 bytes, masked]") {}
    }
    // The index counts on: a client more is told.
    let counts = |index: &mut Wire| told(index)["/broadcast"].as_u64().expect("a count");
    let _more = site.open("/broadcast");
    while counts(&mut index) == 0 {}
    drop((talkers, writers, horses, reader, followed, page));
    drop((console, echo, index, _more));
    site.program().signal("TERM");
    assert!(site.program().wait().success());
    assert!(!std::path::Path::new(&site.socket()).exists(), "the last process removes the socket");
}

#[test]
fn two_loops_are_upgraded_as_well() {
    let mut site = Site::new(&["--loops", "2"]);
    let mut talkers: Vec<Talker> = ["Ada", "Bo", "Cyd", "Dora"].map(|name| Talker::enter(site.addr, name).0).into();
    let mut echoes: Vec<Wire> = (0..4).map(|_| site.open("/echo")).collect();
    for _ in 0..3 {
        site.upgrade(|| {
            talk(&mut talkers);
            echoes.iter_mut().for_each(|echo| echo.echo("hello"));
        });
        talk(&mut talkers);
    }
    let mut broadcast = [site.open("/broadcast"), site.open("/broadcast")];
    broadcast[0].send(&text("to all"));
    broadcast.iter_mut().for_each(|client| client.expect_text("to all"));
}

/// Most of the room's history has been removed, and so have old edits of the document.
#[test]
fn a_long_history_goes_along() {
    let mut site = Site::new(&[]);
    let mut talkers = vec![Talker::enter(site.addr, "Ada").0];
    (0..400).for_each(|_| talk(&mut talkers));
    let mut writers = vec![Writer::enter(&site, 1), Writer::enter(&site, 2)];
    (0..200).for_each(|_| write(&mut writers));
    site.upgrade(|| talk(&mut talkers));
    write(&mut writers);
    let mut back = site.open("/chat");
    let join = json!({"room": "lobby", "name": "Bo", "key": "Bo", "server": talkers[0].server, "after": 100});
    say(&mut back, &json!({"join": join}));
    let welcome = next(&mut back, "welcome");
    let messages = welcome["messages"].as_array().expect("a list");
    assert_eq!((messages.len(), &welcome["missed"]), (1_000, &json!(talkers[0].last - 1_100)));
    assert_eq!(messages[0]["text"], format!("Ada {}", talkers[0].last - 999));
    assert_eq!(messages[999]["n"], talkers[0].last);
    // What was said before is known.
    say(&mut back, &json!({"say": {"id": "4100000001", "text": "Ada 1", "age": 0}}));
    say(&mut back, &json!({"say": {"id": format!("41{:08x}", talkers[0].last), "text": "again", "age": 0}}));
    assert_eq!(next(&mut back, "said").as_str().map(|id| id.len()), Some(10));
}
