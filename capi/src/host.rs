//! What is behind a `lariat_server`, and who may use it when.

use crate::abi::lariat_status::{LARIAT_BUSY, LARIAT_WRONG_STATE, LARIAT_WRONG_THREAD};
use crate::boundary::{Failure, Outcome, Place, may_panic};
use crate::bridge::Bridge;
use crate::callbacks::Callbacks;
use crate::options;
use crate::pointers::User;
use crate::thread::ThreadNumber;
#[cfg(feature = "tls")]
use lariat::tls::{ClientTls, ServerTls, TlsFiles};
use lariat::{Config, EventLoop, Remote};
use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

/// The clients, each with a pointer of the host.
pub(crate) type HostClients = lariat::Clients<User>;

/// A server for them.
pub(crate) type HostServer = lariat::Server<User>;

/// A server, made by lariat_new and freed by lariat_free.
#[expect(non_camel_case_types, reason = "the name of C")]
pub struct lariat_server {
    /// The thread that has made it, the only one that may use its cells.
    owner: ThreadNumber,
    /// The pointer that C has. All others come from it.
    this: Cell<*mut lariat_server>,
    state: RefCell<State>,
    /// The clients, while a callback lends them.
    lent: Cell<Option<NonNull<HostClients>>>,
    /// For other threads.
    remote: OnceLock<Remote<User>>,
    /// Where it listens, for lariat_address.
    pub(crate) addresses: RefCell<Vec<String>>,
    /// Whom lariat_connect trusts, if lariat_trust has said so.
    #[cfg(feature = "tls")]
    pub(crate) trusted: RefCell<Option<ClientTls>>,
    /// What lariat_listen_tls has read, and from which files.
    #[cfg(feature = "tls")]
    pub(crate) identities: RefCell<Vec<(ServerTls, TlsFiles)>>,
    pub(crate) callbacks: Callbacks,
}

pub(crate) enum State {
    /// It can be configured.
    New(Box<Config>),
    /// It listens.
    Listening(Box<HostServer>),
    /// It turns, or has stopped.
    Running(Box<EventLoop<Bridge>>),
    /// It could not be started, and can only be freed.
    Failed,
}

/// Puts back what a callback lends.
struct Lent<'h> {
    place: &'h Cell<Option<NonNull<HostClients>>>,
    before: Option<NonNull<HostClients>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.place.set(self.before);
    }
}

impl lariat_server {
    /// Makes one, and returns the pointer for C.
    pub(crate) fn create() -> *mut lariat_server {
        let host = Box::into_raw(Box::new(lariat_server {
            owner: ThreadNumber::own(),
            this: Cell::new(ptr::null_mut()),
            state: RefCell::new(State::New(Box::default())),
            lent: Cell::new(None),
            remote: OnceLock::new(),
            addresses: RefCell::default(),
            #[cfg(feature = "tls")]
            trusted: RefCell::default(),
            #[cfg(feature = "tls")]
            identities: RefCell::default(),
            callbacks: Callbacks::default(),
        }));
        // SAFETY: it was made a line ago.
        unsafe { (*host).this.set(host) };
        host
    }

    /// Returns the server behind a pointer, for any thread.
    ///
    /// # Safety
    ///
    /// Unless it is NULL, it comes from [`create`](Self::create) and is not freed while `'a` lasts.
    pub(crate) unsafe fn of_any_thread<'a>(server: *const lariat_server) -> Outcome<&'a lariat_server> {
        // SAFETY: promised by the caller. Nobody makes a `&mut` of it.
        unsafe { server.as_ref() }.ok_or_else(|| Failure::invalid("the server is NULL"))
    }

    /// Returns the server behind a pointer, on the loop's thread.
    ///
    /// # Safety
    ///
    /// As [`of_any_thread`](Self::of_any_thread).
    pub(crate) unsafe fn of<'a>(server: *const lariat_server) -> Outcome<&'a lariat_server> {
        // SAFETY: promised by the caller.
        let host = unsafe { lariat_server::of_any_thread(server)? };
        match host.owner == ThreadNumber::own() {
            true => Ok(host),
            false => {
                let text = "only the thread that called lariat_new may do this: take it there with lariat_post";
                Err(Failure::new(LARIAT_WRONG_THREAD, text))
            }
        }
    }

    /// Ends it.
    ///
    /// # Safety
    ///
    /// The pointer comes from [`create`](Self::create), and nobody uses it any more.
    pub(crate) unsafe fn free(server: *mut lariat_server) -> Outcome {
        {
            // SAFETY: promised by the caller, and not freed before the end of this block.
            let host = unsafe { lariat_server::of(server)? };
            let state = mem::replace(&mut *host.borrow()?, State::Failed);
            // Sockets are closed and lines are logged while the server is still there.
            drop(state);
        }
        // SAFETY: it comes from a box, and the state was not borrowed, so no call is in progress.
        drop(unsafe { Box::from_raw(server) });
        Ok(())
    }

    pub(crate) fn as_ptr(&self) -> *mut lariat_server {
        self.this.get()
    }

    pub(crate) fn remote(&self) -> Outcome<&Remote<User>> {
        let text = "the server does not listen or run yet: call lariat_listen or lariat_fd before";
        self.remote.get().ok_or_else(|| Failure::new(LARIAT_WRONG_STATE, text))
    }

    /// Borrows the state, unless the loop turns.
    fn borrow(&self) -> Outcome<RefMut<'_, State>> {
        let text = "a callback cannot turn, configure or free its own server: return from it first";
        let state = self.state.try_borrow_mut().map_err(|_| Failure::new(LARIAT_BUSY, text))?;
        may_panic(Place::Inside);
        Ok(state)
    }

    /// Changes the configuration.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config) -> Outcome) -> Outcome {
        match &mut *self.borrow()? {
            State::New(config) => change(config),
            _ => Err(too_late("lariat_configure after the first lariat_listen, or after the loop has started,")),
        }
    }

    /// Adds places where it listens, before it runs. If that fails, nothing has changed.
    pub(crate) fn listen(&self, add: impl FnOnce(&mut HostServer) -> Outcome) -> Outcome {
        let mut state = self.borrow()?;
        match &mut *state {
            State::New(config) => {
                let mut server = Box::new(options::server(config)?);
                add(&mut server)?;
                self.note(&server);
                *state = State::Listening(server);
            }
            State::Listening(server) => {
                add(server)?;
                self.note(server);
            }
            State::Running(_) => return Err(too_late("lariat_listen after the loop has started")),
            State::Failed => return Err(failed_before()),
        }
        Ok(())
    }

    /// Notes what other calls need to know of a server.
    fn note(&self, server: &HostServer) {
        let _ = self.remote.set(server.remote());
        *self.addresses.borrow_mut() = server.local_addrs().iter().map(ToString::to_string).collect();
    }

    /// Runs something with the loop, between two turns. Starts it.
    pub(crate) fn with_loop<T>(&self, call: impl FnOnce(&mut EventLoop<Bridge>) -> Outcome<T>) -> Outcome<T> {
        let mut state = self.borrow()?;
        if let State::New(config) = &mut *state {
            let server = Box::new(options::server(config)?);
            self.note(&server);
            *state = State::Listening(server);
        }
        if matches!(*state, State::Listening(_)) {
            if let State::Listening(server) = mem::replace(&mut *state, State::Failed) {
                *state = State::Running(Box::new(server.start(Bridge::new(self))?));
            }
        }
        match &mut *state {
            State::Running(event_loop) => call(event_loop),
            _ => Err(failed_before()),
        }
    }

    /// Runs something with the clients: those that a callback lends, or those of the loop between
    /// two turns.
    pub(crate) fn with_clients<T>(&self, call: impl FnOnce(&mut HostClients) -> Outcome<T>) -> Outcome<T> {
        let Some(mut clients) = self.lent.take() else {
            return self.with_loop(|event_loop| call(event_loop.clients_mut()));
        };
        let _back = Lent { place: &self.lent, before: Some(clients) };
        may_panic(Place::Inside);
        // SAFETY: `lend` has made it of a `&mut` that it keeps, does not use and does not return
        // from meanwhile. `take` above leaves nothing for a second call inside this one.
        call(unsafe { clients.as_mut() })
    }

    /// Lends the clients to what C calls inside a callback.
    pub(crate) fn lend<T>(&self, clients: &mut HostClients, callback: impl FnOnce() -> T) -> T {
        let before = self.lent.replace(Some(NonNull::from(clients)));
        let _back = Lent { place: &self.lent, before };
        callback()
    }
}

fn failed_before() -> Failure {
    Failure::new(LARIAT_WRONG_STATE, "the server could not be started before: free it")
}

fn too_late(what: &str) -> Failure {
    Failure::new(LARIAT_WRONG_STATE, format!("{what} is too late: free the server, and make another one"))
}

impl fmt::Debug for lariat_server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lariat_server").finish_non_exhaustive()
    }
}
