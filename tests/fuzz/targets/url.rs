//! A URL and subprotocols: the resulting request is one that our own server accepts.

#![no_main]

use lariat::Limits;
use lariat::protocol::time::Tick;
use lariat::protocol::{Connection, Event, Input, Opening, Request, Role, Shared};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (url, subprotocols) = match text.split_once('\n') {
        Some((url, rest)) => (url, rest.split('\n').map(str::to_owned).collect()),
        None => (text, Vec::new()),
    };
    let Ok((mut opening, name, _port)) = Opening::parse(url) else { return };
    assert!(!name.is_empty() && url.contains(&name), "{name:?}");
    let subprotocols = if opening.offer(&subprotocols).is_ok() { subprotocols } else { Vec::new() };

    let (now, mut limits) = (Tick::default(), Limits::default());
    limits.max_head = 1 << 20;
    let mut shared = Shared::with_seed(limits, 0);
    let client: Connection = Connection::connect(&mut shared, now, &opening);
    let mut bytes = client.output(&mut shared).to_vec();
    let mut input = Input::new(&mut bytes);
    let mut server: Connection = Connection::new(Role::Server, now);
    let Some(Event::Request { head, .. }) = server.receive(&mut shared, now, &mut input) else {
        panic!("not a request: {:?}", head_of(&client, url));
    };
    assert!(input.is_empty(), "more than one head: {:?}", head.escape_ascii().to_string());
    let request = Request::parse(&head).unwrap_or_else(|error| panic!("{error}: {}", head.escape_ascii()));
    assert!(request.is_upgrade());
    assert!(request.host().is_some_and(|host| host.contains(&name)));
    assert!(request.subprotocols().eq(subprotocols.iter().map(String::as_str)));
    assert_eq!(request.headers().count(), 5 + usize::from(!subprotocols.is_empty()));
});

fn head_of(client: &Connection, url: &str) -> String {
    format!("{} bytes for {url:?}", client.buffered_amount())
}
