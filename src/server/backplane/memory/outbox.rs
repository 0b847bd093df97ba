//! How are the events of a link reported in order, and without a lock?

use crate::server::backplane::{BackplaneEvent, BackplaneEvents};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The events of a link that are ready to be reported.
///
/// They are put in with the engine locked, so their order is that of the engine. One thread at a
/// time takes them out. What comes meanwhile, from another thread or from the function that is
/// reported to, that thread reports as well.
#[derive(Debug)]
pub(super) struct Outbox {
    events: BackplaneEvents,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<BackplaneEvent>,
    /// Whether a thread is reporting.
    is_busy: bool,
    /// Whether the link has been dropped.
    is_closed: bool,
}

/// Allows another thread to report, also after a panic of the function that is reported to.
struct Busy<'a>(&'a Outbox);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.waiting().is_busy = false;
    }
}

impl Outbox {
    pub(super) fn new(events: BackplaneEvents) -> Outbox {
        Outbox { events, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: BackplaneEvent) {
        let mut waiting = self.waiting();
        if !waiting.is_closed {
            waiting.queue.push_back(event);
        }
    }

    /// Nothing is reported any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.queue = VecDeque::new();
    }

    /// Reports what waits, unless a thread does that already.
    pub(super) fn report(&self) {
        // The flag falls with the lock held in which the queue was seen empty. A guard alone would
        // leave a moment in which nobody reports what has just come.
        if std::mem::replace(&mut self.waiting().is_busy, true) {
            return;
        }
        let busy = Busy(self);
        while let Some(event) = self.next() {
            self.events.report(event);
        }
        std::mem::forget(busy);
    }

    /// Takes the next event out. Without one, nobody is reporting any more.
    fn next(&self) -> Option<BackplaneEvent> {
        let mut waiting = self.waiting();
        let event = waiting.queue.pop_front();
        waiting.is_busy = event.is_some();
        event
    }
}
