//! The new process: it connects, and its loops take over one after the other.

use super::error::HandoverError;
use super::format::{Hello, Message, OLDEST, Offer, PARTS, VERSION};
use super::giving::program;
use super::link::{Link, STALL, shown};
use super::token::Token;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a loop waits for the others until all have their handlers.
const OTHERS: Duration = Duration::from_secs(60);

/// The server process from which this one takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Predecessor {
    /// Its process id.
    pub process: u32,
    /// The name and the version of its library.
    pub program: String,
    /// The number of its loops. The new server must have as many.
    pub loops: usize,
    /// Connections that it had when it was asked.
    pub connections: u64,
}

/// What the old process has offered, besides its connections.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Its listening sockets, with their addresses.
    pub(crate) listeners: Vec<(String, OwnedFd)>,
    /// The listening socket for handovers, if there is one.
    pub(crate) handover: Option<OwnedFd>,
    /// When its clock began, in nanoseconds of the host's monotonic clock.
    pub(crate) began: u64,
}

/// A takeover by all loops of a server.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) predecessor: Predecessor,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` while a loop receives, and after the end.
    link: Option<Link>,
    /// Loops whose handlers exist.
    ready: usize,
    /// The loop that receives next.
    next: usize,
    /// Whether all has been taken over, or why not.
    outcome: Option<Result<(), String>>,
}

impl Taking {
    /// Connects to the server at a path, and gets its offer. Returns `None` if no server is there.
    /// Messages of more than `most` bytes are refused.
    ///
    /// # Errors
    ///
    /// The server refuses, or speaks another version.
    pub(crate) fn connect(path: &Path, most: usize) -> Result<Option<(Taking, Inherited)>, HandoverError> {
        match connect(path) {
            Ok(stream) => Taking::begin(stream, most).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(HandoverError::Stalled),
            Err(error) => Err(HandoverError::Unable(format!("cannot connect there: {error}"))),
        }
    }

    /// Gets the offer of a server.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub(crate) fn begin(stream: UnixStream, most: usize) -> Result<(Taking, Inherited), HandoverError> {
        let mut link = Link::new(stream, most)?;
        let (user, _) = link.peer()?;
        let own = rustix::process::geteuid().as_raw();
        if user != own {
            let why = format!("the server there belongs to the user {user}, and this process to {own}");
            return Err(HandoverError::Unable(why));
        }
        let parts = PARTS.map(str::to_owned).to_vec();
        let hello = Hello { version: VERSION, oldest: OLDEST, parts, program: program() };
        // An old process that refuses at once may have closed before it has read this.
        let said = link.send(&Message::Hello(hello), &[]);
        let heard = link.expect();
        let heard = if matches!(heard, Err(HandoverError::Refused(_))) { heard } else { said.and(heard) };
        let (offer, mut descriptors) = match heard? {
            (Message::Offer(offer), descriptors) => (offer, descriptors),
            (message, _) => return Err(HandoverError::Malformed(format!("{} instead of Offer", message.name()))),
        };
        check(&offer).map_err(|why| link.refuse(why))?;
        let handover = if offer.has_handover { descriptors.pop() } else { None };
        if descriptors.len() != offer.listeners.len() || handover.is_some() != offer.has_handover {
            return Err(HandoverError::Malformed("listening sockets are missing".to_owned()));
        }
        make_room(&link, offer.connections);
        let predecessor = Predecessor {
            process: offer.process,
            program: shown(&offer.program),
            loops: offer.loops.into(),
            connections: offer.connections,
        };
        let listeners = offer.listeners.into_iter().zip(descriptors).collect();
        let state = State { link: Some(link), ready: 0, next: 0, outcome: None };
        let taking = Taking { predecessor, state: Mutex::new(state), changed: Condvar::new() };
        Ok((taking, Inherited { listeners, handover, began: offer.began }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a loop whose handler exists: waits until those of all loops do, and until it is
    /// this one's turn. `restore` receives. Returns when all loops have been taken over, and this
    /// process owns everything.
    ///
    /// # Errors
    ///
    /// The takeover has failed, and the old process serves again.
    pub(crate) fn take(
        &self,
        number: usize,
        restore: impl FnOnce(&mut Link) -> Result<(), HandoverError>,
    ) -> Result<(), HandoverError> {
        let guard = Guard(self);
        self.announce_ready()?;
        let waits = |state: &mut State| state.next != number && state.outcome.is_none();
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        let Some(mut link) = state.link.take().filter(|_| state.outcome.is_none()) else {
            return Err(failed(&state));
        };
        drop(state);
        let is_last = number + 1 == self.predecessor.loops;
        let restored = restore(&mut link).and_then(|()| if is_last { take_token(&mut link) } else { Ok(()) });
        if let Err(error) = &restored {
            let _ = link.refuse(error.to_string());
            self.give_up(&error.to_string());
        }
        restored?;
        let mut state = self.lock();
        state.next += 1;
        state.link = Some(link).filter(|_| !is_last);
        if is_last {
            state.outcome = Some(Ok(()));
        }
        self.changed.notify_all();
        let waits = |state: &mut State| state.outcome.is_none();
        let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        let outcome = if state.outcome == Some(Ok(())) { Ok(()) } else { Err(failed(&state)) };
        drop(state);
        std::mem::forget(guard);
        outcome
    }

    /// Says that all loops are ready, if this is the last one.
    fn announce_ready(&self) -> Result<(), HandoverError> {
        let (loops, mut state) = (self.predecessor.loops, self.lock());
        state.ready += 1;
        if state.ready == loops {
            let Some(link) = state.link.as_mut() else { return Err(failed(&state)) };
            link.wait_for(STALL)?;
            link.send(&Message::Ready, &[])?;
            self.changed.notify_all();
        }
        let waits = |state: &mut State| state.ready < loops && state.outcome.is_none();
        let (state, waited) =
            self.changed.wait_timeout_while(state, OTHERS, waits).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { Err(failed(&state)) } else { Ok(()) }
    }

    /// A loop has failed, and so has the takeover.
    pub(crate) fn give_up(&self, why: &str) {
        let mut state = self.lock();
        state.outcome.get_or_insert_with(|| Err(why.to_owned()));
        if let Some(mut link) = state.link.take() {
            let _ = link.refuse(why);
        }
        self.changed.notify_all();
    }
}

/// Makes the table of descriptors large enough now, while the old process serves. In a process with
/// several threads, the kernel takes up to 50 ms for each doubling of the table.
fn make_room(link: &Link, connections: u64) {
    /// The descriptors of the program itself, of both pollers and of listening sockets.
    const OTHERS: u64 = 100;
    /// The table takes memory for each descriptor.
    const MOST: u64 = 1 << 22;
    let highest = connections.min(MOST).saturating_add(OTHERS) as i32;
    // If that is beyond the limit, the descriptors do not fit anyway, or there are fewer then.
    let _ = rustix::io::fcntl_dupfd_cloexec(link, highest);
}

/// Connects. If nobody accepts connections there, and no more may wait, this waits for a while.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_write_timeout(Some(STALL))?;
    socket.connect(&socket2::SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

/// Gives up for all loops unless it is forgotten: also if a handler panics.
struct Guard<'a>(&'a Taking);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.give_up("the new process cannot take over");
    }
}

/// Returns why another loop has failed.
fn failed(state: &State) -> HandoverError {
    let why = state.outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
    HandoverError::Unable(why.cloned().unwrap_or_else(|| "another loop does not become ready".to_owned()))
}

/// Returns why an offer cannot be taken, if it cannot.
fn check(offer: &Offer) -> Result<(), String> {
    let Offer { version, parts, .. } = offer;
    if !(OLDEST..=VERSION).contains(version) {
        return Err(format!("it speaks version {version}, this process {OLDEST} to {VERSION}"));
    }
    match parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        Some(part) => Err(format!("this process does not know the part {:?}", shown(part))),
        None => Ok(()),
    }
}

/// Takes the token: the commit.
fn take_token(link: &mut Link) -> Result<(), HandoverError> {
    let (message, mut descriptors) = link.expect()?;
    let (Message::End, Some(token)) = (&message, descriptors.pop()) else {
        return Err(HandoverError::Malformed(format!("{} instead of End", message.name())));
    };
    if !Token::received(token).take()? {
        return Err(HandoverError::Unable("the old process did not wait, and serves again".to_owned()));
    }
    // If it does not hear this, it finds that the token is taken.
    let _ = link.send(&Message::Taken, &[]);
    Ok(())
}
