//! A host in C that reserves its memory: the library allocates nothing once it runs.
//!
//! The allocator aborts the process when something is allocated or freed inside a turn.

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "rows of calls, as a host in C has them")]

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use lariat_c::lariat_option::*;
use lariat_c::*;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ptr;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const CONNECTIONS: usize = 4;
const TOPIC: &str = "all";

/// What the callbacks have seen.
#[derive(Default)]
struct Seen {
    messages: u32,
    timers: u32,
    closed: u32,
    reason_bytes: usize,
}

unsafe fn seen<'a>(user: *mut c_void) -> &'a mut Seen {
    // SAFETY: the test gives `Seen` to all callbacks, and does not use it while the loop turns.
    unsafe { &mut *user.cast::<Seen>() }
}

unsafe extern "C-unwind" fn on_open(server: *mut lariat_server, _: *mut c_void, client: u64) {
    // SAFETY: all is there.
    assert_eq!(unsafe { lariat_subscribe(server, client, TOPIC.as_ptr().cast(), TOPIC.len()) }, 0);
}

/// Binary messages go back, texts go to all.
unsafe extern "C-unwind" fn on_message(
    server: *mut lariat_server,
    user: *mut c_void,
    client: u64,
    kind: c_int,
    data: *const c_char,
    length: usize,
) {
    // SAFETY: the test gives `Seen`.
    unsafe { seen(user) }.messages += 1;
    let topic = TOPIC.as_ptr().cast();
    let result = match kind == lariat_kind::LARIAT_BINARY as c_int {
        // SAFETY: all is there.
        true => unsafe { lariat_send(server, client, kind, data, length) },
        // SAFETY: all is there.
        false => unsafe { lariat_publish(server, topic, TOPIC.len(), 0, kind, data, length, ptr::null_mut()) },
    };
    assert_eq!(result, 0);
    // SAFETY: all is there.
    assert_eq!(unsafe { lariat_set_timer(server, 0, 0, 1, ptr::null_mut()) }, 0);
}

unsafe extern "C-unwind" fn on_timer(_: *mut lariat_server, user: *mut c_void, _: u64, _: u64) {
    // SAFETY: the test gives `Seen`.
    unsafe { seen(user) }.timers += 1;
}

unsafe extern "C-unwind" fn on_close(
    _: *mut lariat_server,
    user: *mut c_void,
    _: u64,
    _: u16,
    _: c_int,
    _: *const c_char,
    length: usize,
) {
    // SAFETY: the test gives `Seen`.
    let seen = unsafe { seen(user) };
    seen.closed += 1;
    seen.reason_bytes = length;
}

/// A server, turned by hand.
struct Host(*mut lariat_server);

impl Host {
    /// Turns without an allocation until the client has got so many bytes.
    fn turn_for(&self, client: &mut TcpStream, bytes: &mut [u8]) {
        let mut got = 0;
        for _ in 0..1_000 {
            // SAFETY: the server is there.
            assert_no_alloc(|| assert_eq!(unsafe { lariat_turn(self.0, 1) }, 0));
            match client.read(&mut bytes[got..]) {
                Ok(0) => panic!("the server has closed the connection after {got} bytes"),
                Ok(count) => got += count,
                Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
            }
            if got == bytes.len() {
                return;
            }
        }
        panic!("{got} of {} bytes have come", bytes.len());
    }

    fn connect(&self, address: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).expect("the server listens");
        client.set_read_timeout(Some(Duration::from_millis(5))).expect("it can be set");
        client
            .write_all(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .expect("there is room");
        client
    }

    fn open(&self, address: &str) -> TcpStream {
        let mut client = self.connect(address);
        let mut head = [0; 129];
        self.turn_for(&mut client, &mut head);
        assert!(head.starts_with(b"HTTP/1.1 101 ") && head.ends_with(b"\r\n\r\n"), "{}", head.escape_ascii());
        client
    }
}

/// A frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn main() {
    let mut server = ptr::null_mut();
    let mut seen = Seen::default();
    let user = ptr::from_mut(&mut seen).cast();
    // SAFETY: all is there until the server is freed.
    let results = unsafe {
        [
            lariat_new(&raw mut server),
            lariat_configure(server, LARIAT_SMALL as c_int, 1),
            lariat_configure(server, LARIAT_MAX_MESSAGE as c_int, 4 << 10),
            lariat_configure(server, LARIAT_RESERVE as c_int, CONNECTIONS as u64),
            lariat_configure(server, LARIAT_RESERVED_TIMERS as c_int, 8),
            lariat_listen(server, c"127.0.0.1:0".as_ptr(), 11),
            lariat_on_open(server, Some(on_open), user),
            lariat_on_message(server, Some(on_message), user),
            lariat_on_timer(server, Some(on_timer), user),
            lariat_on_close(server, Some(on_close), user),
            lariat_keep_topic(server, TOPIC.as_ptr().cast(), TOPIC.len()),
        ]
    };
    assert_eq!(results, [0; 11]);
    let mut buffer: [c_char; 64] = [0; 64];
    // SAFETY: the server is there, and the buffer has this size.
    assert_eq!(unsafe { lariat_address(server, 0, buffer.as_mut_ptr(), buffer.len()) }, 0);
    // SAFETY: the text has a NUL at its end.
    let address = unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().expect("an address").to_owned();
    let host = Host(server);

    for round in 0..3 {
        let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| host.open(&address)).collect();
        let mut further = host.connect(&address);
        let mut head = [0; 13];
        host.turn_for(&mut further, &mut head);
        assert_eq!(&head, b"HTTP/1.1 503 ", "one more than is reserved");
        drop(further);
        for (index, client) in clients.iter_mut().enumerate() {
            let message = vec![b'a' + index as u8; 100];
            client.write_all(&frame(0x82, &message)).expect("there is room");
            let mut echo = [0; 102];
            host.turn_for(client, &mut echo);
            assert_eq!(echo[2..], message);
        }
        clients[0].write_all(&frame(0x81, b"to all")).expect("there is room");
        for client in &mut clients {
            let mut message = [0; 8];
            host.turn_for(client, &mut message);
            assert_eq!(&message[2..], b"to all");
        }
        // One says goodbye, the others break off.
        clients[0].write_all(&frame(0x88, b"\x03\xe8enough")).expect("there is room");
        let mut goodbye = [0; 10];
        host.turn_for(&mut clients[0], &mut goodbye);
        assert_eq!(&goodbye, b"\x88\x08\x03\xe8enough");
        drop(clients);
        for _ in 0..1_000 {
            // SAFETY: the server is there.
            assert_no_alloc(|| assert_eq!(unsafe { lariat_turn(host.0, 1) }, 0));
            // SAFETY: the loop does not turn now.
            if unsafe { (*user.cast::<Seen>()).closed } == CONNECTIONS as u32 * (round + 1) {
                break;
            }
        }
    }
    // SAFETY: nobody uses it after this.
    assert_eq!(unsafe { lariat_free(server) }, 0);
    assert_eq!((seen.messages, seen.timers, seen.closed), (15, 15, 12));
    assert!(seen.reason_bytes > 0, "on_close gets a reason");
    println!("test result: ok");
}
