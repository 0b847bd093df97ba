//! The class: who may teach, what the teacher sees, what learners see while the loop is held, and
//! what a hostile learner cannot do.

use lariat::http::{HeaderName, HeaderValue};
use lariat::observe::Pace;
use lariat::sim::{Peer, Simulation};
use lariat::{Config, ConnectOptions, OwnedMessage};
use lariat_cli::site::{Options, Site};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn simulation(classroom: bool) -> Simulation<Site> {
    let mut options = Options::default();
    (options.teach, options.classroom) = (true, classroom);
    Simulation::new(1, Config::default(), Site::new(&options))
}

fn open(sim: &mut Simulation<Site>, ip: &str, host: &str, path: &str) -> Peer {
    let origin = HeaderValue::from_str(&format!("http://{host}")).expect("a value");
    let options = ConnectOptions::new().header(HeaderName::from_static("origin"), origin);
    let ip: IpAddr = ip.parse().expect("an address");
    let peer = sim.connect_by(ip, &format!("ws://{host}{path}"), &options).expect("a URL and headers");
    sim.run_until_idle();
    peer
}

fn learner(sim: &mut Simulation<Site>) -> Peer {
    open(sim, "10.0.0.7", "10.0.0.1", "/learn/class")
}

fn teacher(sim: &mut Simulation<Site>) -> Peer {
    open(sim, "127.0.0.1", "localhost", "/learn/class?teach")
}

fn say(sim: &mut Simulation<Site>, peer: &Peer, what: &Value) {
    peer.send(&what.to_string());
    sim.run_until_idle();
}

fn key(number: u64) -> String {
    format!("{number:032x}")
}

fn join(sim: &mut Simulation<Site>, peer: &Peer, name: &str, number: u64) {
    say(sim, peer, &json!({"join": {"name": name, "key": key(number), "lesson": "mask"}}));
}

fn said(choice: &str) -> Value {
    json!({"lesson": "mask", "question": "same", "choice": choice})
}

fn told(peer: &Peer) -> Vec<Value> {
    let text = |message| match message {
        OwnedMessage::Text(text) => serde_json::from_str(text.as_str()).expect("JSON"),
        OwnedMessage::Binary(bytes) => panic!("{bytes:?}"),
    };
    peer.received().into_iter().map(text).collect()
}

fn is_closed(peer: &Peer) -> bool {
    !peer.is_open()
}

#[test]
fn the_teacher_sees_each_learner_and_each_answer() {
    let mut sim = simulation(true);
    let page = learner(&mut sim);
    assert_eq!(told(&page), [json!({"pace": {"held": false, "steps": 0}})]);
    join(&mut sim, &page, "  Ada\u{202e}\u{7} ", 1);
    assert_eq!(told(&page), [json!({"number": 0})]);
    let teacher = teacher(&mut sim);
    let ada = json!({"number": 0, "name": "Ada", "lesson": "mask", "here": true});
    assert_eq!(told(&teacher)[0]["class"]["learners"], json!([[ada, []]]));
    let answer = |expected: &str, happened: Value| json!({"answer": {"number": 0, "lesson": "mask", "question": "same", "expected": expected, "happened": happened}});
    say(&mut sim, &page, &json!({"saw": said("different")}));
    assert_eq!(told(&teacher), Vec::<Value>::new(), "nothing was expected");
    for _ in 0..2 {
        say(&mut sim, &page, &json!({"expect": said("same")}));
    }
    assert_eq!(told(&teacher), [answer("same", Value::Null)], "once");
    say(&mut sim, &page, &json!({"saw": said("different")}));
    say(&mut sim, &page, &json!({"saw": said("same")}));
    say(&mut sim, &page, &json!({"expect": said("different")}));
    assert_eq!(told(&teacher), [answer("same", json!("different"))], "the first result counts");
    drop(page);
    sim.run_until_idle();
    assert_eq!(told(&teacher)[0]["learner"]["here"], json!(false));
    let again = learner(&mut sim);
    join(&mut sim, &again, "Ada L.", 1);
    assert_eq!(told(&again)[1], json!({"number": 0}), "the same person");
    assert_eq!(told(&teacher)[0]["learner"]["name"], json!("Ada L."));
}

#[test]
fn only_a_page_on_this_host_teaches_and_only_a_class_has_learners() {
    for (classroom, ip, host, path, may) in [
        (true, "127.0.0.1", "localhost", "/learn/class?teach", true),
        (true, "10.0.0.7", "10.0.0.1", "/learn/class?teach", false),
        (true, "10.0.0.7", "localhost", "/learn/class?teach", false),
        (true, "10.0.0.7", "10.0.0.1", "/learn/class", true),
        (false, "127.0.0.1", "localhost", "/learn/class?teach", false),
        (false, "10.0.0.7", "10.0.0.1", "/learn/class", false),
    ] {
        let mut sim = simulation(classroom);
        let peer = open(&mut sim, ip, host, path);
        assert_eq!(!is_closed(&peer), may, "{classroom} {ip} {host} {path}");
    }
}

#[test]
fn the_teacher_holds_and_steps_the_loop_and_all_learners_know() {
    let mut sim = simulation(true);
    let page = learner(&mut sim);
    join(&mut sim, &page, "Ada", 1);
    let teacher = teacher(&mut sim);
    told(&page);
    say(&mut sim, &teacher, &json!("hold"));
    assert_eq!(told(&page), [json!({"pace": {"held": false, "steps": 0}})], "nobody watches the loop");
    let watcher = open(&mut sim, "127.0.0.1", "localhost", "/loop");
    say(&mut sim, &teacher, &json!("hold"));
    assert_eq!(told(&page), [json!({"pace": {"held": true, "steps": 0}})]);
    assert_eq!(sim.clients().pace(), Pace::Held);
    told(&teacher);
    page.send(&json!({"expect": said("same")}).to_string());
    sim.run_for(SECOND);
    assert_eq!(told(&teacher), Vec::<Value>::new(), "the learner waits");
    say(&mut sim, &teacher, &json!("step"));
    sim.run_for(SECOND);
    assert_eq!(told(&page), [json!({"pace": {"held": true, "steps": 1}})]);
    assert!(told(&teacher).iter().any(|told| told["answer"]["expected"] == "same"));
    // A page of the class cannot.
    say(&mut sim, &page, &json!("free"));
    say(&mut sim, &teacher, &json!("step"));
    assert!(is_closed(&page));
    assert_eq!(sim.clients().pace(), Pace::Held);
    let other = learner(&mut sim);
    drop(teacher);
    sim.run_for(SECOND);
    assert_eq!(sim.clients().pace(), Pace::Free, "nobody teaches any more");
    assert!(told(&other).contains(&json!({"pace": {"held": false, "steps": 0}})));
    drop(watcher);
}

#[test]
fn learners_learn_that_another_page_lets_the_loop_go() {
    let mut sim = simulation(true);
    let (page, teacher) = (learner(&mut sim), teacher(&mut sim));
    let watcher = open(&mut sim, "127.0.0.1", "localhost", "/loop");
    say(&mut sim, &teacher, &json!("hold"));
    told(&page);
    say(&mut sim, &watcher, &json!("free"));
    sim.run_for(2 * SECOND);
    assert_eq!(told(&page), [json!({"pace": {"held": false, "steps": 0}})]);
}

#[test]
fn a_hostile_learner_ends_alone_and_a_class_has_bounds() {
    let mut sim = simulation(true);
    let teacher = teacher(&mut sim);
    let long = "x".repeat(600);
    for message in [
        json!({"join": {"name": " \u{200b}\n", "key": key(1), "lesson": "mask"}}),
        json!({"join": {"name": "a", "key": "short", "lesson": "mask"}}),
        json!({"join": {"name": "a", "key": key(1).replace('0', "G"), "lesson": "mask"}}),
        json!({"join": {"name": "a", "key": key(1), "lesson": "<b>"}}),
        json!({"join": {"name": long, "key": key(1), "lesson": "mask"}}),
        json!({"expect": said("same")}),
        json!("hold"),
        json!("step"),
        json!("nonsense"),
        json!(7),
    ] {
        let page = learner(&mut sim);
        say(&mut sim, &page, &message);
        assert!(is_closed(&page), "{message}");
    }
    for choice in ["", "<img>", "Ä", &long[..25]] {
        let page = learner(&mut sim);
        join(&mut sim, &page, "Eve", 2);
        say(&mut sim, &page, &json!({"expect": said(choice)}));
        assert!(is_closed(&page), "{choice}");
    }
    let page = learner(&mut sim);
    join(&mut sim, &page, "Eve", 2);
    join(&mut sim, &page, "Eve", 3);
    assert!(is_closed(&page), "one page is one learner");
    let page = learner(&mut sim);
    join(&mut sim, &page, &"ä".repeat(40), 2);
    told(&teacher);
    for number in 0..3_000 {
        let said = json!({"lesson": "mask", "question": format!("q{number}"), "choice": "a"});
        page.send(&json!({"expect": said}).to_string());
    }
    sim.run_until_idle();
    assert!(is_closed(&page), "too many messages");
    let answers = told(&teacher).iter().filter(|told| told["answer"].is_object()).count();
    assert_eq!(answers, 64);
    // Who has gone makes room; who is here does not.
    let pages: Vec<Peer> = (100..200)
        .map(|number| {
            let page = learner(&mut sim);
            join(&mut sim, &page, "x", number);
            page
        })
        .collect();
    assert!(pages.iter().all(|page| !is_closed(page)));
    assert!(told(&teacher).iter().any(|told| told["forgotten"].is_u64()));
    let late = learner(&mut sim);
    join(&mut sim, &late, "x", 300);
    assert!(is_closed(&late));
}
