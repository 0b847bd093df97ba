//! Tests the memory that compression needs: nothing for an idle connection, the documented amount
//! with context takeover, and no allocations after the first messages.
//!
//! This program counts every allocation of its process.

use lariat::protocol::{
    Connection, Deflater, Event, Header, Inflater, Input, Limits, Opcode, Request, Role, Shared, Ticket, Upgrade,
};
use lariat::{Deflate, Takeover};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEY: [u8; 4] = [1, 2, 3, 4];

/// Returns the growth of the allocated bytes since the region began.
fn growth(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize + change.bytes_reallocated
}

fn open(shared: &mut Shared, offer: &str) -> Connection {
    let mut connection = Connection::new(Role::Server, Default::default());
    let mut request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"
    )
    .into_bytes();
    let mut input = Input::new(&mut request);
    let Some(Event::Request { head, .. }) = connection.receive(shared, Default::default(), &mut input) else {
        panic!("a request")
    };
    let ticket = Ticket::new(&Request::parse(&head).expect("a good request"));
    connection.answer(shared, Default::default(), ticket, Upgrade::new().into()).expect("a good answer");
    flush(&mut connection, shared);
    connection
}

fn flush(connection: &mut Connection, shared: &mut Shared) -> usize {
    let count = connection.output(shared).len();
    connection.sent(shared, Default::default(), count);
    count
}

/// A masked frame with a compressed message, which can be received repeatedly.
struct Frame {
    bytes: Vec<u8>,
    buffer: Vec<u8>,
}

impl Frame {
    fn new(deflater: &mut Deflater, message: &[u8]) -> Frame {
        let mut compressed = Vec::new();
        deflater.compress(message, &mut compressed);
        let mut bytes = Vec::new();
        Header { mask: Some(KEY), ..Header::compressed(Opcode::Text, compressed.len()) }.encode(&mut bytes);
        bytes.extend(compressed.iter().enumerate().map(|(index, byte)| byte ^ KEY[index % 4]));
        Frame { buffer: bytes.clone(), bytes }
    }

    /// Receives the message in two reads and echoes it. Returns the length of the echo.
    fn echo(&mut self, connection: &mut Connection, shared: &mut Shared) -> usize {
        self.buffer.copy_from_slice(&self.bytes);
        let half = self.buffer.len() / 2;
        let (first, second) = self.buffer.split_at_mut(half);
        for piece in [first, second] {
            let mut input = Input::new(piece);
            while let Some(event) = connection.receive(shared, Default::default(), &mut input) {
                let Event::Gathered(message) = event else { panic!("a message") };
                connection.send(shared, message.as_message()).expect("open");
                shared.recycle(message);
            }
        }
        flush(connection, shared)
    }
}

fn shared(takeover: Takeover, max_window_bits: u8) -> Shared {
    let mut deflate = Deflate::default();
    deflate.context_takeover = takeover;
    deflate.max_window_bits = max_window_bits;
    Shared::with_seed(Limits::default(), 0).with_deflate(Some(deflate))
}

fn main() {
    without_takeover();
    println!("with context takeover, bytes per connection after messages in both directions:");
    println!("window  sent (said)      received (said)");
    for bits in 9..=15 {
        with_takeover(bits);
    }
}

fn without_takeover() {
    let message = r#"{"a":"some text","b":[1,2,3]} "#.repeat(2_000);
    let mut shared = shared(Takeover::Never, 15);
    let mut frame = Frame::new(&mut Deflater::new(6, 15), message.as_bytes());
    let mut connections: Vec<Connection> =
        (0..100).map(|_| open(&mut shared, "permessage-deflate; client_max_window_bits")).collect();
    frame.echo(&mut connections[0], &mut shared);

    let region = Region::new(ALLOCATOR);
    for round in 0..1_000 {
        let connection = &mut connections[round % 100];
        assert!(frame.echo(connection, &mut shared) < message.len() / 10, "the echo is compressed");
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "allocations after the first message");
    assert_eq!(growth(&region), 0, "growth per connection");
    let all = shared.memory();
    println!("without: 0 bytes per connection, 0 allocations per message, {all} bytes for all");
    assert!(all < 800 << 10, "{all}");
}

fn with_takeover(bits: u8) {
    let message = r#"{"a":"some text","b":[1,2,3]} "#.repeat(2_000);
    let offer = format!("permessage-deflate; server_max_window_bits={bits}");
    let mut measured = [0; 2];
    for (takeover, place) in [(Takeover::Sent, 0), (Takeover::Received, 1)] {
        let mut shared = shared(takeover, bits);
        let mut deflater = Deflater::new(6, bits);
        let mut frame = Frame::new(&mut deflater, message.as_bytes());
        // Creates the shared state and fills the pools.
        let mut first = open(&mut shared, &offer);
        frame.echo(&mut first, &mut shared);
        let region = Region::new(ALLOCATOR);
        let mut connection = open(&mut shared, &offer);
        assert_eq!(connection.agreed().keeps_sent(), takeover == Takeover::Sent);
        let idle = growth(&region);
        assert!(idle < 1_000, "before the first message: {idle}");
        frame.echo(&mut connection, &mut shared);
        measured[place] = growth(&region) as usize;
        connection.end(&mut shared, lariat::CloseReason::Eof);
        let left = growth(&region);
        assert!(left < 1_000, "{left} bytes are left");
    }
    let said = [Deflater::memory(bits), Inflater::MEMORY];
    println!("{bits:>6}  {:>7} ({:>6})  {:>6} ({:>5})", measured[0], said[0], measured[1], said[1]);
    for (measured, said) in measured.into_iter().zip(said) {
        assert!(measured <= said && measured * 100 >= said * 95, "{bits} bits: {measured} measured, {said} said");
    }
}
