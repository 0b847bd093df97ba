//! Watching the loop turn by turn, and slowing it down.

use super::clients::Clients;
use crate::parts::WATCH;
use crate::protocol::State;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::observe::{Aside, Glance, Pace, Turn, Turns, Watch};
use crate::server::table::Flags;
use std::time::Duration;

impl<D: ClientData> Clients<D> {
    /// Measures turns, and calls [`on_turns`](crate::Handler::on_turns) of the handler that asks
    /// once in each `period`, also while the loop is held. Only one handler watches: the last that
    /// asked.
    pub fn watch_turns(&mut self, period: Duration) {
        WATCH.use_it();
        let route = self.route;
        let watch = self.watch.get_or_insert_with(|| {
            Box::new(Watch {
                route,
                period,
                report_at: None,
                turns: Turns::default(),
                is_timed: false,
                every: 1,
                turn: Turn::default(),
                counted: Turn::default(),
                events: 0,
                ended_at: None,
                aside: None,
                pace: Pace::Free,
                steps: 0,
                exempt: Vec::new(),
                is_over: false,
                stood_since: None,
                served_at: None,
            })
        });
        (watch.route, watch.period, watch.is_over) = (route, period, false);
    }

    /// Returns whether turns are watched.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_some() && WATCH.is_used()
    }

    /// Ends [`watch_turns`](Self::watch_turns), if the handler that asks is watching. A loop that
    /// was held goes on.
    pub fn unwatch_turns(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.route == self.route) {
            watch.is_over = true;
        }
    }

    /// Serves this client in every turn, at any pace. When the last such client has disconnected,
    /// the loop goes on freely. Has no effect unless turns are watched.
    pub fn exempt(&mut self, id: ClientId) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| !watch.exempt.contains(&id)) {
            watch.exempt.push(id);
        }
    }

    /// Sets the pace of the loop. Has no effect unless turns are watched and a client is
    /// [exempt](Self::exempt).
    pub fn set_pace(&mut self, pace: Pace) {
        if let Some(watch) = &mut self.watch {
            (watch.pace, watch.steps) = (pace, 0);
        }
    }

    /// Returns the pace of the loop.
    pub fn pace(&self) -> Pace {
        let Some(watch) = self.watch.as_ref().filter(|watch| !watch.is_over) else { return Pace::Free };
        if watch.pace == Pace::Free {
            return Pace::Free;
        }
        let is_open =
            |id: &ClientId| self.find(*id).is_some_and(|index| self.table[index].connection.state() == State::Open);
        let may_wait = self.shutdown.is_none() && watch.exempt.iter().any(is_open);
        if may_wait { watch.pace } else { Pace::Free }
    }

    /// Serves all clients for one turn, if the loop is held.
    pub fn step(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.pace == Pace::Held) {
            watch.steps = watch.steps.saturating_add(1);
        }
    }

    /// Iterates over all connections of any state and route, in the order of their
    /// [slots](ClientId::slot).
    pub fn glances(&self) -> impl Iterator<Item = Glance> + '_ {
        self.table.iter().map(|(index, client)| Glance {
            id: client.id(index),
            state: client.connection.state(),
            quiet: self.table.now().since(client.connection.since()),
            waits_to_be_read: client.flags.has(Flags::READ_QUEUED),
            waits_to_be_written: client.flags.has(Flags::WRITE_QUEUED),
            is_blocked: client.flags.has(Flags::BLOCKED),
        })
    }

    // ---- for the loop --------------------------------------------------------------------------

    /// Removes all clients that are not exempt from the queues.
    pub(crate) fn set_aside(&mut self, aside: &mut Aside) {
        let exempt: Vec<u32> = self.exempt_indexes().collect();
        let is_exempt = |index: u32| exempt.contains(&index);
        self.table.set_aside(aside, is_exempt);
    }

    /// Returns whether an exempt client has work.
    pub(crate) fn has_exempt_work(&self) -> bool {
        let waits = |index: u32| self.table[index as usize].flags.has(Flags::QUEUED);
        self.table.has_ended() || self.exempt_indexes().any(waits)
    }

    /// Returns all that has been counted since the server was started.
    pub(crate) fn counted(&self) -> Turn {
        Turn::counted(self.table.counters(), self.table.len())
    }

    /// Adds what has been done since the last call to the turns to report.
    pub(crate) fn settle_turns(&mut self) {
        let counted = self.counted();
        if let Some(watch) = &mut self.watch {
            watch.settle(counted);
        }
    }

    /// Forgets exempt clients that have disconnected.
    pub(crate) fn review_exempt(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        watch.exempt.retain(|id| self.find(*id).is_some());
        self.watch = Some(watch);
    }

    fn exempt_indexes(&self) -> impl Iterator<Item = u32> + '_ {
        let exempt = self.watch.iter().flat_map(|watch| &watch.exempt);
        exempt.filter(|id| self.find(**id).is_some()).map(|id| id.index)
    }
}
