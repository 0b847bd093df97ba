//! `/metrics` in the text format of Prometheus, read by a parser that forgives nothing.

use crate::kit::{connect, sim};
use lariat::Config;
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A metric with its type and samples; those of a histogram under their whole names.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    samples: Vec<(String, Labels, f64)>,
}

/// Reads version 0.0.4 of the text format.
fn parse(text: &str) -> BTreeMap<String, Metric> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let (mut helped, mut current) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "a second help for {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name) && !metrics.contains_key(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            current = name.to_owned();
            metrics.insert(current.clone(), Metric { kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let sample = parse_sample(line);
            let metric = metrics.get_mut(&current).unwrap_or_else(|| panic!("no type before {line}"));
            let suffix = sample.0.strip_prefix(&current).unwrap_or_else(|| panic!("{line} belongs to {current}"));
            let is_right = match metric.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            let is_new = metric.samples.iter().all(|(name, labels, _)| (name, labels) != (&sample.0, &sample.1));
            assert!(is_right && is_new, "{line}");
            metric.samples.push(sample);
        }
    }
    metrics
}

fn parse_sample(line: &str) -> (String, Labels, f64) {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number in {line}"));
    let Some((name, rest)) = series.split_once('{') else {
        assert!(is_name(series), "{line}");
        return (series.to_owned(), Labels::new(), value);
    };
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of the labels in {line}"));
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label in {line}"));
        let (content, after) = unescape(after).unwrap_or_else(|| panic!("a label without end in {line}"));
        assert!(is_name(label) && labels.insert(label.to_owned(), content).is_none(), "{line}");
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(after.is_empty() || after.starts_with(','), "{line}");
    }
    (name.to_owned(), labels, value)
}

/// The content up to the next quotation mark that is not escaped, and what follows.
fn unescape(text: &str) -> Option<(String, &str)> {
    let (mut content, mut chars) = (String::new(), text.char_indices());
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((content, &text[index + 1..])),
            '\\' => content.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c} is no escape"),
            }),
            c => content.push(c),
        }
    }
    None
}

impl Metric {
    fn one(&self) -> f64 {
        assert_eq!(self.samples.len(), 1, "{self:?}");
        self.samples[0].2
    }

    fn at(&self, label: &str, content: &str) -> f64 {
        let found =
            self.samples.iter().filter(|(_, labels, _)| labels.get(label).is_some_and(|found| found == content));
        found.map(|(_, _, value)| value).sum()
    }
}

/// Buckets grow in both ways, the last takes everything, and the sum is one.
#[track_caller]
fn is_histogram(name: &str, metric: &Metric) {
    let only = |suffix: &str| {
        let found: Vec<f64> = metric
            .samples
            .iter()
            .filter(|(full, ..)| *full == format!("{name}{suffix}"))
            .map(|(.., value)| *value)
            .collect();
        assert_eq!(found.len(), 1, "{name}{suffix}");
        found[0]
    };
    let buckets: Vec<(f64, f64)> = metric
        .samples
        .iter()
        .filter(|(full, ..)| *full == format!("{name}_bucket"))
        .map(|(_, labels, value)| (labels["le"].replace("+Inf", "inf").parse().expect("a bound"), *value))
        .collect();
    assert!(buckets.is_sorted_by(|before, after| before.0 < after.0 && before.1 <= after.1), "{name}: {buckets:?}");
    let (bound, all) = *buckets.last().expect("a bucket");
    assert_eq!((bound, all), (f64::INFINITY, only("_count")));
    assert!(only("_sum") >= 0.0);
    // Bounds as people would write them, not 0.0040959999999999998.
    let labels = metric.samples.iter().filter_map(|(_, labels, _)| labels.get("le"));
    assert!(labels.clone().all(|le| le.len() <= 10), "{:?}", labels.collect::<Vec<_>>());
}

#[test]
fn metrics_are_in_the_format_and_say_what_has_happened() {
    let mut sim = sim(Config::default());
    let peers = connect(&mut sim, 5);
    peers[0].send("hello");
    peers[0].send(b"four");
    peers[1].ping(b"?");
    peers[2].close(lariat::CloseCode::Normal, "");
    peers[3].reset();
    peers[4].send_raw(b"\xff\xff");
    let stranger = sim.connect_raw();
    stranger.send_raw(b"GET / HTTP/1.0\r\n\r\n");
    sim.run_for(std::time::Duration::from_secs(6));
    let text = sim.clients().stats().to_prometheus();
    let metrics = parse(&text);
    let one = |name: &str| metrics.get(name).unwrap_or_else(|| panic!("no {name}")).one();
    let at = |name: &str, label: &str, content: &str| metrics[name].at(label, content);
    assert_eq!((one("lariat_accepted_total"), one("lariat_opened_total")), (6.0, 5.0));
    assert_eq!(at("lariat_connections", "state", "open"), 2.0);
    assert_eq!(at("lariat_closed_total", "reason", "peer"), 1.0);
    assert_eq!(at("lariat_closed_total", "detail", "reset"), 1.0);
    assert_eq!(at("lariat_closed_total", "reason", "protocol"), 1.0);
    assert_eq!(metrics["lariat_refused_total"].samples.len(), 1);
    for (name, text, binary) in [("lariat_messages_total", 2.0, 2.0), ("lariat_payload_bytes_total", 10.0, 8.0)] {
        assert_eq!((at(name, "opcode", "text"), at(name, "opcode", "binary")), (text, binary), "{name}");
        assert_eq!(metrics[name].samples.len(), 10, "two directions, five opcodes");
    }
    assert_eq!(at("lariat_messages_total", "opcode", "ping"), 1.0);
    assert_eq!(one("lariat_memory_budget_bytes"), (64 << 20) as f64);
    assert_eq!(one("lariat_buffered_bytes"), sim.footprint().held as f64);
    let histograms: Vec<&String> =
        metrics.iter().filter(|(_, metric)| metric.kind == "histogram").map(|(name, _)| name).collect();
    assert_eq!(histograms, ["lariat_turn_duration_seconds", "lariat_turn_events"]);
    histograms.iter().for_each(|name| is_histogram(name, &metrics[*name]));
    let turns = metrics["lariat_turn_events"].samples.iter().find(|(name, ..)| name.ends_with("_count"));
    assert_eq!(turns.map(|(.., value)| *value), Some(sim.turns() as f64));
}

#[cfg(feature = "site")]
#[test]
fn the_program_serves_them_with_what_the_process_takes() {
    use crate::common::{Wire, serve_made, text};
    use lariat::Router;
    use lariat::site::{Echo, Metrics};
    let server = serve_made(|| Router::new().route("/echo", Echo).route("/metrics", Metrics));
    let mut client = Wire::open_at(server.addr, "/echo");
    client.send(&text("hello"));
    client.expect_text("hello");
    let mut scraper = Wire::connect(server.addr);
    scraper.send(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let response = scraper.response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = parse(&String::from_utf8(response.body).expect("text"));
    assert_eq!(metrics["lariat_messages_total"].at("opcode", "text"), 2.0);
    assert_eq!(metrics["lariat_connections"].at("state", "open"), 1.0);
    if cfg!(target_os = "linux") {
        let names = ["process_open_fds", "process_max_fds", "process_resident_memory_bytes"];
        assert!(names.iter().all(|name| metrics[*name].one() > 2.0));
    }
}
