//! Clients and timers of another process: at the same places, with the same generations.

use super::client::{Client, Extra};
use super::flags::Flags;
use super::gate::Reason;
use super::key::Locked;
use super::table::Table;
use super::timers::{AppTimer, TimerExtra};
use super::wheel::Node;
use crate::parts::{CLIENT_TIMERS, SLOW_CONSUMERS, TIMERS};
use crate::protocol::time::Tick;
use crate::protocol::{Connection, Malformed, Role, State};
use crate::server::data::ClientData;
use crate::server::handover::{CountersRecord, TimerRecord};
use crate::server::id::ClientId;
use crate::server::net::Socket;
use slab::Slab;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// Which places of clients of another process are still filled with nothing. So what a handler
/// connects meanwhile gets another place.
#[derive(Debug, Default)]
pub(crate) struct Fillers(Vec<bool>);

/// The most places of a loop that is taken over. Each takes memory before its client has arrived.
const MOST_PLACES: usize = 1 << 22;

/// The most places of timers, used and free: a place that another process announces takes memory.
const MOST_TIMER_PLACES: usize = 1 << 22;

/// The shortest period of an interval, in nanoseconds: that of `set_interval`.
const LEAST_PERIOD: u64 = 1_000_000;

/// A timer that a handler has set in `on_start`, for a route that the other process does not have.
#[derive(Debug)]
pub(crate) struct OwnTimer {
    after: u64,
    period: Option<NonZeroU64>,
    token: u64,
    route: u16,
}

impl<D: ClientData> Table<D> {
    /// Returns the last generation of this loop's ids.
    pub(crate) const fn last_generation(&self) -> u32 {
        self.generation
    }

    /// Goes on with the ids of another process, which has had clients at so many places. There must
    /// be no clients yet.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: so many places cannot be.
    pub(crate) fn continue_ids(&mut self, last: u32, places: usize) -> Result<Fillers, Malformed> {
        if places > MOST_PLACES || !self.slab.is_empty() {
            return Err(Malformed("the number of places"));
        }
        self.generation = last;
        self.slab = Slab::with_capacity(places.max(self.first_capacity));
        for _ in 0..places {
            self.slab.insert(Client::filler(self.now));
        }
        self.places = self.places.max(places);
        Ok(Fillers(vec![true; places]))
    }

    // ---- clients -------------------------------------------------------------------------------

    /// Adds a client of another process.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: there is no such place, or it is taken.
    pub(crate) fn insert_carried(
        &mut self,
        fillers: &mut Fillers,
        id: ClientId,
        (socket, connection): (Socket, Connection<Extra>),
        (route, flags): (u16, Flags),
    ) -> Result<usize, Malformed> {
        let index = id.index as usize;
        let (Some(is_free @ true), Some(place)) = (fillers.0.get_mut(index), self.slab.get_mut(index)) else {
            return Err(Malformed("the place of a client"));
        };
        *is_free = false;
        if flags.has(Flags::DROPS) || flags.has(Flags::CONFLATES) {
            SLOW_CONSUMERS.use_it();
        }
        let is_listed = flags.has(Flags::OPENED) && connection.state() == State::Open;
        *place = Client::new(id.generation, (socket, connection), route, flags);
        if is_listed {
            self.list(index);
        }
        self.arm_deadline(index);
        Ok(index)
    }

    /// All clients of the other process are there: gives the places between them back.
    pub(crate) fn remove_fillers(&mut self, fillers: Fillers) {
        // The place that is given back last is the first to be used.
        let free = fillers.0.iter().enumerate().rev().filter(|(_, is_free)| **is_free);
        free.for_each(|(index, _)| drop(self.slab.remove(index)));
    }

    /// Closes a client's gate for the rest of the time for which it was closed.
    pub(crate) fn throttle_carried(&mut self, index: usize, left: u32) {
        let until = self.now.after(Duration::from_millis(left.into()));
        self.close_until(index, Reason::Rate, until);
    }

    /// Forgets what was queued for clients that are there no longer.
    pub(crate) fn forget_queued(&mut self) {
        let Table { slab, readable, writable, connecting, ended, .. } = self;
        for queue in [&mut readable.waiting, &mut writable.waiting, connecting, ended] {
            queue.retain(|index| slab.contains(*index as usize));
        }
    }

    /// Adds what another process has counted.
    pub(crate) fn add_counters(&mut self, record: &CountersRecord) {
        let (counters, traffic) = self.counting();
        counters.add_record(record, traffic);
    }

    // ---- timers --------------------------------------------------------------------------------

    /// Describes all timers.
    pub(crate) fn timer_records(&self) -> Vec<TimerRecord> {
        self.timers.iter().map(|(index, timer)| self.timer_record(index, timer)).collect()
    }

    fn timer_record(&self, index: usize, timer: &AppTimer) -> TimerRecord {
        let extra = self.timer_extras.get(&(index as u32)).copied().unwrap_or_default();
        let now = self.clock.now_nanos();
        let due = extra.due.unwrap_or_else(|| now.saturating_add(self.until_tick(timer.node())));
        TimerRecord {
            index: index as u32,
            generation: timer.generation().get(),
            token: timer.token(),
            after: due.saturating_sub(now),
            late: now.saturating_sub(due),
            period: extra.period.map(NonZeroU64::get),
            route: extra.route,
            client: extra.client.map(|client| (client.index, client.generation.get())),
        }
    }

    /// Returns the nanoseconds until a node is due.
    fn until_tick(&self, node: &Node) -> u64 {
        let (now, due) = (self.clock.now(), node.due().unwrap_or(self.clock.now()));
        let until = u64::try_from(due.since(now).as_nanos()).unwrap_or(u64::MAX);
        // A tick begins with a whole millisecond. Otherwise each handover would delay the timer.
        until.saturating_sub(self.clock.now_nanos() % 1_000_000)
    }

    /// Takes the timers out that handlers have set already, for routes that are new.
    pub(crate) fn take_own_timers(&mut self, is_new: impl Fn(u16) -> bool) -> Vec<OwnTimer> {
        let indexes: Vec<u32> = self.timers.iter().map(|(index, _)| index as u32).collect();
        let mut own = Vec::new();
        for index in indexes {
            let Some(timer) = self.timers.get(index as usize) else { continue };
            let record = self.timer_record(index as usize, timer);
            if is_new(record.route) && record.client.is_none() {
                let (period, token, route) = (record.period.and_then(NonZeroU64::new), record.token, record.route);
                own.push(OwnTimer { after: record.after, period, token, route });
            }
            self.drop_timer(index);
        }
        own
    }

    /// Sets these timers again, with other ids.
    pub(crate) fn put_own_timers(&mut self, timers: Vec<OwnTimer>) {
        for OwnTimer { after, period, token, route } in timers {
            let period = period.map(|period| Duration::from_nanos(period.get()));
            self.set_timer(Duration::from_nanos(after), period, token, route);
        }
    }

    /// Drops the timers that belong to no client: another process has them.
    pub(crate) fn drop_timers(&mut self) {
        let is_clients = |index: &u32| self.timer_extras.get(index).is_some_and(|extra| extra.client.is_some());
        let indexes = self.timers.iter().map(|(index, _)| index as u32);
        let dropped: Vec<u32> = indexes.filter(|index| !is_clients(index)).collect();
        dropped.into_iter().for_each(|index| self.drop_timer(index));
    }

    /// Sets the timers of another process, which has described them so many nanoseconds ago. There
    /// must be none yet.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: indexes make no sense.
    pub(crate) fn restore_timers(
        &mut self,
        mut records: Vec<TimerRecord>,
        ago: u64,
        route: impl Fn(u16) -> Result<u16, Malformed>,
    ) -> Result<(), Malformed> {
        records.sort_unstable_by_key(|record| record.index);
        let mut fillers = Vec::new();
        self.timers = Slab::new();
        for record in records {
            TIMERS.use_it();
            let (index, generation) = (record.index as usize, NonZeroU32::new(record.generation));
            let generation = generation.ok_or(Malformed("a timer's generation"))?;
            if index >= MOST_TIMER_PLACES {
                return Err(Malformed("too many places of timers"));
            }
            if index < self.timers.vacant_key() {
                return Err(Malformed("the order of timers"));
            }
            while self.timers.vacant_key() < index {
                fillers.push(self.timers.insert(AppTimer::new(NonZeroU32::MIN, 0)));
            }
            self.timers.insert(AppTimer::new(generation, record.token));
            self.restore_timer(&record, ago, route(record.route)?)?;
        }
        for index in fillers.into_iter().rev() {
            self.timers.remove(index);
        }
        Ok(())
    }

    /// All clients of the other process are there: they get their timers. Those of clients that
    /// nobody knows here end, because these stay behind.
    pub(crate) fn join_timers_to_clients(&mut self) {
        let of_clients = self.timer_extras.iter().filter_map(|(timer, extra)| Some((*timer, extra.client?)));
        for (timer, client) in of_clients.collect::<Vec<_>>() {
            let Some(index) = self.find(client) else {
                self.drop_timer(timer);
                continue;
            };
            let timers = &mut self[index].connection.extra_mut().timers;
            // A handler may have set it while it was restored.
            if !timers.contains(&timer) {
                timers.push(timer);
            }
        }
    }

    fn restore_timer(&mut self, record: &TimerRecord, ago: u64, route: u16) -> Result<(), Malformed> {
        let due = self.clock.now_nanos().saturating_add(record.after);
        let due = due.saturating_sub(record.late).saturating_sub(ago);
        let period = record.period.and_then(NonZeroU64::new);
        if period.is_some_and(|period| period.get() < LEAST_PERIOD) {
            return Err(Malformed("the period of a timer"));
        }
        let client = match record.client {
            None => None,
            Some((index, generation)) => {
                CLIENT_TIMERS.use_it();
                let generation = NonZeroU32::new(generation).ok_or(Malformed("a timer's client"))?;
                Some(ClientId { index, generation })
            }
        };
        let is_far = record.after > u64::try_from(crate::protocol::time::LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let exact = (period.is_some() || is_far).then_some(due);
        if exact.is_some() || route != 0 || client.is_some() {
            self.timer_extras.insert(record.index, TimerExtra { due: exact, period, route, client });
        }
        self.arm_timer(record.index, due);
        Ok(())
    }
}

impl<D: ClientData> Client<D> {
    /// A place without a client.
    fn filler(now: Tick) -> Client<D> {
        let nothing = (Socket::Unconnected, Connection::new(Role::Server, now));
        Client::new(NonZeroU32::MAX, nothing, 0, Flags::default())
    }

    fn new(
        generation: NonZeroU32,
        (socket, connection): (Socket, Connection<Extra>),
        route: u16,
        flags: Flags,
    ) -> Client<D> {
        let (socket, data) = (Locked::new(socket), D::Stored::default());
        Client { connection, socket, deadline: Node::new(), generation, route, flags, data }
    }

    /// Returns for how many milliseconds the client is not to be read, because it has sent too
    /// much.
    pub(crate) fn throttled_for(&self, until: Option<Tick>, now: Tick) -> Option<u32> {
        let until = until.filter(|_| self.is_closed(Reason::Rate))?;
        Some(until.since(now).as_millis() as u32)
    }
}
