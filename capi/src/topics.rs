//! What can be done with many clients: topics, and messages to all.

use crate::boundary::{Outcome, status};
use crate::clients::{check_there, client};
use crate::host::{HostClients, lariat_server};
use crate::pointers::{check_out, message, text, write};
use lariat::ClientId;
use std::ffi::{c_char, c_int};

/// Makes a client a member of a topic, which is any text. It is no error if it is one already. A
/// client leaves all its topics when it disconnects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_subscribe(
    server: *mut lariat_server,
    id: u64,
    topic: *const c_char,
    length: usize,
) -> c_int {
    let call = |clients: &mut HostClients, id, topic: &str| clients.subscribe(id, topic);
    // SAFETY: the header demands a server that is not freed and a readable text.
    unsafe { with_topic(server, id, topic, length, call) }
}

/// Keeps a topic when its last member leaves. With LARIAT_RESERVE, it then has room for all
/// connections, so that joining and leaving allocate nothing. Call it before the first client
/// comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_keep_topic(server: *mut lariat_server, topic: *const c_char, length: usize) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let topic = unsafe { text(topic, length, "the topic")? };
        host.with_clients(|clients| {
            clients.keep_topic(topic);
            Ok(())
        })
    })
}

/// Takes a client out of a topic. It is no error if it is no member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_unsubscribe(
    server: *mut lariat_server,
    id: u64,
    topic: *const c_char,
    length: usize,
) -> c_int {
    let call = |clients: &mut HostClients, id, topic: &str| clients.unsubscribe(id, topic);
    // SAFETY: the header demands a server that is not freed and a readable text.
    unsafe { with_topic(server, id, topic, length, call) }
}

/// Writes how many members a topic has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_subscribers(
    server: *mut lariat_server,
    topic: *const c_char,
    length: usize,
    count: *mut usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let topic = unsafe { text(topic, length, "the topic")? };
        check_out(count, "the place for the number")?;
        let members = host.with_clients(|clients| Ok(clients.subscribers(topic)))?;
        // SAFETY: the header demands a place that can be written.
        unsafe { write(count, members) };
        Ok(())
    })
}

/// Queues a message for all members of a topic except one client (0: for all members). The data is
/// copied. Writes the number of clients for which it was queued, unless `count` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_publish(
    server: *mut lariat_server,
    topic: *const c_char,
    topic_length: usize,
    except: u64,
    kind: c_int,
    data: *const c_char,
    length: usize,
    count: *mut usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let topic = unsafe { text(topic, topic_length, "the topic")? };
        // SAFETY: the header demands readable data.
        let message = unsafe { message(kind, data, length)? };
        let queued = host.with_clients(|clients| {
            Ok(match ClientId::from_u64(except) {
                Some(except) => clients.publish_except(topic, except, message),
                None => clients.publish(topic, message),
            })
        })?;
        // SAFETY: the header demands NULL or a place that can be written.
        unsafe { write(count, queued) };
        Ok(())
    })
}

/// Queues a message for all open clients, those of lariat_connect included. The data is copied.
/// Writes the number of clients for which it was queued, unless `count` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_broadcast(
    server: *mut lariat_server,
    kind: c_int,
    data: *const c_char,
    length: usize,
    count: *mut usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands readable data.
        let message = unsafe { message(kind, data, length)? };
        let queued = host.with_clients(|clients| Ok(clients.broadcast(message)))?;
        // SAFETY: the header demands NULL or a place that can be written.
        unsafe { write(count, queued) };
        Ok(())
    })
}

/// Runs something for a client and a topic.
///
/// # Safety
///
/// Unless it is NULL, the server is not freed. The topic is as for [`text`].
unsafe fn with_topic(
    server: *mut lariat_server,
    id: u64,
    topic: *const c_char,
    length: usize,
    call: impl FnOnce(&mut HostClients, ClientId, &str) -> bool,
) -> c_int {
    status(|| {
        // SAFETY: promised by the caller.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: promised by the caller.
        let topic = unsafe { text(topic, length, "the topic")? };
        host.with_clients(|clients| -> Outcome {
            let id = client(id)?;
            check_there(clients, id)?;
            call(clients, id, topic);
            Ok(())
        })
    })
}
