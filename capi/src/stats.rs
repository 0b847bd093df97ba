//! What a server has done.

use crate::abi::lariat_stats;
use crate::boundary::{Failure, status};
use crate::host::lariat_server;
use crate::pointers::check_out;
use lariat::Stats;
use std::ffi::c_int;
use std::mem::size_of;

/// Writes what the server has done and holds. Set the member `size` to sizeof(lariat_stats) before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_get_stats(server: *mut lariat_server, stats: *mut lariat_stats) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        check_out(stats, "the place for the statistics")?;
        // SAFETY: it is not NULL, and the header demands that its first member can be read.
        let size = unsafe { stats.cast::<usize>().read() };
        if size < size_of::<usize>() || size > 1 << 16 {
            return Err(Failure::invalid(format!("lariat_stats.size is {size}: set it to sizeof(lariat_stats)")));
        }
        let known = host.with_clients(|clients| Ok(of(&clients.stats(), size)))?;
        // SAFETY: the header demands that `size` bytes can be written.
        unsafe { stats.cast::<u8>().write_bytes(0, size) };
        let length = size.min(size_of::<lariat_stats>());
        // SAFETY: so many bytes can be read of ours, and be written there.
        unsafe { stats.cast::<u8>().copy_from_nonoverlapping((&raw const known).cast(), length) };
        Ok(())
    })
}

fn of(stats: &Stats, size: usize) -> lariat_stats {
    let now = &stats.connections;
    let ending = now.closing + now.draining + now.flushing + now.responding;
    lariat_stats {
        size,
        open: now.open as u64,
        connections: (now.handshaking + now.deciding + now.open + ending) as u64,
        accepted: stats.accepted,
        connected: stats.connected,
        opened: stats.opened,
        refused: stats.refused.values().sum(),
        closed: stats.closed.values().sum(),
        messages_received: stats.received.messages(),
        messages_sent: stats.sent.messages(),
        bytes_read: stats.bytes_read,
        bytes_written: stats.bytes_written,
        buffered: stats.buffered as u64,
        evictions: stats.evictions,
    }
}
