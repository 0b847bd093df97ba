//! The old process: it prepares, and its loops hand over one after the other.

use super::error::HandoverError;
use super::format::{Hello, Message, OLDEST, Offer, PARTS, VERSION};
use super::link::{Link, STALL, shown};
use super::token::Token;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the new process may take until its handlers exist. The old one serves meanwhile.
const READY: Duration = Duration::from_secs(60);

/// The most batches of clients that are under way: fewer descriptors than the usual soft limit,
/// which also limits descriptors under way.
const MOST_UNDER_WAY: usize = 3;

/// What a running server offers.
#[derive(Debug)]
pub(crate) struct Offered {
    /// Its listening sockets, with their addresses.
    pub(crate) listeners: Vec<(String, OwnedFd)>,
    /// The listening socket for handovers, if the server has one.
    pub(crate) handover: Option<OwnedFd>,
    pub(crate) loops: usize,
    /// When its clock began, in nanoseconds of the host's monotonic clock.
    pub(crate) began: u64,
    pub(crate) connections: usize,
    /// Why the server cannot be handed over, if that is known before the freeze.
    pub(crate) refusal: Option<String>,
}

/// Prepares: speaks with a process that has connected, until it is ready. Nothing freezes
/// meanwhile. It closes its own copies of the listening sockets before it returns.
///
/// # Errors
///
/// The process has no right to take over, speaks another version, or never becomes ready.
pub(crate) fn meet(stream: UnixStream, offered: Offered) -> Result<Link, HandoverError> {
    // It only says a few words.
    let mut link = Link::new(stream, 1 << 20)?;
    let (user, process) = link.peer()?;
    let own = rustix::process::geteuid().as_raw();
    if user != own {
        return Err(link.refuse(format!("the user {user} must not take over from the user {own}")));
    }
    if let Some(why) = &offered.refusal {
        return Err(link.refuse(why.clone()));
    }
    let hello = match link.expect()? {
        (Message::Hello(hello), _) => hello,
        (message, _) => return Err(link.refuse(format!("{} came instead of Hello", message.name()))),
    };
    let version = version_for(&hello).map_err(|why| link.refuse(why))?;
    log::info!("{} (process {process}) asks to take over", shown(&hello.program));
    let offer = Offer {
        version,
        parts: PARTS.map(str::to_owned).to_vec(),
        loops: offered.loops as u16,
        listeners: offered.listeners.iter().map(|(address, _)| address.clone()).collect(),
        began: offered.began,
        program: program(),
        process: std::process::id(),
        connections: offered.connections as u64,
        has_handover: offered.handover.is_some(),
    };
    let listeners = offered.listeners.iter().map(|(_, listener)| listener).chain(&offered.handover);
    let descriptors: Vec<BorrowedFd<'_>> = listeners.map(AsFd::as_fd).collect();
    link.send(&Message::Offer(offer), &descriptors)?;
    link.wait_for(READY)?;
    match link.expect()? {
        (Message::Ready, _) => {}
        (message, _) => return Err(HandoverError::Malformed(format!("{} instead of Ready", message.name()))),
    }
    link.wait_for(STALL)?;
    Ok(link)
}

/// Returns the version that both speak, or why there is none.
fn version_for(hello: &Hello) -> Result<u16, String> {
    let version = hello.version.min(VERSION);
    if version < OLDEST || version < hello.oldest {
        let Hello { version, oldest, .. } = hello;
        return Err(format!("it speaks versions {oldest} to {version}, this process {OLDEST} to {VERSION}"));
    }
    match PARTS.iter().find(|part| !hello.parts.iter().any(|known| known == *part)) {
        Some(part) => Err(format!("it does not know the part {part:?}")),
        None => Ok(version),
    }
}

/// The program's name and version, for logs.
pub(super) fn program() -> String {
    format!("Lariat {}", env!("CARGO_PKG_VERSION"))
}

/// How a handover ended.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The new process owns all connections that were moved.
    Committed,
    /// This process goes on as if nothing had happened, for this reason.
    Resumed(String),
}

/// How many clients of all loops were moved, and stay behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) moved: usize,
    pub(crate) left: usize,
}

/// A handover of all loops of a server.
#[derive(Debug)]
pub(crate) struct Giving {
    loops: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` while a loop sends.
    link: Option<Link>,
    /// Loops that have come to the barrier, whether any of them had work, and how often all have.
    arrived: usize,
    is_any_busy: bool,
    was_any_busy: bool,
    rounds: usize,
    /// The loop that sends next.
    next: usize,
    counts: Counts,
    verdict: Option<Verdict>,
}

impl Giving {
    pub(crate) fn new(link: Link, loops: usize) -> Giving {
        let state = State {
            link: Some(link),
            arrived: 0,
            is_any_busy: false,
            was_any_busy: false,
            rounds: 0,
            next: 0,
            counts: Counts::default(),
            verdict: None,
        };
        Giving { loops, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all loops have come here, and returns whether any of them has work left.
    ///
    /// # Errors
    ///
    /// Another loop has given up or does not come.
    pub(crate) fn meet_others(&self, is_busy: bool) -> Result<bool, HandoverError> {
        let mut state = self.lock();
        state.arrived += 1;
        state.is_any_busy |= is_busy;
        let round = state.rounds;
        if state.arrived == self.loops {
            (state.arrived, state.was_any_busy, state.is_any_busy) = (0, state.is_any_busy, false);
            state.rounds += 1;
            self.changed.notify_all();
        }
        let waits = |state: &mut State| state.rounds == round && state.verdict.is_none();
        let (state, timed_out) =
            self.changed.wait_timeout_while(state, STALL, waits).unwrap_or_else(PoisonError::into_inner);
        if timed_out.timed_out() {
            return Err(HandoverError::Unable("a loop is busy and did not come".to_owned()));
        }
        match &state.verdict {
            Some(_) => Err(HandoverError::Unable("another loop cannot hand over".to_owned())),
            None => Ok(state.was_any_busy),
        }
    }

    /// Waits for the turn of a loop, and lets it send. The last one ends the transfer. Returns how
    /// the handover ended, for all loops.
    pub(crate) fn send(
        &self,
        number: usize,
        send: impl FnOnce(&mut Link) -> Result<Counts, HandoverError>,
    ) -> (Verdict, Counts) {
        let waits = |state: &mut State| state.next != number && state.verdict.is_none();
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        let Some(mut link) = state.link.take().filter(|_| state.verdict.is_none()) else {
            return self.outcome(state);
        };
        drop(state);
        let sent = send(&mut link);
        let is_last = number + 1 == self.loops;
        let verdict = match &sent {
            Err(error) => {
                // To tell one that does nothing would take as long again.
                if !matches!(error, HandoverError::Stalled | HandoverError::Gone(_)) {
                    let _ = link.refuse(error.to_string());
                }
                Some(Verdict::Resumed(error.to_string()))
            }
            Ok(_) if is_last => Some(commit(&mut link)),
            Ok(_) => None,
        };
        let mut state = self.lock();
        if let Ok(counts) = sent {
            state.counts.moved += counts.moved;
            state.counts.left += counts.left;
        }
        state.next += 1;
        // Without a link, the new process knows that it is over.
        state.link = Some(link).filter(|_| verdict.is_none());
        state.verdict = state.verdict.take().or(verdict);
        self.changed.notify_all();
        self.outcome(state)
    }

    /// A loop cannot take part.
    pub(crate) fn give_up(&self, why: &HandoverError) -> (Verdict, Counts) {
        let mut state = self.lock();
        state.verdict.get_or_insert_with(|| Verdict::Resumed(why.to_string()));
        if let Some(mut link) = state.link.take() {
            let _ = link.refuse(why.to_string());
        }
        self.changed.notify_all();
        self.outcome(state)
    }

    /// Waits until the outcome is known. Each loop that sends is bounded in time.
    fn outcome(&self, state: MutexGuard<'_, State>) -> (Verdict, Counts) {
        let waits = |state: &mut State| state.verdict.is_none();
        let state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        let verdict = state.verdict.clone();
        (verdict.unwrap_or_else(|| Verdict::Resumed("the loops have no verdict".to_owned())), state.counts)
    }
}

/// Ends the transfer: gives the new process the token, and waits until it has taken it.
fn commit(link: &mut Link) -> Verdict {
    let token = match Token::new() {
        Ok(token) => token,
        Err(error) => return Verdict::Resumed(format!("no pipe can be made: {error}")),
    };
    let heard = link.send(&Message::End, &[token.as_fd()]).and_then(|()| link.expect());
    // Only the token decides.
    let why = match heard {
        Ok((Message::Taken, _)) => "it has not taken the token".to_owned(),
        Ok((message, _)) => format!("{} instead of Taken", message.name()),
        Err(error) => error.to_string(),
    };
    match token.take() {
        Ok(true) => Verdict::Resumed(why),
        // It serves, or has ended since, even if it could not say so.
        Ok(false) => Verdict::Committed,
        Err(error) => Verdict::Resumed(format!("{why}; and the token cannot be read: {error}")),
    }
}

/// Sends batches of clients, each with at most [`BATCH`](super::BATCH) descriptors, and waits for
/// those that are under way.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    link: &'a mut Link,
    under_way: usize,
}

impl<'a> Batches<'a> {
    pub(crate) const fn new(link: &'a mut Link) -> Batches<'a> {
        Batches { link, under_way: 0 }
    }

    pub(crate) fn send(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), HandoverError> {
        if matches!(message, Message::Clients(_)) {
            self.wait(MOST_UNDER_WAY - 1)?;
            self.under_way += 1;
        }
        self.link.send(message, descriptors)
    }

    /// Waits until at most so many batches are under way.
    pub(crate) fn wait(&mut self, most: usize) -> Result<(), HandoverError> {
        while self.under_way > most {
            match self.link.expect()? {
                (Message::Received, _) => self.under_way -= 1,
                (message, _) => return Err(HandoverError::Malformed(format!("{} came", message.name()))),
            }
        }
        Ok(())
    }
}
