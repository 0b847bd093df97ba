//! What can be done with one client.

use crate::abi::lariat_status::LARIAT_GONE;
use crate::boundary::{Failure, Outcome, status};
use crate::host::lariat_server;
use crate::pointers::{check_out, message, text, write};
use lariat::{ClientId, Clients, CloseCode, ConnectOptions, ReadyState};
use std::ffi::{c_char, c_int};

/// Returns the id of a number from C. A number that is none is a client that never was.
pub(crate) fn client(number: u64) -> Outcome<ClientId> {
    ClientId::from_u64(number).ok_or_else(gone)
}

pub(crate) fn gone() -> Failure {
    Failure::new(LARIAT_GONE, "the client has disconnected, or never was")
}

/// Refuses the id of a client that has gone, for calls that would return `false` for another reason
/// as well.
pub(crate) fn check_there(clients: &Clients<()>, id: ClientId) -> Outcome {
    if clients.ready_state(id) == ReadyState::Closed { Err(gone()) } else { Ok(()) }
}

/// Queues a message for a client: kind is LARIAT_TEXT or LARIAT_BINARY. All messages of one turn
/// are sent in one write, in order. The data is copied. LARIAT_GONE, LARIAT_NOT_OPEN; LARIAT_FULL
/// closes the client.
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
/// when the client has answered, or after LARIAT_CLOSE_TIMEOUT.
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

/// Ends a connection at once, without a Close frame. Unsent bytes are dropped. on_close comes at
/// the end of the turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_terminate(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut Clients<()>, id| if clients.terminate(id) { Ok(()) } else { Err(gone()) };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Stops reading from a client, so that TCP holds it back. No message is delivered until
/// lariat_resume. LARIAT_NOT_OPEN if the client is closing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_pause(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut Clients<()>, id| {
        check_there(clients, id)?;
        if clients.pause(id) { Ok(()) } else { Err(lariat::SendError::NotOpen.into()) }
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Reads from a client again. It is no error if the client was not paused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_resume(server: *mut lariat_server, id: u64) -> c_int {
    let call = |clients: &mut Clients<()>, id| {
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
    let call = |clients: &mut Clients<()>, id| {
        check_out(bytes, "the place for the number")?;
        check_there(clients, id)?;
        // SAFETY: the header demands a place that can be written.
        unsafe { write(bytes, clients.buffered_amount(id)) };
        Ok(())
    };
    // SAFETY: the header demands a server that is not freed.
    unsafe { with_client(server, id, call) }
}

/// Connects to a server: "ws://host:port/path", or wss:// in a build with TLS. The connection is a
/// client like any other: on_open, on_message, on_close. on_close comes also if it never opened.
/// `subprotocol` is offered, unless its length is 0. Writes the id, unless its place is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_connect(
    server: *mut lariat_server,
    url: *const c_char,
    length: usize,
    subprotocol: *const c_char,
    subprotocol_length: usize,
    id: *mut u64,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let url = unsafe { text(url, length, "the URL")? };
        // SAFETY: as above.
        let subprotocol = unsafe { text(subprotocol, subprotocol_length, "the subprotocol")? };
        let mut options = ConnectOptions::new();
        options.subprotocols.extend((!subprotocol.is_empty()).then(|| subprotocol.to_owned()));
        let connected = host.with_clients(|clients| Ok(clients.connect(url, &options)?))?;
        // SAFETY: the header demands NULL or a place that can be written.
        unsafe { write(id, connected.to_u64()) };
        Ok(())
    })
}

/// Runs something for a client.
///
/// # Safety
///
/// Unless it is NULL, the server is not freed.
unsafe fn with_client(
    server: *mut lariat_server,
    id: u64,
    call: impl FnOnce(&mut Clients<()>, ClientId) -> Outcome,
) -> c_int {
    status(|| {
        // SAFETY: promised by the caller.
        let host = unsafe { lariat_server::of(server)? };
        host.with_clients(|clients| call(clients, client(id)?))
    })
}
