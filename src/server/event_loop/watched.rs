//! Watched turns: they are timed, and may serve exempt clients only.
//!
//! [`observe::watch`](crate::server::observe) explains why. In a turn for exempt clients only, all
//! others are taken out of the queues before the phases and put back after them. New connections
//! wait, and since time stands still, nothing becomes due. So the loop has only one kind of turn.

use super::event_loop::EventLoop;
use crate::protocol::time::{LONGEST, Moment};
use crate::server::app::Handler;
use crate::server::engine::Engine;
use crate::server::observe::{Aside, Pace, Phase, STEP, Turn, Turns, Waiting, Watch};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

impl<H: Handler> EventLoop<H> {
    /// Notes the end of a phase in a timed turn.
    #[cold]
    #[inline(never)]
    pub(super) fn note_end(&mut self, phase: Phase) {
        if phase == Phase::Expire {
            self.set_others_aside();
        }
        let now = self.poller.now();
        if let Some(watch) = &mut self.engine.clients.watch {
            watch.note_end(phase, now);
        }
    }

    /// Begins a watched turn, once readiness is known: decides whether it is timed and whom it
    /// serves.
    #[cold]
    #[inline(never)]
    pub(super) fn watched_turn_begins(&mut self) {
        let (now, is_for_all) = (self.now, self.keep_time());
        self.engine.clients.table.begin_turn(now);
        self.report_turns();
        let clients = &mut self.engine.clients;
        let Some(watch) = &mut clients.watch else { return };
        watch.is_timed = watch.stood_since.is_some() || watch.is_sampled();
        if !watch.is_timed {
            return;
        }
        let waited = now.since(watch.ended_at.unwrap_or(now));
        watch.turn = Turn::default();
        watch.turn.phases[Phase::Wait as usize] = waited;
        watch.ended_at = Some(self.poller.now());
        clients.settle_turns();
        if !is_for_all {
            let never = clients.table.now().after(LONGEST);
            let accept_again = self.accept_again.replace(never);
            let aside = |watch: &mut Box<Watch>| watch.aside = Some(Aside { accept_again, ..Aside::default() });
            clients.watch.iter_mut().for_each(aside);
            self.set_others_aside();
        }
    }

    /// In a turn for exempt clients only, takes all others out of the queues.
    fn set_others_aside(&mut self) {
        let clients = &mut self.engine.clients;
        let Some(mut aside) = clients.watch.as_mut().and_then(|watch| watch.aside.take()) else { return };
        clients.set_aside(&mut aside);
        clients.watch.iter_mut().for_each(|watch| watch.aside = Some(std::mem::take(&mut aside)));
    }

    /// Ends a watched turn.
    #[cold]
    #[inline(never)]
    pub(super) fn watched_turn_ends(&mut self, end: Moment) {
        let clients = &mut self.engine.clients;
        let events = clients.table.counters().turn_events.sum();
        let Some(watch) = &mut clients.watch else { return };
        if watch.is_timed {
            watch.note_end(Phase::Reap, end);
            self.timed_turn_ends();
        } else if watch.ended_at.replace(end).is_some() {
            watch.record(end.since(self.now));
            watch.events = events;
        } else {
            // Watching began in the middle of this turn, so the next turn is the first.
            let counted = clients.counted();
            clients.watch.iter_mut().for_each(|watch| (watch.counted, watch.events) = (counted, events));
        }
        self.note_pace();
    }

    fn timed_turn_ends(&mut self) {
        let clients = &mut self.engine.clients;
        let counted = clients.counted();
        let Some(watch) = &mut clients.watch else { return };
        let Some(aside) = watch.aside.take() else {
            watch.record_timed(counted);
            if watch.stood_since.is_some() {
                watch.report_at = None;
            }
            return;
        };
        // Work for exempt clients only is not reported.
        watch.counted = Turn { events: watch.events, ..counted };
        self.accept_again = aside.accept_again;
        clients.table.put_back(aside);
    }

    /// Returns how long a watched turn may wait. `free` is the wait of a turn that is not watched.
    #[cold]
    pub(super) fn watched_wait(&self, now: Moment, free: Option<Duration>) -> Option<Duration> {
        let clients = &self.engine.clients;
        let watch = clients.watch.as_ref()?;
        let until = |at: Moment| at.since(now);
        let until_report = watch.report_at.map_or(Duration::ZERO, until);
        let until_work = match clients.pace() {
            Pace::Free if watch.stood_since.is_some() || watch.is_over => Some(Duration::ZERO),
            Pace::Free => free,
            _ if watch.steps > 0 || clients.has_exempt_work() || self.queue.has_calls() || self.has_more => {
                Some(Duration::ZERO)
            }
            Pace::Every(period) => watch.served_at.map(|at| until(at.after(period))),
            Pace::Held => None,
        };
        until_work.into_iter().chain([until_report]).min()
    }

    /// Lets time pass or stand still. Returns whether this is a turn for all clients.
    fn keep_time(&mut self) -> bool {
        if self.engine.clients.watch.as_ref().is_none_or(|watch| watch.stood_since.is_none()) {
            return true;
        }
        self.engine.clients.review_exempt();
        let pace = self.engine.clients.pace();
        let Some(watch) = &mut self.engine.clients.watch else { return true };
        let (Some(stood_since), Some(served_at)) = (watch.stood_since, watch.served_at) else { return true };
        let since_served = self.now.since(served_at);
        let passes = match pace {
            Pace::Free => Some(Duration::ZERO),
            Pace::Every(period) => (since_served >= period).then_some(period),
            Pace::Held if watch.steps > 0 => {
                watch.steps -= 1;
                Some(since_served.min(STEP))
            }
            Pace::Held => None,
        };
        let stood = self.now.since(stood_since);
        self.engine.clients.table.clock_mut().stood_still(stood, passes.unwrap_or_default());
        watch.stood_since = (pace != Pace::Free).then_some(self.now);
        watch.served_at = if passes.is_some() { watch.stood_since } else { watch.served_at };
        passes.is_some()
    }

    /// Returns whether time passes, because the loop is not held.
    pub(super) fn is_time_passing(&self) -> bool {
        !self.engine.clients.is_watched()
            || self.engine.clients.watch.as_ref().is_none_or(|watch| watch.stood_since.is_none())
    }

    /// Stops time if the pace has changed in this turn.
    fn note_pace(&mut self) {
        let (is_free, now) = (self.engine.clients.pace() == Pace::Free, self.now);
        let Some(watch) = &mut self.engine.clients.watch else { return };
        if !is_free && watch.stood_since.is_none() {
            (watch.stood_since, watch.served_at) = (Some(now), Some(now));
        }
        if watch.is_over && watch.stood_since.is_none() {
            self.engine.clients.watch = None;
        }
    }

    /// Calls `on_turns`, if it is time to.
    fn report_turns(&mut self) {
        let listeners = self.listeners.iter().filter(|listener| listener.ready).count();
        let clients = &mut self.engine.clients;
        let (reads, writes) = clients.table.waiting();
        let Some(watch) = &mut clients.watch else { return };
        if watch.is_over || watch.report_at.is_some_and(|at| at > self.now) {
            return;
        }
        watch.report_at = Some(self.now.after(watch.period));
        let route = watch.route;
        clients.review_exempt();
        clients.settle_turns();
        let Some(mut turns) = clients.watch.as_mut().map(|watch| watch.take_turns()) else { return };
        turns.waiting = Waiting { listeners, reads, writes };
        let begin = self.poller.now();
        self.engine.report_turns(route, &turns);
        let telling = self.poller.now().since(begin);
        if let Some(watch) = &mut self.engine.clients.watch {
            watch.turns.telling = telling;
        }
    }
}

impl<H: Handler> Engine<H> {
    fn report_turns(&mut self, route: u16, turns: &Turns) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = route;
        if catch_unwind(AssertUnwindSafe(|| handler.on_turns(clients, turns))).is_err() {
            log::error!("the handler panicked in on_turns");
        }
    }
}
