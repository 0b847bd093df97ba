//! `http_api`, as browsers and scripts use it.

use crate::kit::Example;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Reads one response, whose length its head names.
fn response(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let head = head(stream);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    (head, String::from_utf8(body).expect("text"))
}

fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("a head") > 0, "the end after {head:?}");
    }
    head
}

#[test]
fn http_api_takes_json_and_tells_everybody() {
    let example = Example::start("http_api", &[]);
    let mut events = BufReader::new(example.stream());
    write!(events.get_mut(), "GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    assert!(head(&mut events).contains("Content-Type: text/event-stream\r\n"));
    let mut socket = example.connect("/events");

    // A page of another origin asks first, then sends, then lists, over one connection.
    let mut page = BufReader::new(example.stream());
    let origin = "Host: a\r\nOrigin: https://elsewhere.test\r\n";
    let ask = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    write!(page.get_mut(), "OPTIONS /notes HTTP/1.1\r\n{origin}{ask}\r\n").expect("send");
    let (preflight, _) = response(&mut page);
    assert!(preflight.starts_with("HTTP/1.1 204 "), "{preflight}");
    for line in ["Origin: *", "Methods: GET, POST", "Headers: Content-Type"] {
        assert!(preflight.contains(&format!("\r\nAccess-Control-Allow-{line}\r\n")), "{preflight}");
    }
    let mut post = |content_type: &str, body: &str| {
        let headers = format!("{origin}Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        write!(page.get_mut(), "POST /notes HTTP/1.1\r\n{headers}\r\n{body}").expect("send");
        let (head, body) = response(&mut page);
        (head[9..12].to_owned(), body)
    };
    assert_eq!(post("text/plain", "{}").0, "415");
    assert_eq!(post("application/json", "{\"text\": 1}").0, "400");
    let note = "{\"id\":0,\"text\":\"Buy \\\"rope\\\"\"}";
    let created = post("application/json", "{\"text\": \"Buy \\\"rope\\\"\"}");
    assert_eq!(created, ("201".to_owned(), format!("{note}\n")));
    write!(page.get_mut(), "GET /notes HTTP/1.1\r\n{origin}\r\n").expect("send");
    assert_eq!(response(&mut page).1, format!("[{note}]\n"));

    assert_eq!(socket.text(), note);
    let mut event = String::new();
    while !event.contains(note) {
        assert!(events.read_line(&mut event).expect("an event") > 0);
    }
    assert!(event.contains("event: note\nid: 0\ndata: "), "{event}");
}

#[test]
fn http_api_sends_a_long_response_no_faster_than_it_is_read() {
    let example = Example::start("http_api", &[]);
    // HTTP/1.0 knows no chunks.
    let mut stream = BufReader::new(example.stream());
    write!(stream.get_mut(), "GET /numbers?last=2000000 HTTP/1.0\r\n\r\n").expect("send");
    head(&mut stream);
    // Others are served while nobody reads this.
    assert!(example.get("/notes", "Connection: close\r\n").ends_with("\r\n\r\n[]\n"));
    let mut expected = 1;
    for line in stream.lines() {
        assert_eq!(line.expect("a line"), expected.to_string());
        expected += 1;
    }
    assert_eq!(expected, 2_000_001);
}
