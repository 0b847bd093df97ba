//! How the loop's callbacks reach C.

use crate::abi::lariat_client_fn;
use crate::abi::lariat_kind::{LARIAT_BINARY, LARIAT_TEXT};
use crate::callbacks::Callbacks;
use crate::host::{HostClients, lariat_server};
use crate::pointers::User;
use crate::requests::lariat_request;
use lariat::{Answer, ClientId, CloseReason, Handler, Message, Request, TimerId, Upgrade};
use std::ffi::{c_int, c_void};
use std::fmt::Write;

/// The handler of the loop. It belongs to the server that it points to.
#[derive(Debug)]
pub struct Bridge {
    host: *const lariat_server,
    /// For reasons that on_close gets. Its memory stays, so that an end allocates nothing.
    text: String,
}

impl Bridge {
    pub(crate) fn new(host: &lariat_server) -> Bridge {
        Bridge { host: std::ptr::from_ref(host), text: String::with_capacity(512) }
    }

    /// Lends the clients, and calls C if there is a callback.
    fn call<F: Copy, T>(
        &self,
        clients: &mut HostClients,
        callback: impl FnOnce(&Callbacks) -> (Option<F>, User),
        call: impl FnOnce(F, *mut lariat_server, *mut c_void) -> T,
    ) -> Option<T> {
        // SAFETY: callbacks come from a turn, which `lariat_turn` or `lariat_run` runs with the
        // server borrowed, so that it is not freed meanwhile.
        let host = unsafe { &*self.host };
        let (callback, User(user)) = callback(&host.callbacks);
        let callback = callback?;
        Some(host.lend(clients, || call(callback, host.as_ptr(), user)))
    }

    /// Calls a callback that has only a client.
    fn call_with_client(
        &self,
        clients: &mut HostClients,
        id: ClientId,
        callback: impl FnOnce(&Callbacks) -> (lariat_client_fn, User),
    ) {
        self.call(clients, callback, |callback, server, user| {
            // SAFETY: the host has given the function and its user pointer together.
            unsafe { callback(server, user, id.to_u64()) };
        });
    }
}

impl Handler for Bridge {
    type Data = User;

    fn on_request(&mut self, clients: &mut HostClients, id: ClientId, request: &Request<'_>) -> Answer {
        let called = self.call(
            clients,
            |all| all.request.get(),
            |callback, server, user| {
                let request = lariat_request::new(request);
                let at = std::ptr::from_ref(&request).cast_mut();
                // SAFETY: the host has given the function and its user pointer together, and the
                // request is there until the call returns.
                let status = unsafe { callback(server, user, id.to_u64(), at) };
                request.answer(status)
            },
        );
        called.unwrap_or_else(|| Upgrade::new().into())
    }

    fn on_open(&mut self, clients: &mut HostClients, id: ClientId) {
        self.call_with_client(clients, id, |all| all.open.get());
    }

    fn on_message(&mut self, clients: &mut HostClients, id: ClientId, message: Message<'_>) {
        self.call(
            clients,
            |all| all.message.get(),
            |callback, server, user| {
                let (kind, data) = match message {
                    Message::Text(text) => (LARIAT_TEXT, text.as_bytes()),
                    Message::Binary(bytes) => (LARIAT_BINARY, bytes),
                };
                // SAFETY: the host has given the function and its user pointer together, and the
                // message is there until the call returns.
                unsafe { callback(server, user, id.to_u64(), kind as c_int, data.as_ptr().cast(), data.len()) };
            },
        );
    }

    fn on_pong(&mut self, clients: &mut HostClients, id: ClientId, payload: &[u8]) {
        self.call(
            clients,
            |all| all.pong.get(),
            |callback, server, user| {
                // SAFETY: the host has given the function and its user pointer together, and the
                // bytes are there until the call returns.
                unsafe { callback(server, user, id.to_u64(), payload.as_ptr().cast(), payload.len()) };
            },
        );
    }

    fn on_drain(&mut self, clients: &mut HostClients, id: ClientId) {
        self.call_with_client(clients, id, |all| all.drain.get());
    }

    fn on_timer(&mut self, clients: &mut HostClients, timer: TimerId, token: u64) {
        self.call(
            clients,
            |all| all.timer.get(),
            |callback, server, user| {
                // SAFETY: the host has given the function and its user pointer together.
                unsafe { callback(server, user, timer.to_u64(), token) };
            },
        );
    }

    fn on_close(&mut self, clients: &mut HostClients, id: ClientId, reason: &CloseReason) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        match reason {
            CloseReason::Peer(None) => {}
            CloseReason::Peer(Some(frame)) | CloseReason::Local(frame) => text.push_str(&frame.reason),
            // A String takes everything.
            other => drop(write!(text, "{other}")),
        }
        self.call(
            clients,
            |all| all.close.get(),
            |callback, server, user| {
                let (code, is_clean) = (reason.code().number(), c_int::from(reason.was_clean()));
                let (data, length) = (text.as_ptr().cast(), text.len());
                // SAFETY: the host has given the function and its user pointer together, and the
                // text is there until the call returns.
                unsafe { callback(server, user, id.to_u64(), code, is_clean, data, length) };
            },
        );
        self.text = text;
    }
}
