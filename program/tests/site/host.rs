//! What pages learn of the host: its limits, and what a thread for each client needs. Over real
//! sockets.

use crate::common::{Running, Wire, serve_made, text, until};
use lariat_cli::site::{Options, Site};
use serde_json::{Value, json};

fn serve() -> Running {
    serve_made(|| Site::new(&Options::default()))
}

fn ask(page: &mut Wire, what: &Value) {
    page.send(&text(&what.to_string()));
}

fn told(page: &mut Wire) -> Value {
    serde_json::from_slice(&page.frame().payload).expect("JSON")
}

#[test]
fn both_servers_answer_the_same_messages_and_everything_ends_afterwards() {
    let server = serve();
    let mut page = Wire::open_at(server.addr, "/learn/measure");
    for (asked, clients) in [(5, 5), (0, 1), (1_000_000, 64)] {
        ask(&mut page, &json!({"threads": asked}));
        let found = &told(&mut page)["threads"];
        assert_eq!((&found["clients"], &found["messages"]), (&json!(clients), &json!(clients * 20)), "{found}");
        assert_eq!((&found["threads"]["threads"], &found["looped"]["threads"]), (&json!(clients), &json!(1)));
        if cfg!(target_os = "linux") {
            for number in [&found["threads"]["switches"], &found["looped"]["switches"], &found["threads"]["touched"]] {
                assert!(number.is_u64(), "{found}");
            }
        }
    }
    until(|| server.ask(|clients| clients.glances().count()) == 1);
}

#[test]
fn one_page_measures_at_a_time_and_the_limits_are_those_of_doctor() {
    let server = serve();
    let (mut page, mut other) =
        (Wire::open_at(server.addr, "/learn/measure"), Wire::open_at(server.addr, "/learn/measure"));
    ask(&mut page, &json!({"threads": 2}));
    ask(&mut page, &json!({"threads": 2}));
    assert_eq!(told(&mut page), json!({"refused": "busy"}));
    ask(&mut other, &json!("limits"));
    let limits = &told(&mut other)["limits"];
    assert_eq!((&limits["open"], &limits["server"], &limits["socket"]), (&json!(2), &json!(64), &json!(4096)));
    assert!(limits["found"].as_array().is_some_and(|found| !found.is_empty()), "{limits}");
    assert!(told(&mut page)["threads"].is_object());
    for nonsense in [json!("more"), json!({"threads": -1}), json!([])] {
        let mut page = Wire::open_at(server.addr, "/learn/measure");
        ask(&mut page, &nonsense);
        assert_eq!(page.frame().first, 0x88, "{nonsense}");
    }
}
