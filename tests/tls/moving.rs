//! Requests that go to another loop, with their TLS session.

use crate::common::{Wire, close, request, text};
use crate::kit::{VERSIONS, client_config, connect, server, server_tls};
use lariat::{Closures, Config, Drain, HttpResponse, LocalAddr};
use std::io::Write;
use std::sync::mpsc;
use std::thread;

/// `/N` is answered on loop N, over HTTP or as a WebSocket that says where it is.
fn answers() -> Closures<()> {
    Closures::new()
        .choose_loop(|_, request| request.path().strip_prefix('/')?.parse().ok())
        .on_request(|clients, _, request| match request.is_upgrade() {
            true => lariat::Upgrade::new().into(),
            false => {
                let version = request.tls().map(|info| info.version);
                let body = format!("loop {}, {version:?}", clients.loop_number());
                HttpResponse::from(lariat::http::Response::new(body.into_bytes())).into()
            }
        })
        .on_message(|clients, id, message| {
            let text = format!("{} on loop {}", message.as_text().unwrap_or_default(), clients.loop_number());
            let _ = clients.send(id, &text);
        })
}

#[test]
fn a_session_goes_with_its_request_from_loop_to_loop() {
    let mut config = Config::default();
    config.limits.http = Some(lariat::Http::default());
    let server = server(config, server_tls()).loops(3).expect("loops");
    let Some(LocalAddr::Tcp(addr)) = server.local_addrs().into_iter().next() else { panic!("not TCP") };
    let remote = server.remote();
    let thread = thread::spawn(move || server.run(answers));
    for version in VERSIONS {
        for round in 0..6 {
            let mut client = Wire::new(connect(addr, client_config(&[version])));
            for number in [0, 1, 2, 2, 0] {
                client.send(format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
                let response = client.response();
                assert_eq!(response.status(), 200);
                let body = String::from_utf8_lossy(&response.body).into_owned();
                assert!(body.starts_with(&format!("loop {number}, Some(")), "{body}");
            }
            // Messages follow the request, in the same record or in others.
            let request = request(&format!("/{}", round % 3)).into_bytes();
            if round < 3 {
                client.send(&[request, text("a"), text("b")].concat());
            } else {
                client.send(&request);
                client.send(&text("a"));
                client.send(&text("b"));
            }
            assert_eq!(client.response().status(), 101);
            client.expect_text(&format!("a on loop {}", round % 3));
            client.expect_text(&format!("b on loop {}", round % 3));
            // The keys can be renewed on the new loop.
            if version.version == lariat::tls::rustls::ProtocolVersion::TLSv1_3 {
                client.stream.get_mut().conn.refresh_traffic_keys().expect("new keys");
                client.stream.get_mut().flush().expect("they are sent");
            }
            let long = "x".repeat(100_000);
            client.send(&text(&long));
            client.expect_text(&format!("{long} on loop {}", round % 3));
            client.send(&close(1000, ""));
            client.expect_close(1000);
        }
    }
    let (sender, receiver) = mpsc::channel();
    let ask = move |clients: &mut lariat::Clients<()>| {
        clients.ask_loops(|clients| clients.stats(), move |_, all| drop(sender.send(all)));
    };
    remote.run(ask).expect("it runs");
    let all = receiver.recv_timeout(crate::common::WAIT).expect("answers");
    let handshakes: u64 = all.iter().flat_map(|stats| stats.tls_handshakes.values()).sum();
    assert_eq!(handshakes, 12, "a session that goes to another loop is no new one");
    remote.shutdown(Drain::default()).expect("it runs");
    thread.join().expect("no panic").expect("a poller that works");
}
