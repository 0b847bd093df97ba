//! Who is told what the loop does, and can it be slowed down?

use super::clients::Clients;
use crate::parts::WATCH;
use crate::protocol::State;
use crate::server::id::ClientId;
use crate::server::observe::{Aside, Glance, Pace, Turn, Turns, Watch};
use crate::server::table::Flags;
use std::time::Duration;

impl<D> Clients<D> {
    /// From now on, turns are measured, and [`on_turns`](crate::Handler::on_turns) of the handler
    /// that asks is told each `period`, even while the loop is held. One handler watches at a
    /// time: the last that asked.
    pub fn watch_turns(&mut self, period: Duration) {
        WATCH.use_it();
        let route = self.route;
        let watch = self.watch.get_or_insert_with(|| {
            Box::new(Watch {
                route,
                period,
                tell_at: None,
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

    /// Whether somebody watches.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_some() && WATCH.is_used()
    }

    /// Ends [`watch_turns`](Self::watch_turns), if it was the handler that asks. A loop that was
    /// held goes on.
    pub fn unwatch_turns(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.route == self.route) {
            watch.is_over = true;
        }
    }

    /// This client is served in every turn, at whatever pace. When the last such client is gone,
    /// the loop goes on freely. Without effect unless turns are watched.
    pub fn exempt(&mut self, id: ClientId) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| !watch.exempt.contains(&id)) {
            watch.exempt.push(id);
        }
    }

    /// From now on, the loop goes at this pace. Without effect unless turns are watched and
    /// somebody is [exempt](Self::exempt).
    pub fn set_pace(&mut self, pace: Pace) {
        if let Some(watch) = &mut self.watch {
            (watch.pace, watch.steps) = (pace, 0);
        }
    }

    /// How fast the loop turns.
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

    /// If the loop is held: one turn for all.
    pub fn step(&mut self) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.pace == Pace::Held) {
            watch.steps = watch.steps.saturating_add(1);
        }
    }

    /// All connections, whatever their state and route, in the order of their
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

    /// Those who wait and are not exempt step aside; [`put_back`](Self::put_back) brings them back
    /// to their places.
    pub(crate) fn set_aside(&mut self, aside: &mut Aside) {
        let exempt: Vec<u32> = self.exempt_indexes().collect();
        let is_exempt = |index: u32| exempt.contains(&index);
        self.table.set_aside(aside, is_exempt);
    }

    /// Whether something is to be done for those who are exempt.
    pub(crate) fn has_exempt_work(&self) -> bool {
        let waits = |index: u32| self.table[index as usize].flags.has(Flags::QUEUED);
        self.table.has_ended() || self.exempt_indexes().any(waits)
    }

    /// All that has been counted since the server was started.
    pub(crate) fn counted(&self) -> Turn {
        Turn::counted(self.table.counters(), self.table.len())
    }

    /// Adds up what has been done since it was added up last.
    pub(crate) fn settle_turns(&mut self) {
        let counted = self.counted();
        if let Some(watch) = &mut self.watch {
            watch.settle(counted);
        }
    }

    /// Forgets those who are gone.
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
