//! The memory of a connection, measured as the private dirty pages of the program: before, with
//! idle connections, after each has echoed 64 KiB, and after many have done so at the same time.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::Program;
use common::{Wire, binary};

/// The most connections, if there are enough descriptors. A debug build has fewer, because its
/// client is slow to mask.
const MOST: usize = if cfg!(debug_assertions) { 2_000 } else { 19_000 };

/// The bytes of an idle connection: its slab entry. In debug builds, the sockets of mio are larger
/// (they remember their poller), and so is the entry.
const PER_CONNECTION: usize = if cfg!(debug_assertions) { 96 } else { 64 };

/// The bytes that do not depend on the number of connections: the buffers of the loop, spare
/// buffers, the slack of the allocator.
const FIXED: usize = 512 << 10;

/// The number of clients that send at the same time.
const AT_ONCE: usize = 500;

/// The bytes that each of them may need: its message while it arrives, its echo while it waits.
const AT_ONCE_EACH: usize = 132 << 10;

#[test]
fn an_idle_connection_costs_its_slab_entry() {
    let count = MOST.min(common::descriptors().saturating_sub(100));
    // Pages of a file that has just been written count as dirty.
    std::fs::File::open(env!("CARGO_BIN_EXE_lariat")).and_then(|file| file.sync_all()).expect("the program");
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let addr = program.ready();
    let before = program.private_dirty();

    let mut wires: Vec<Wire> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut wire = Wire::connect(addr);
        wire.handshake("/echo");
        // The test has as many connections as the program, so its buffers are small.
        wires.push(Wire { stream: std::io::BufReader::with_capacity(256, wire.stream.into_inner()) });
    }
    let idle = program.private_dirty();

    let (message, payload) = (binary(&[7; 64 << 10]), [7; 64 << 10]);
    for wire in &mut wires {
        wire.send(&message);
        wire.expect(0x82, &payload);
    }
    let one_by_one = program.private_dirty();

    // Each has half a message in the memory of the server, and then a whole one.
    let (head, tail) = message.split_at(message.len() / 2);
    for group in wires.chunks_mut(AT_ONCE) {
        group.iter_mut().for_each(|wire| wire.send(head));
        group.iter_mut().for_each(|wire| wire.send(tail));
        group.iter_mut().for_each(|wire| wire.expect(0x82, &payload));
    }
    let at_once = program.private_dirty();

    let allowed = count * PER_CONNECTION + FIXED;
    println!("{count} connections, {before} bytes before any, {allowed} more allowed");
    let more = [idle, one_by_one, at_once].map(|bytes| bytes.saturating_sub(before));
    for (what, more) in ["idle", "each echoed 64 KiB", "500 at once did"].into_iter().zip(more) {
        println!("{what}: {more} bytes more, {} per connection", more / count);
    }
    assert!(more[0] <= allowed, "idle: {} bytes more than before the first of {count} connections", more[0]);
    assert!(more[1] <= allowed, "after an echo each: {} bytes more, {count} connections", more[1]);
    // All buffers are freed. The allocator may keep what many needed at once, but not what each
    // needed in turn.
    assert!(
        more[2] <= allowed + AT_ONCE * AT_ONCE_EACH,
        "after many at once: {} bytes more, {count} connections",
        more[2]
    );
    assert!(program.child.try_wait().expect("it is our child").is_none(), "it has ended");
}
