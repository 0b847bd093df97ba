//! `/metrics` over a real socket, read by a strict parser.

use crate::common::prometheus::parse;
use crate::common::{Wire, serve_made, text};
use lariat::Router;
use lariat_cli::site::{Echo, Metrics};

#[test]
fn the_page_has_the_metrics_of_the_server_and_of_the_process() {
    let server = serve_made(|| Router::new().route("/echo", Echo).route("/metrics", Metrics::default()));
    let mut client = Wire::open_at(server.addr, "/echo");
    client.send(&text("hello"));
    client.expect_text("hello");
    let mut scraper = Wire::connect(server.addr);
    scraper.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
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
