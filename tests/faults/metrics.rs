//! `/metrics` in the text format of Prometheus, checked by a strict parser.

use crate::common::prometheus::{Metric, parse};
use crate::kit::{connect, sim};
use lariat::Config;

/// Checks that buckets and their counts rise, that the last bucket is infinite, and that there is
/// one sum.
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
    // Bounds are written as people write them, not as 0.0040959999999999998.
    let labels = metric.samples.iter().filter_map(|(_, labels, _)| labels.get("le"));
    assert!(labels.clone().all(|le| le.len() <= 10), "{:?}", labels.collect::<Vec<_>>());
}

#[test]
fn metrics_follow_the_format_and_report_what_happened() {
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
