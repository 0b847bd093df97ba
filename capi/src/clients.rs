//! What can be done with one client.

use crate::abi::lariat_status::{LARIAT_GONE, LARIAT_NOT_FOUND};
use crate::boundary::{Failure, Outcome, status, value_or};
use crate::host::{HostClients, lariat_server};
use crate::pointers::{User, bytes, check_out, copy_text, message, text, write};
use lariat::{ClientId, CloseCode, ReadyState};
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// Returns the id of a number from C. A number that is none is a client that never was.
pub(crate) fn client(number: u64) -> Outcome<ClientId> {
    ClientId::from_u64(number).ok_or_else(gone)
}

pub(crate) fn gone() -> Failure {
    Failure::new(LARIAT_GONE, "the client has disconnected, or never was")
}

/// Refuses the id of a client that has gone, for calls that would return `false` for another reason
/// as well.
pub(crate) fn check_there(clients: &HostClients, id: ClientId) -> Outcome {
    if clients.ready_state(id) == ReadyState::Closed { Err(gone()) } else { Ok(()) }
}

/// Queues a message for a client: kind is LARIAT_TEXT or LARIAT_BINARY. All messages of one turn
/// are sent in one write, in order, when the turn ends. The data is copied. Fails with LARIAT_GONE
/// or LARIAT_NOT_OPEN, or with LARIAT_FULL if more than LARIAT_MAX_UNSENT bytes would be unsent,
/// even if one callback sends them all. The connection is then cut, and on_close gets 1006.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_send(
    server: *mut lariat_server,
    id: u64,
    kind: c_int,
    data: *const c_char,
    length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands readable data.
        let message = unsafe { message(kind, data, length)? };
        host.with_clients(|clients| Ok(clients.send(client(id)?, message)?))
    })
}

/// Begins to close a client: what is queued is sent first, then a Close frame with a code (1000 to
/// 1003, 1007 to 1014, 3000 to 4999) and a reason of at most 123 bytes, or none. on_close comes
/// when the client has answered, or after LARIAT_CLOSE_TIMEOUT. No message of the client is
/// delivered any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_close(
    server: *mut lariat_server,
    id: u64,
    code: u16,
    reason: *const c_char,
    length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let reason = unsafe { text(reason, length, "the reason")? };
        host.with_clients(|clients| Ok(clients.close(client(id)?, CloseCode::from(code), reason)?))
    })
}

/// Ends a connection at once, without a Close frame. Unsent bytes are dropped, and no message of
/// the client is delivered any more. on_close comes at the end of the turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_terminate(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut HostClients, id| if clients.terminate(id) { Ok(()) } else { Err(gone()) };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Stops reading from a client, so that TCP flow control slows it down. Until lariat_resume, no
/// message is delivered, no ping is answered, and an end of the connection may go unnoticed.
/// LARIAT_NOT_OPEN if the client is closing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_pause(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut HostClients, id| {
        check_there(clients, id)?;
        if clients.pause(id) { Ok(()) } else { Err(lariat::SendError::NotOpen.into()) }
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Reads from a client again. It is no error if the client was not paused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_resume(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut HostClients, id| {
        check_there(clients, id)?;
        clients.resume(id);
        Ok(())
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Writes how many bytes for a client are unsent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_unsent(server: *mut lariat_server, id: u64, bytes: *mut usize) -> c_int {
    let call = |clients: &mut HostClients, id| {
        check_out(bytes, "the place for the number")?;
        check_there(clients, id)?;
        // SAFETY: the header demands a place that can be written.
        unsafe { write(bytes, clients.buffered_amount(id)) };
        Ok(())
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Queues a ping with at most 125 bytes. on_pong comes with the same bytes. Lariat pings silent
/// clients by itself (LARIAT_PING_INTERVAL): this is for measurements. Fails as lariat_send does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_ping(server: *mut lariat_server, id: u64, data: *const c_char, length: usize) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands readable bytes.
        let payload = unsafe { bytes(data, length, "the payload")? };
        host.with_clients(|clients| Ok(clients.ping(client(id)?, payload)?))
    })
}

/// Attaches a pointer of the host to a client. Lariat never follows or frees it: in on_close, free
/// what it points to. It can be set at any time. But if it is set in on_request and the handshake
/// then fails, on_close is not called: allocate in on_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_set_data(server: *mut lariat_server, id: u64, data: *mut c_void) -> c_int {
    let call = |clients: &mut HostClients, id| clients.set_data(id, User(data)).map_err(|_| gone());
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Returns the pointer that lariat_set_data has attached. NULL if there is none, if the client has
/// gone, and after any other failure: lariat_last_error then says which.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_data(server: *mut lariat_server, id: u64) -> *mut c_void {
    let call = || {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        let User(data) = host.with_clients(|clients| clients.data(client(id)?).copied().ok_or_else(gone))?;
        if data.is_null() { Err(Failure::new(LARIAT_NOT_FOUND, "the client has no pointer")) } else { Ok(data) }
    };
    value_or(call, |_| ptr::null_mut())
}

/// Writes the address of a client, with a NUL at its end: "192.0.2.1:50123". LARIAT_NOT_FOUND if it
/// has come over a Unix socket, or if its connection is broken already. 64 bytes are enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_peer(server: *mut lariat_server, id: u64, buffer: *mut c_char, size: usize) -> c_int {
    let call = |clients: &mut HostClients, id| {
        check_out(buffer, "the buffer")?;
        check_there(clients, id)?;
        let text = "the client has no address: it has come over a Unix socket, or its connection is broken";
        let address = clients.peer_addr(id).ok_or_else(|| Failure::new(LARIAT_NOT_FOUND, text))?;
        // SAFETY: the header demands a buffer of this size.
        unsafe { copy_text(&address.to_string(), buffer, size) }
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Writes the subprotocol that was chosen for a client, with a NUL at its end. LARIAT_NOT_FOUND if
/// there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_subprotocol(
    server: *mut lariat_server,
    id: u64,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    let call = |clients: &mut HostClients, id| {
        check_out(buffer, "the buffer")?;
        check_there(clients, id)?;
        let text = "no subprotocol was chosen for this client";
        let name = clients.subprotocol(id).ok_or_else(|| Failure::new(LARIAT_NOT_FOUND, text))?;
        // SAFETY: the header demands a buffer of this size.
        unsafe { copy_text(name, buffer, size) }
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Runs something for a client.
///
/// # Safety
///
/// Unless it is NULL, the server is not freed.
unsafe fn with_client(
    server: *mut lariat_server,
    id: u64,
    call: impl FnOnce(&mut HostClients, ClientId) -> Outcome,
) -> c_int {
    status(|| {
        // SAFETY: promised by the caller.
        let host = unsafe { lariat_server::of(server)? };
        host.with_clients(|clients| call(clients, client(id)?))
    })
}
