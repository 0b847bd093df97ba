//! Measures the cost of a full head, in memory. Each case fills a head with one kind of list, and
//! handles it as a server whose application reads all lists, or as a client.
//!
//! ```text
//! cargo bench --bench heads                   each case once
//! cargo bench --bench heads -- CASE COUNT     one case, COUNT times, for callgrind
//! python3 benches/baseline.py                 instructions and allocations of all cases
//! ```
//!
//! With a case, the bench also prints the number of allocations. `baseline.py` compares both with
//! `benches/baseline.tsv`.
//!
//! `most` has as many elements as fit, which are more than the limit allows. `allowed` has as many
//! as the limit allows, each as long as there is room. `benches/baseline.py` compares each with the
//! plain request, and each head of 64 KiB with that of 8 KiB.

#![allow(missing_docs)]

use lariat::protocol::forwarded::{TrustedProxies, client_address};
use lariat::protocol::time::Tick;
use lariat::protocol::{
    Connection, Event, Input, MAX_COOKIES, MAX_ELEMENTS, Opening, Request, Role, Shared, State, Ticket, Upgrade,
};
use lariat::{Deflate, Limits};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUEST: &[u8] = b"GET /echo HTTP/1.1\r\nHost: localhost:9998\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// The most bytes that the loop reads at once.
const READ: usize = 64 << 10;
/// The sizes of heads, and how the names of their cases end.
const SIZES: [(usize, &str); 2] = [(8 << 10, "8k"), (64 << 10, "64k")];
/// The elements that the limit of a list allows.
const ALLOWED: usize = MAX_ELEMENTS;
/// The cookies that the limit allows.
const ALLOWED_COOKIES: usize = MAX_COOKIES;

/// A kind of head.
struct Kind {
    name: &'static str,
    role: Role,
    /// Returns the header lines, of at most so many bytes.
    lines: fn(usize) -> String,
}

const KINDS: [Kind; 25] = [
    request("plain", |_| String::new()),
    request("subprotocols-most", |room| most("Sec-WebSocket-Protocol: ", ',', room, |n| format!("{n:x}"))),
    request("subprotocols-allowed", |room| {
        allowed("Sec-WebSocket-Protocol: ", ',', ALLOWED, room, |n, length| format!("{:a<1$}{n:03}", "", length - 3))
    }),
    request("subprotocols-lines", |room| {
        let length = room / 59 - "Sec-WebSocket-Protocol: \r\n".len();
        (0..59).map(|n| format!("Sec-WebSocket-Protocol: {:a<1$}{n:03}\r\n", "", length - 3)).collect()
    }),
    request("extensions-most", |room| most("Sec-WebSocket-Extensions: ", ',', room, |_| "x".to_owned())),
    request("extensions-allowed", |room| allowed("Sec-WebSocket-Extensions: ", ',', ALLOWED, room, word)),
    request("parameters-most", |room| {
        most("Sec-WebSocket-Extensions: permessage-deflate;", ';', room, |_| "x".to_owned())
    }),
    request("parameters-allowed", |room| {
        allowed("Sec-WebSocket-Extensions: permessage-deflate;", ';', ALLOWED - 1, room, word)
    }),
    request("parameters-quoted", |room| quoted("Sec-WebSocket-Extensions: permessage-deflate;x=", room)),
    request("x-forwarded-for-most", |room| most("X-Forwarded-For: ", ',', room, |_| "::".to_owned())),
    request("x-forwarded-for-allowed", |room| {
        allowed("X-Forwarded-For: ", ',', ALLOWED, room, |_, length| format!("{:>1$}", "::1", length))
    }),
    request("forwarded-most", |room| most("Forwarded: ", ',', room, |_| "for=1.1.1.1".to_owned())),
    request("forwarded-allowed", |room| {
        allowed("Forwarded: ", ',', ALLOWED, room, |_, length| format!("{:>1$}", "for=1.1.1.1", length))
    }),
    request("forwarded-parameters", |room| most("Forwarded: for=1.1.1.1;", ';', room, |_| "x=y".to_owned())),
    request("forwarded-quoted", |room| quoted("Forwarded: for=1.1.1.1;x=", room)),
    request("forwarded-quoted-for", |room| quoted("Forwarded: for=", room)),
    request("cookies-most", |room| most("Cookie: ", ';', room, |_| "a=b".to_owned())),
    request("cookies-allowed", |room| {
        allowed("Cookie: ", ';', ALLOWED_COOKIES, room, |_, length| format!("{:a<1$}=b", "", length - 2))
    }),
    request("connection-most", |room| most("Connection: ", ',', room, |_| "x".to_owned())),
    request("connection-allowed", |room| allowed("Connection: ", ',', ALLOWED - 1, room, word)),
    request("upgrade-allowed", |room| allowed("Upgrade: ", ',', ALLOWED - 1, room, word)),
    request("headers-most", |room| "X: y\r\n".repeat(room / 6)),
    response("response-connection-most", |room| most("Connection: ", ',', room, |_| "x".to_owned())),
    response("response-connection-allowed", |room| allowed("Connection: ", ',', ALLOWED - 1, room, word)),
    response("response-extensions-most", |room| most("Sec-WebSocket-Extensions: ", ',', room, |_| "x".to_owned())),
];

const fn request(name: &'static str, lines: fn(usize) -> String) -> Kind {
    Kind { name, role: Role::Server, lines }
}

const fn response(name: &'static str, lines: fn(usize) -> String) -> Kind {
    Kind { name, role: Role::Client, lines }
}

/// Returns a line with as many elements as fit.
fn most(start: &str, delimiter: char, room: usize, element: impl Fn(usize) -> String) -> String {
    let mut line = start.to_owned() + &element(0);
    for next in 1.. {
        let next = element(next);
        if line.len() + 1 + next.len() + 2 > room {
            break;
        }
        line.push(delimiter);
        line += &next;
    }
    line + "\r\n"
}

/// Returns a line with so many elements, which fill the room. The second argument of `element` is
/// the length of an element.
fn allowed(
    start: &str,
    delimiter: char,
    count: usize,
    room: usize,
    element: impl Fn(usize, usize) -> String,
) -> String {
    let length = (room - start.len() - 2) / count - 1;
    let elements: Vec<String> = (0..count).map(|n| element(n, length)).collect();
    format!("{start}{}\r\n", elements.join(&delimiter.to_string()))
}

fn word(_: usize, length: usize) -> String {
    "x".repeat(length)
}

/// Returns a line with one quoted string of escaped quotation marks.
fn quoted(start: &str, room: usize) -> String {
    format!("{start}\"{}\"\r\n", r#"\""#.repeat((room - start.len() - 4) / 2))
}

/// Returns the action that handles a head of this kind with `size` bytes.
fn make(kind: &'static Kind, size: usize) -> Box<dyn FnMut()> {
    let mut limits = Limits::default();
    limits.max_head = size;
    let mut shared = Shared::with_seed(limits, 1).with_deflate(Some(Deflate::default()));
    let mut buffer = vec![0; READ];
    match kind.role {
        Role::Server => {
            let lines = (kind.lines)(size - REQUEST.len());
            let head = [&REQUEST[..REQUEST.len() - 2], lines.as_bytes(), b"\r\n"].concat();
            assert!(lines.is_empty() || (size - size / 16..=size).contains(&head.len()), "it fills the head");
            let proxies: TrustedProxies = "0.0.0.0/0, ::/0".parse().expect("blocks of addresses");
            Box::new(move || serve(&mut shared, &proxies, &mut buffer, &head))
        }
        Role::Client => {
            let (opening, _, _) = Opening::parse("ws://localhost/").expect("a URL");
            let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
            let accept = "Sec-WebSocket-Accept: \r\n".len() + 28;
            let lines = (kind.lines)(size - start.len() - accept - 2);
            let head = format!("{start}{lines}Sec-WebSocket-Accept: ");
            Box::new(move || connect(&mut shared, &mut buffer, &opening, head.as_bytes()))
        }
    }
}

/// Copies the bytes to where the kernel would put them, in pieces: each byte of a `rep movsb`
/// counts as an instruction.
fn fill<'b>(buffer: &'b mut [u8], bytes: &[u8]) -> Input<'b> {
    let buffer = &mut buffer[..bytes.len()];
    for (to, from) in buffer.chunks_mut(1 << 10).zip(bytes.chunks(1 << 10)) {
        to.copy_from_slice(from);
    }
    Input::new(buffer)
}

/// Handles a request as a server whose application reads every list.
fn serve(shared: &mut Shared, proxies: &TrustedProxies, buffer: &mut [u8], head: &[u8]) {
    let now = Tick::from_millis(0);
    let mut connection = Connection::<()>::new(Role::Server, now);
    let mut input = fill(buffer, head);
    match connection.receive(shared, now, &mut input) {
        Some(Event::Request { head, .. }) => match Request::parse(&head) {
            Ok(request) => {
                read_lists(proxies, &request);
                let ticket = Ticket::new(&request);
                connection.answer(shared, now, ticket, Upgrade::new().into()).expect("a valid answer");
            }
            Err(rejection) => connection.reject(shared, now, &Ticket::unreadable(), rejection),
        },
        other => assert!(other.is_none(), "{other:?}"),
    }
    assert_ne!(connection.state(), State::Handshaking, "the head was complete");
    let count = black_box(connection.output(shared)).len();
    connection.sent(shared, now, count);
}

fn read_lists(proxies: &TrustedProxies, request: &Request<'_>) {
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    black_box(client_address(peer, proxies, request.values("forwarded"), []));
    black_box(client_address(peer, proxies, [], request.values("x-forwarded-for")));
    black_box(request.choose_subprotocol(&["chat", "talk"]));
    black_box(request.cookies().count());
}

/// Handles a response as a client.
fn connect(shared: &mut Shared, buffer: &mut [u8], opening: &Opening, head: &[u8]) {
    let now = Tick::from_millis(0);
    let mut connection = Connection::<()>::connect(shared, now, opening);
    let sent = connection.output(shared);
    let name = b"Sec-WebSocket-Key: ";
    let at = sent.windows(name.len()).position(|window| window == name).expect("a key") + name.len();
    let accept = tungstenite::handshake::derive_accept_key(&sent[at..at + 24]);
    let count = sent.len();
    connection.sent(shared, now, count);
    let mut input = fill(buffer, &[head, accept.as_bytes(), b"\r\n\r\n"].concat());
    black_box(connection.receive(shared, now, &mut input).is_some());
    assert_ne!(connection.state(), State::Handshaking, "the head was complete");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let full = |kind: &'static Kind| SIZES.map(|(size, label)| (format!("head-{}-{label}", kind.name), kind, size));
    let mut cases = KINDS[1..].iter().flat_map(full).collect::<Vec<_>>();
    cases.insert(0, ("head-plain".to_owned(), &KINDS[0], READ));
    match &arguments[..] {
        [] => cases.into_iter().for_each(|(_, kind, size)| make(kind, size)()),
        [list] if list == "--list" => cases.iter().for_each(|(name, ..)| println!("{name}\t1")),
        [wanted, count] => {
            let (_, kind, size) = cases.into_iter().find(|(name, ..)| name == wanted).expect("the name of a case");
            let count: u64 = count.parse().expect("a number");
            let mut step = make(kind, size);
            step();
            let region = Region::new(ALLOCATOR);
            (0..count).for_each(|_| step());
            let stats = region.change();
            println!("{}", (stats.allocations + stats.reallocations) as f64 / count as f64);
        }
        _ => eprintln!("usage: [CASE COUNT | --list]"),
    }
}
