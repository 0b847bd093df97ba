//! Tests `rpc`.

use crate::kit::{Client, Example};
use tungstenite::Message;

/// A number whose factors take longer than a test: the largest prime of 64 bits.
const SLOW: &str = r#"{"jsonrpc":"2.0","id":"slow","method":"factors","params":[18446744073709551557]}"#;

#[test]
fn rpc_answers_200_requests_at_once() {
    let example = Example::start("rpc", &[]);
    let mut client = example.connect("/");
    for id in 0..200 {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"factors","params":[{}]}}"#, id + 2);
        client.0.write(Message::text(request)).expect("write");
    }
    client.0.flush().expect("send");
    let mut answered = [false; 200];
    for _ in 0..200 {
        let answer: serde_json::Value = serde_json::from_str(&client.text()).expect("JSON");
        let id = answer["id"].as_u64().expect("the id of a request");
        let factors = answer["result"].as_array().expect("factors");
        let product: u64 = factors.iter().map(|factor| factor.as_u64().expect("a number")).product();
        assert_eq!(product, id + 2);
        assert!(!std::mem::replace(&mut answered[id as usize], true), "{id} has two answers");
    }
    client.leave();
}

#[test]
fn rpc_answers_out_of_order() {
    let example = Example::start("rpc", &[]);
    let mut client = example.connect("/");
    client.send(SLOW);
    for id in 0..40 {
        client.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"echo","params":{{"a":["b"]}}}}"#));
        assert_eq!(client.text(), format!(r#"{{"id":{id},"jsonrpc":"2.0","result":{{"a":["b"]}}}}"#));
    }
    for (request, id, code) in [
        ("{", "null", -32700),
        ("[]", "null", -32600),
        (r#"{"jsonrpc":"2.0","method":"echo"}"#, "null", -32600),
        (r#"{"id":"x","method":"echo"}"#, r#""x""#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"fly"}"#, "1", -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"factors","params":[-1]}"#, "1", -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"factors","params":3}"#, "1", -32602),
    ] {
        client.send(request);
        let answer: serde_json::Value = serde_json::from_str(&client.text()).expect("JSON");
        assert_eq!(
            (answer["id"].to_string().as_str(), answer["error"]["code"].as_i64()),
            (id, Some(code)),
            "{request}"
        );
    }
}

#[test]
fn rpc_holds_back_a_client_with_too_many_requests() {
    let example = Example::start("rpc", &[]);
    let (mut client, mut other) = (example.connect("/"), example.connect("/"));
    let ping = |client: &mut Client| client.0.send(Message::Ping("?".into())).expect("send");
    let pong = |client: &mut Client| client.0.read().expect("a pong") == Message::Pong("?".into());
    for _ in 0..15 {
        client.send(SLOW);
    }
    ping(&mut client);
    assert!(pong(&mut client));
    // With the sixteenth request it is paused, so the server does not read its ping.
    client.send(SLOW);
    ping(&mut client);
    for _ in 0..2 {
        ping(&mut other);
        assert!(pong(&mut other));
    }
    client.0.get_ref().set_nonblocking(true).expect("set an option");
    let outcome = client.0.read();
    let waits = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(matches!(&outcome, Err(tungstenite::Error::Io(error)) if waits(error)), "{outcome:?}");
}
