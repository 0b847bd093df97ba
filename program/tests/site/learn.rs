//! The lab of the lessons: what a page gets of an experiment, and what it cannot do with one. Over
//! real sockets.

use crate::common::{Running, Wire, binary, close, frame, request, request_with, serve_made, text, until};
use lariat_cli::site::{Options, Site, chapters_of_lessons, code_of_lessons};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn serve() -> Running {
    serve_made(|| Site::new(&Options::default()))
}

/// A page with lessons.
struct Page(Wire);

impl Page {
    fn open(server: &Running) -> Page {
        Page(Wire::open_at(server.addr, "/learn"))
    }

    fn say(&mut self, what: &Value) {
        self.0.send(&text(&what.to_string()));
    }

    fn run(&mut self, on: u32, within: u32, steps: &[Value]) {
        self.say(&json!({"run": {"on": on, "steps": steps, "within": within}}));
    }

    /// Returns the next report: its kind and its content.
    fn told(&mut self) -> (String, Value) {
        let frame = self.0.frame();
        assert_eq!(frame.first, 0x81, "{frame:?}");
        let told: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        let (kind, content) = told.as_object().and_then(|object| object.iter().next()).expect("one kind");
        (kind.clone(), content.clone())
    }

    /// Returns everything that is reported of an experiment until it is over.
    fn all(&mut self, on: u32) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        while all.last().is_none_or(|(kind, _): &(String, Value)| kind != "ended" && kind != "refused") {
            let (kind, content) = self.told();
            let is_of = content.get("on").or_else(|| content.as_object()?.values().find_map(|inner| inner.get("on")));
            assert_eq!(is_of, Some(&json!(on)), "{kind} {content}");
            all.push((kind, content));
        }
        all
    }

    fn refused(&mut self) -> String {
        match self.told() {
            (kind, content) if kind == "refused" => content["why"].as_str().expect("a word").to_owned(),
            other => panic!("{other:?}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn send(bytes: &[u8]) -> Value {
    json!({"send": hex(bytes)})
}

/// The steps that open a WebSocket at a path.
fn opened(path: &str) -> [Value; 2] {
    [send(request(path).as_bytes()), json!({"await": hex(b"\r\n\r\n")})]
}

/// All bytes that came.
fn received(all: &[(String, Value)]) -> Vec<u8> {
    let got = all.iter().filter(|(kind, _)| kind == "got").map(|(_, content)| content["hex"].as_str().expect("digits"));
    data_encoding::HEXLOWER.decode(got.collect::<String>().as_bytes()).expect("digits")
}

fn content<'a>(all: &'a [(String, Value)], kind: &str) -> &'a Value {
    &all.iter().find(|(found, _)| found == kind).unwrap_or_else(|| panic!("no {kind} in {all:#?}")).1
}

/// Why the server's side has ended: reason and detail.
fn closed(all: &[(String, Value)]) -> (&str, &str) {
    let closed = content(all, "closed");
    (closed["reason"].as_str().expect("a word"), closed["detail"].as_str().expect("a word"))
}

fn how(all: &[(String, Value)]) -> &str {
    content(all, "ended")["how"].as_str().expect("a word")
}

/// The kinds of steps of the server's side: the frames with the first byte.
fn traced(all: &[(String, Value)]) -> Vec<String> {
    let traces = all.iter().filter(|(kind, _)| kind == "trace");
    let step = |(_, content): &(String, Value)| {
        let (kind, inner) = content.as_object()?.iter().find(|(key, _)| *key != "at")?;
        let text = |name: &str| inner[name].as_str().unwrap_or_default().to_owned();
        Some(match kind.as_str() {
            "frame" => format!("{} {} {}", text("side"), &text("header")[..2], text("plain")),
            "handshake" => format!("{} {}", text("side"), text("text").lines().next().unwrap_or_default()),
            "state" => format!("{} -> {}", text("from"), text("to")),
            "violation" => format!("{kind} {} {}", text("code"), text("section")),
            other => format!("{other} {}", text("text")),
        })
    };
    traces.filter_map(step).collect()
}

#[test]
fn an_experiment_shows_both_sides_of_a_connection_from_the_first_byte_to_the_last() {
    let server = serve();
    let mut page = Page::open(&server);
    let [ask, wait] = opened("/learn/echo");
    page.run(5, 5_000, &[ask, wait, send(&text("Hi")), json!({"await": "81024869"}), send(&close(1000, "done"))]);
    let all = page.all(5);
    let answer = received(&all);
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    let frames = [&b"\r\n\r\n\x81\x02Hi\x88\x06\x03\xe8"[..], b"done"].concat();
    assert!(answer.ends_with(&frames), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(
        traced(&all),
        [
            "peer GET /learn/echo HTTP/1.1",
            "Handshaking -> Deciding",
            "us HTTP/1.1 101 Switching Protocols",
            "Deciding -> Open",
            "peer 81 4869",
            "us 81 4869",
            "peer 88 03e8646f6e65",
            "us 88 03e8646f6e65",
            "Open -> Draining",
            "Draining -> Closed",
        ]
    );
    assert_eq!((closed(&all), how(&all)), (("peer", "1000"), "closed"));
    let did: Vec<u64> =
        all.iter().filter(|(kind, _)| kind == "did").filter_map(|(_, did)| did["step"].as_u64()).collect();
    assert_eq!(did, [0, 1, 2, 3, 4]);
    // The times of each side run forward, and the end is last.
    for is_trace in [true, false] {
        let of_side = all.iter().filter(|(kind, _)| (kind == "trace") == is_trace && kind != "closed");
        let times: Vec<f64> = of_side.map(|(_, content)| content["at"].as_f64().expect("a time")).collect();
        assert!(times.is_sorted() && times[0] > 0.0 && times.iter().all(|at| *at < 5_000.0), "{times:?}");
    }
    assert_eq!(all.last().map(|(kind, _)| kind.as_str()), Some("ended"));
}

#[test]
fn the_server_says_which_rule_was_broken() {
    let server = serve();
    let mut page = Page::open(&server);
    let refused: &[(&[u8], u16, &str)] = &[
        (b"\x81\x02Hi", 1002, "5.1"),
        (&frame(0xc1, b"Hi"), 1002, "5.2"),
        (&frame(0x09, b"Hi"), 1002, "5.5"),
        (&frame(0x81, b"\xff"), 1007, "8.1"),
        (&close(1005, ""), 1002, "7.4"),
    ];
    for (on, (bytes, code, section)) in refused.iter().enumerate() {
        let on = on as u32;
        let [ask, wait] = opened("/learn/echo");
        page.run(on, 5_000, &[ask, wait, send(bytes)]);
        let all = page.all(on);
        let answer = received(&all);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!((answer[end], &answer[end + 2..end + 4]), (0x88, &code.to_be_bytes()[..]), "{section}");
        assert_eq!((closed(&all).0, how(&all)), ("protocol", "closed"), "{section}");
        let violation = traced(&all).into_iter().find(|step| step.starts_with("violation")).expect("a violation");
        assert!(violation.ends_with(&format!(" {section}")), "{violation}");
    }
}

#[test]
fn a_connection_can_end_in_every_way() {
    let server = serve();
    let mut page = Page::open(&server);
    let [ask, wait] = opened("/learn/echo");
    let reset = if cfg!(target_os = "linux") { ("io", "reset") } else { ("eof", "") };
    for (on, (steps, reason, end)) in [
        (vec![json!("fin")], ("eof", ""), "closed"),
        (vec![json!("close")], ("eof", ""), "left"),
        (vec![json!("deaf"), send(&text("Hi")), json!({"pause": 100}), json!("close")], reset, "left"),
        (vec![], ("eof", ""), "time"),
        (vec![send(&close(1000, "")), json!({"await": "8802"}), json!("close")], ("peer", "1000"), "left"),
    ]
    .into_iter()
    .enumerate()
    {
        let on = on as u32;
        page.run(on, 300, &[&[ask.clone(), wait.clone()], &steps[..]].concat());
        let all = page.all(on);
        assert_eq!((closed(&all), how(&all)), (reason, end), "{steps:?}");
    }
    // A request that is refused has an end as well.
    page.run(9, 5_000, &[send(b"GET /learn/echo HTTP/1.1\r\nHost: localhost\r\n\r\n")]);
    let all = page.all(9);
    assert!(received(&all).starts_with(b"HTTP/1.1 426 "), "{all:#?}");
    assert_eq!(how(&all), "closed");
}

#[test]
fn what_a_page_says_is_checked() {
    let server = serve();
    for wrong in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"stop":1}"#,
        r#"{"run":{}}"#,
        r#"{"run":{"on":-1,"steps":[],"within":1}}"#,
        r#"{"run":{"on":1,"steps":[{"send":"8"}],"within":1}}"#,
        r#"{"run":{"on":1,"steps":[{"send":"xx"}],"within":1}}"#,
        r#"{"run":{"on":1,"steps":[{"send":[1]}],"within":1}}"#,
        r#"{"run":{"on":1,"steps":["dance"],"within":1}}"#,
        r#"{"run":{"on":1,"steps":[{"pause":1e300}],"within":1}}"#,
        &format!(r#"{{"run":{{"on":1,"steps":[{}"deaf"],"within":1}}}}"#, r#"{"send":"00"},"#.repeat(1 << 16)),
    ] {
        let mut page = Page::open(&server);
        page.0.send(&text(wrong));
        let shown: String = wrong.chars().take(60).collect();
        assert_eq!(page.0.expect_close(1008), "not understood", "{shown}");
    }
    let mut page = Page::open(&server);
    page.0.send(&binary(b"{}"));
    page.0.expect_close(1008);
}

#[test]
fn what_costs_too_much_is_refused_with_a_reason() {
    let server = serve();
    let mut page = Page::open(&server);
    let most = vec![0x2a; 256 << 10];
    for (within, steps, why) in [
        (5_001, vec![], "time"),
        (1, vec![json!("deaf"); 257], "steps"),
        (1, vec![json!({"await": ""})], "steps"),
        (1, vec![send(&most), send(b"x")], "bytes"),
        (1, vec![send(request_with("/learn/echo", "X-Forwarded-For: 192.0.2.1\r\n").as_bytes())], "address"),
    ] {
        page.run(1, within, &steps);
        assert_eq!(page.refused(), why);
    }
    // As much as is allowed.
    page.run(1, 300, &[send(&most)]);
    let all = page.all(1);
    assert!(received(&all).starts_with(b"HTTP/1.1 4"), "{:?}", how(&all));
    // More than an experiment receives.
    let [ask, wait] = opened("/learn/echo");
    let echoes: Vec<Value> = (0..3).map(|_| send(&text(&"x".repeat(60 << 10)))).collect();
    page.run(2, 5_000, &[&[ask, wait], &echoes[..]].concat());
    let short = page.all(2);
    assert_eq!(how(&short), "time", "three echoes fit");
    assert!(received(&short).len() > 180 << 10);
}

#[test]
fn a_page_and_all_pages_have_a_number_of_experiments() {
    let server = serve();
    let mut pages: Vec<Page> = (0..9).map(|_| Page::open(&server)).collect();
    for page in &mut pages[..8] {
        for on in 0..4 {
            page.run(on, 5_000, &[]);
        }
        page.run(0, 5_000, &[]);
        assert_eq!(page.refused(), "twice");
        page.run(4, 5_000, &[]);
        assert_eq!(page.refused(), "busy");
    }
    let last = &mut pages[8];
    last.run(1, 10, &[]);
    assert_eq!(last.refused(), "full");
    let connections = |server: &Running| server.ask(|clients| clients.glances().count());
    assert_eq!(connections(&server), 9 + 32);
    // Those of pages that have gone end at once, and make room.
    pages.truncate(1);
    until(|| connections(&server) == 1 + 4);
    // An experiment counts until its own end has ended too, a moment after the server's.
    let mut late = Page::open(&server);
    let mut all = Vec::new();
    until(|| {
        late.run(1, 10, &[]);
        all = late.all(1);
        !all.iter().any(|(kind, content)| kind == "refused" && content["why"] == "full")
    });
    assert_eq!(how(&all), "time");
}

#[test]
fn a_page_that_goes_in_the_middle_takes_its_experiments_along() {
    let server = serve();
    let others = server.ask(|clients| clients.glances().count());
    for is_reset in [false, true] {
        let mut page = Page::open(&server);
        let [ask, wait] = opened("/learn/echo");
        let pause = json!({"pause": 5_000});
        page.run(1, 5_000, &[ask.clone(), wait, json!("deaf"), send(&text(&"x".repeat(60_000))), pause.clone()]);
        page.run(2, 5_000, &[ask, pause]);
        page.told();
        if is_reset {
            page.0.reset()
        } else {
            drop(page)
        }
        until(|| server.ask(|clients| clients.glances().count()) == others);
    }
}

#[test]
fn a_page_that_does_not_read_gets_the_number_of_what_it_missed_and_the_end() {
    let server = serve();
    let mut page = Page::open(&server);
    let [ask, wait] = opened("/learn/echo");
    socket2::SockRef::from(page.0.stream.get_ref()).set_recv_buffer_size(256 << 10).expect("SO_RCVBUF");
    // Small frames, each with two steps of the trace.
    let pings = frame(0x89, b"").repeat(12_000);
    page.run(1, 5_000, &[ask, wait, send(&pings), send(&close(1000, ""))]);
    until(|| server.ask(|clients| clients.stats().accepted == 2 && clients.glances().count() == 1));
    let (mut missed, mut told, mut last) = (0, 0, String::new());
    while last != "ended" {
        let (kind, content) = page.told();
        told += 1;
        missed += if kind == "missed" { content.as_u64().expect("a number") } else { 0 };
        last = kind;
    }
    assert!(missed > 0 && told > 100 && missed + told > 24_000, "{missed} were missed, {told} were not");
}

#[test]
fn only_pages_of_this_site_use_it_and_it_gives_no_rights() {
    let server = serve_made(|| {
        let mut options = Options::default();
        options.teach = true;
        Site::new(&options)
    });
    for path in ["/learn", "/learn/echo"] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with(path, "Origin: http://elsewhere.test\r\n").as_bytes());
        assert_eq!(wire.response().status(), 403, "{path}");
    }
    let mut page = Page::open(&server);
    // A page on this host may hold the loop with --teach. An experiment is not on this host.
    let hello = |page: &mut Page, bytes: &str| {
        page.run(1, 300, &[send(bytes.as_bytes())]);
        let all = page.all(1);
        String::from_utf8_lossy(&received(&all)).into_owned()
    };
    let answer = hello(&mut page, &request_with("/loop", "Origin: http://localhost\r\n"));
    assert!(answer.contains(r#""hello""#) && answer.contains(r#""teaches":false"#), "{answer}");
    let mut own = Wire::connect(server.addr);
    own.send(request_with("/loop", "Origin: http://localhost\r\n").as_bytes());
    own.response();
    assert!(String::from_utf8_lossy(&own.frame().payload).contains(r#""teaches":true"#));
    // Pages of other sites stay outside, whoever connects for them.
    let answer = hello(&mut page, &request_with("/chat", "Origin: http://elsewhere.test\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn an_experiment_may_use_the_lab_itself() {
    let server = serve();
    let mut page = Page::open(&server);
    let [ask, wait] = opened("/learn");
    let inner = json!({"run": {"on": 1, "steps": [], "within": 10}}).to_string();
    page.run(1, 2_000, &[ask, wait, send(&text(&inner)), json!({"await": hex(b"ended")})]);
    let all = page.all(1);
    assert!(all.iter().any(|(kind, content)| kind == "did" && content["step"] == 3), "{all:#?}");
}

#[test]
fn a_page_that_sends_nonsense_in_the_middle_of_a_message_ends_alone() {
    let server = serve();
    let mut page = Page::open(&server);
    page.run(1, 5_000, &[json!({"pause": 5_000})]);
    page.0
        .stream
        .get_mut()
        .write_all(&[0x01, 0x82, 1, 2, 3, 4, 0x7b ^ 1, 0x22 ^ 2, 0x83, 0x80, 0, 0, 0, 0])
        .expect("it reads");
    until(|| server.ask(|clients| clients.glances().count()) == 0);
    let mut other = Page::open(&server);
    other.run(1, 10, &[]);
    assert_eq!(how(&other.all(1)), "time");
}

/// The lessons say where their subject is in the code and in the guide.
#[test]
fn each_place_that_a_lesson_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, function) in code_of_lessons() {
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_defined = ["(", "<"].iter().any(|next| text.contains(&format!("fn {function}{next}")));
        assert!(is_defined, "{path} has no function {function}");
    }
    for chapter in chapters_of_lessons() {
        assert!(root.join(format!("src/guide/{chapter}.md")).is_file(), "{chapter}");
    }
}
