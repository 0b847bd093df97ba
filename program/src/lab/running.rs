//! One experiment: how far it is, what it waits for, and what it does next.

use super::experiment::{Experiment, MOST_BYTES, Step};
use super::report::{End, Seen};
use crate::clock::Clock;
use rustix::event::PollFlags;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The most bytes that are read before the other experiments get their turn.
const SHARE: usize = 64 << 10;

/// An experiment that has begun.
#[derive(Debug)]
pub(super) struct Running {
    stream: UnixStream,
    clock: Clock,
    steps: Vec<Step>,
    /// The number of the next step, and how much of its bytes is sent.
    next: usize,
    written: usize,
    /// When the pause ends.
    resumes: Option<u64>,
    /// When the experiment ends.
    ends: u64,
    received: Vec<u8>,
    /// How much of what was received earlier steps have found.
    found: usize,
    is_deaf: bool,
    /// The server has sent FIN.
    is_at_end: bool,
}

/// What follows a step.
enum Then {
    /// The next step.
    Next,
    /// It is not done yet.
    Wait,
    /// No step can be done any more.
    Fail,
    End(End),
}

impl Running {
    pub(super) fn new(stream: UnixStream, experiment: Experiment, clock: Clock) -> Running {
        Running {
            stream,
            clock,
            steps: experiment.steps,
            next: 0,
            written: 0,
            resumes: None,
            ends: experiment.within.as_nanos() as u64,
            received: Vec::new(),
            found: 0,
            is_deaf: false,
            is_at_end: false,
        }
    }

    /// Returns what its socket must be ready for before it goes on. Nothing: only time counts.
    pub(super) fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, !self.is_deaf && !self.is_at_end);
        interest.set(PollFlags::OUT, matches!(self.steps.get(self.next), Some(Step::Send(_))));
        interest
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Returns in how many nanoseconds it goes on, ready or not.
    pub(super) fn due(&self) -> u64 {
        let due = self.resumes.map_or(self.ends, |resumes| resumes.min(self.ends));
        due.saturating_sub(self.clock.nanos())
    }

    /// Goes on as far as it can. Returns whether it is over.
    pub(super) fn go_on(&mut self, tell: &mut impl FnMut(u64, Seen)) -> bool {
        let end = self.act(tell).or_else(|| self.read(tell)).or_else(|| self.act(tell)).or_else(|| {
            let is_done = self.next == self.steps.len() && self.is_at_end;
            let is_late = self.clock.nanos() >= self.ends;
            if is_done { Some(End::Closed) } else { is_late.then_some(End::Time) }
        });
        if let Some(end) = end {
            tell(self.clock.nanos(), Seen::Ended(end));
        }
        end.is_some()
    }

    /// Reads what has come, up to a share.
    fn read(&mut self, tell: &mut impl FnMut(u64, Seen)) -> Option<End> {
        let mut buffer = [0; 16 << 10];
        let mut share = 0;
        while !self.is_deaf && !self.is_at_end && share < SHARE {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.is_at_end = true;
                    tell(self.clock.nanos(), Seen::Fin);
                }
                Ok(count) => {
                    share += count;
                    let count = count.min(MOST_BYTES - self.received.len());
                    if count > 0 {
                        self.received.extend_from_slice(&buffer[..count]);
                        tell(self.clock.nanos(), Seen::Got(buffer[..count].to_vec()));
                    }
                    if self.received.len() == MOST_BYTES {
                        return Some(End::Size);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Some(End::Reset),
            }
        }
        None
    }

    /// Does the steps that can be done.
    fn act(&mut self, tell: &mut impl FnMut(u64, Seen)) -> Option<End> {
        while self.next < self.steps.len() {
            // The server may answer before the step returns.
            let (number, now) = (self.next, self.clock.nanos());
            match self.step(number) {
                Then::Next => {
                    self.next += 1;
                    tell(now, Seen::Did(number));
                }
                Then::Wait => return None,
                Then::Fail => {
                    self.next = self.steps.len();
                    self.resumes = None;
                    tell(now, Seen::Failed(number));
                }
                Then::End(end) => {
                    tell(now, Seen::Did(number));
                    return Some(end);
                }
            }
        }
        None
    }

    fn step(&mut self, number: usize) -> Then {
        match &self.steps[number] {
            Step::Send(bytes) => match write(&self.stream, bytes, &mut self.written) {
                Ok(true) => {
                    self.written = 0;
                    Then::Next
                }
                Ok(false) => Then::Wait,
                Err(_) => Then::Fail,
            },
            Step::Pause(time) => {
                let now = self.clock.nanos();
                let resumes = *self.resumes.get_or_insert(now.saturating_add(time.as_nanos() as u64));
                if resumes > now {
                    return Then::Wait;
                }
                self.resumes = None;
                Then::Next
            }
            Step::Await(wanted) => {
                let mut windows = self.received[self.found..].windows(wanted.len());
                match windows.position(|window| window == wanted) {
                    Some(at) => {
                        self.found += at + wanted.len();
                        Then::Next
                    }
                    None if self.is_at_end => Then::Fail,
                    None => Then::Wait,
                }
            }
            Step::Deaf => {
                self.is_deaf = true;
                Then::Next
            }
            Step::Hear => {
                self.is_deaf = false;
                Then::Next
            }
            Step::Fin => self.stream.shutdown(Shutdown::Write).map_or(Then::Fail, |()| Then::Next),
            Step::Close => Then::End(End::Left),
        }
    }
}

/// Writes the rest of some bytes, as far as the kernel takes them. Returns whether it took all.
fn write(mut stream: &UnixStream, bytes: &[u8], written: &mut usize) -> io::Result<bool> {
    while *written < bytes.len() {
        match stream.write(&bytes[*written..]) {
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
