//! Clients that go to another process, and those that come from one.

use super::admission::AddressGroup;
use super::clients::Clients;
use crate::parts::{PROXIES, SLOW_CONSUMERS};
use crate::protocol::time::Tick;
#[cfg(feature = "tls")]
use crate::protocol::tls::{CarriedSession, ServerTls, Session};
use crate::protocol::{CarriedReason, CloseReason, Connection, Malformed, Role, Shared, SharedBytes, State};
use crate::server::config::{Excess, Rates};
use crate::server::data::ClientData;
use crate::server::handover::{
    ClientRecord, ConflatedRecord, Giving, Link, LoopHead, RareRecord, RatesRecord, TopicRecord,
};
use crate::server::id::ClientId;
use crate::server::net::Socket;
use crate::server::table::{At, Behind, Extra, Fillers, Flags, Latest};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What has been told of a loop's clients so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The clients before this index have been told.
    next: usize,
    /// The numbers of topics in the other process, by those in this one.
    topics: HashMap<u32, u32>,
    /// The numbers of shared frames, by where they lie.
    frames: HashMap<*const u8, u32>,
    /// Clients of any kind.
    pub(crate) clients: u64,
}

/// What is known of another process when a client of it is added.
pub(crate) struct Known<'a> {
    pub(crate) topics: &'a [TopicRecord],
    pub(crate) shared: &'a [SharedBytes],
    /// The TLS of a listener here: its suites are those of all.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<&'a ServerTls>,
}

/// A client that has been described.
pub(crate) struct Described {
    pub(crate) index: usize,
    pub(crate) record: ClientRecord,
    /// Whether its connection goes along.
    pub(crate) moves: bool,
}

/// Gives each shared frame a number, and collects the new ones.
fn number(numbers: &mut HashMap<*const u8, u32>, new: &mut Vec<SharedBytes>, frame: &SharedBytes) -> u32 {
    let next = numbers.len() as u32;
    *numbers.entry(frame.place()).or_insert_with(|| {
        new.push(frame.clone());
        next
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl<D: ClientData> Clients<D> {
    // ---- the handover --------------------------------------------------------------------------

    /// Lets all loops of the server hand over at the end of their turns.
    pub(crate) fn begin_handover(&mut self, link: Link) {
        let giving = Arc::new(Giving::new(link, self.loops()));
        if let Some(peers) = self.peers() {
            for number in (0..peers.len()).filter(|number| *number != self.loop_number()) {
                let giving = Arc::clone(&giving);
                peers.run_on(number, move |clients| clients.set_giving(giving));
            }
        }
        self.set_giving(giving);
    }

    fn set_giving(&mut self, giving: Arc<Giving>) {
        self.beyond.get_or_default().giving = Some(giving);
    }

    /// Takes the handover that is to happen at the end of this turn.
    pub(crate) fn take_giving(&mut self) -> Option<Arc<Giving>> {
        self.beyond.get_mut()?.giving.take()
    }

    /// Returns why this loop cannot be handed over now, if it cannot.
    pub(crate) fn cannot_hand_over(&self) -> Option<&'static str> {
        if self.is_shutting_down() {
            return Some("the server is shutting down");
        }
        // What other servers publish meanwhile would be lost.
        self.backplane_status().is_some().then_some("a server that shares topics with others cannot hand over")
    }

    // ---- to another process --------------------------------------------------------------------

    /// Describes the loop, without what its handler has saved.
    pub(crate) fn describe_loop(&self) -> (LoopHead, Told) {
        let (mut topics, mut told) = (Vec::new(), Told::default());
        for (number, route, name) in self.table.topics().iter() {
            told.topics.insert(number, topics.len() as u32);
            topics.push(TopicRecord { route, name: name.to_owned() });
        }
        let head = LoopHead {
            number: self.loop_number() as u16,
            loops: self.loops() as u16,
            generation: self.table.last_generation(),
            places: self.table.places() as u32,
            routes: self.route_patterns.clone(),
            topics,
            application: Vec::new(),
            frozen: 0,
            timers: self.table.timer_records(),
        };
        (head, told)
    }

    /// Describes the next client that the other process has to know, and appends new shared frames
    /// to `frames`. Connections that nobody was told of stay behind, and are left out.
    pub(crate) fn describe_next(&mut self, told: &mut Told, frames: &mut Vec<SharedBytes>) -> Option<Described> {
        while told.next < self.table.places() {
            let index = told.next;
            told.next += 1;
            if self.table.get(index).is_some() {
                if let Some(described) = self.describe(index, told, frames) {
                    told.clients += 1;
                    return Some(described);
                }
            }
        }
        None
    }

    fn describe(&mut self, index: usize, told: &mut Told, frames: &mut Vec<SharedBytes>) -> Option<Described> {
        #[cfg(feature = "tls")]
        let session = self.table.sessions().get(index).map(Session::carry);
        #[cfg(feature = "tls")]
        let stays = matches!(session, Some(None)) || !self.table[index].is_connected();
        #[cfg(not(feature = "tls"))]
        let stays = !self.table[index].is_connected();
        let rare = self.describe_rare(index, &mut told.frames, frames);
        let subprotocol = self.table.chosen_subprotocol(index).map(str::to_owned);
        let At { client, now, .. } = self.table.at(index);
        let awaits_tls = client.connection.extra().is_some_and(Extra::awaits_tls);
        let connection = match stays || awaits_tls {
            true => None,
            false => client.connection.carry(now, |frame| number(&mut told.frames, frames, frame)),
        };
        let is_known = client.flags.has(Flags::OPENED)
            || client.connection.has_streamed()
            || client.connection.role() == Role::Client;
        if connection.is_none() && !is_known {
            return None;
        }
        let id = client.id(index);
        let subscriptions = client.connection.extra().map_or(&[][..], |extra| &extra.subscriptions);
        let topics = subscriptions.iter().filter_map(|subscription| told.topics.get(&subscription.topic()).copied());
        let record = ClientRecord {
            index: id.index,
            generation: id.generation.get(),
            route: Some(client.route).filter(|route| *route > 0),
            flags: client.flags.travelling(),
            topics: some(topics.collect()),
            subprotocol,
            rare: rare.map(Box::new),
            data: None,
            reason: client.connection.carried_reason().filter(|_| connection.is_none()),
            #[cfg(feature = "tls")]
            session: session.flatten().filter(|_| connection.is_some()).map(Box::new),
            connection,
        };
        Some(Described { index, moves: record.connection.is_some(), record })
    }

    fn describe_rare(
        &mut self,
        index: usize,
        numbers: &mut HashMap<*const u8, u32>,
        frames: &mut Vec<SharedBytes>,
    ) -> Option<RareRecord> {
        let group = self.address_group(index).map(AddressGroup::to_bytes);
        let has_session = self.table.sessions().has(index);
        let until = self.table.closed_until(index, crate::server::table::Reason::Rate);
        let At { client, now, .. } = self.table.at(index);
        let (rates, allowance) = self.rates.carry(index, client.id(index), now);
        let awaits_header = client.flags.has(Flags::WRAPPED) && !has_session;
        let mut record = RareRecord {
            rates: rates.map(|rates| RatesRecord {
                messages: rates.messages_per_second,
                bytes: rates.bytes_per_second,
                closes: rates.excess == Excess::Close,
            }),
            allowance,
            throttled: client.throttled_for(until, now),
            group,
            ..RareRecord::default()
        };
        if let Some(extra) = client.connection.extra() {
            record.proxied = extra.proxied;
            record.by_proxy_header = extra.by_proxy_header;
            record.proxy_header = awaits_header.then(|| extra.proxy_header.clone());
            record.traced_by = some(extra.traced_by.clone());
            record.reads_above_high_water = extra.reads_above_high_water;
            if let Some(behind) = &extra.behind {
                record.dropped = Some(behind.dropped).filter(|dropped| *dropped > 0);
                record.conflated = some(conflated(behind, |frame| number(numbers, frames, frame)));
            }
        } else if awaits_header {
            record.proxy_header = Some(Vec::new());
        }
        record.is_needed().then_some(record)
    }

    /// Handlers are told of no more memberships.
    pub(crate) fn forget_memberships(&mut self) {
        self.memberships = None;
    }

    // ---- from another process ------------------------------------------------------------------

    /// Adds a client of another process. `route` translates numbers of routes.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub(crate) fn insert_carried(
        &mut self,
        fillers: &mut Fillers,
        record: ClientRecord,
        socket: Option<Socket>,
        Known {
            topics,
            shared: frames,
            #[cfg(feature = "tls")]
            tls,
        }: Known<'_>,
        route: impl Fn(u16) -> Result<u16, Malformed>,
    ) -> Result<ClientId, Malformed> {
        let generation = NonZeroU32::new(record.generation).ok_or(Malformed("a generation"))?;
        let id = ClientId { index: record.index, generation };
        let flags = Flags::from_travelling(record.flags).ok_or(Malformed("flags"))?;
        let own_route = route(record.route.unwrap_or_default())?;
        let now = self.table.now();
        let stays_behind = record.connection.is_none();
        let shared = self.table.shared_mut();
        shared.counters.begins();
        let (socket, connection) = match (record.connection, socket) {
            (Some(carried), Some(socket)) => (socket, Connection::from_carried(shared, now, carried, frames)?),
            (None, None) => {
                // `on_close` is called for all of them, as it is for servers and for open clients.
                let role = if flags.has(Flags::OPENED) { Role::Server } else { Role::Client };
                (Socket::Unconnected, left_behind(shared, now, role, record.reason))
            }
            _ => return Err(Malformed("a client without its descriptor")),
        };
        let index = self.table.insert_carried(fillers, id, (socket, connection), (own_route, flags))?;
        self.count_connection(true);
        #[cfg(feature = "tls")]
        let has_session = self.restore_session(index, tls, record.session)?;
        #[cfg(not(feature = "tls"))]
        let has_session = false;
        let awaits_header = record.rare.as_ref().is_some_and(|rare| rare.proxy_header.is_some());
        if !stays_behind && flags.has(Flags::WRAPPED) != (has_session != awaits_header) {
            return Err(Malformed("a stream of TLS or of the PROXY protocol"));
        }
        if let Some(name) = &record.subprotocol {
            self.table.set_subprotocol(index, name);
        }
        for topic in record.topics.iter().flatten() {
            let topic = topics.get(*topic as usize).ok_or(Malformed("a topic"))?;
            if route(topic.route)? == own_route && self.table.subscribe(index, &topic.name) {
                self.joined_on_loop(index, &topic.name);
            }
        }
        match record.rare {
            Some(rare) => self.restore_rare(index, id, *rare, frames, &route)?,
            None if self.table[index].is_closed_for_a_time() => return Err(Malformed("a gate")),
            None => {}
        }
        self.restore_trace(index);
        if stays_behind {
            self.table.settle(index);
        } else {
            self.queue_carried(index);
        }
        Ok(id)
    }

    /// Goes on with a client's TLS. Returns whether it has some.
    #[cfg(feature = "tls")]
    fn restore_session(
        &mut self,
        index: usize,
        tls: Option<&ServerTls>,
        carried: Option<Box<CarriedSession>>,
    ) -> Result<bool, Malformed> {
        let Some(carried) = carried else { return Ok(false) };
        let tls = tls.ok_or(Malformed("a client with TLS, and this server has no listener with TLS"))?;
        if carried.ahead() > self.table[index].connection.buffered_amount() {
            return Err(Malformed("output of a client with TLS"));
        }
        let session = Session::from_carried(tls, *carried).ok_or(Malformed("a session of TLS"))?;
        self.table.put_session(index, Box::new(session));
        Ok(true)
    }

    /// What a client of another process has to do first.
    fn queue_carried(&mut self, index: usize) {
        let client = &self.table[index];
        let has_output = client.has_output() || client.flags.has(Flags::CONFLATES);
        let has_held = client.connection.has_held();
        #[cfg(feature = "sim")]
        let has_held = has_held || client.descriptor().is_none();
        if has_output {
            self.table.queue_write(index);
        }
        if has_held {
            self.table.queue_read(index);
        }
    }

    fn restore_rare(
        &mut self,
        index: usize,
        id: ClientId,
        record: RareRecord,
        frames: &[SharedBytes],
        route: &impl Fn(u16) -> Result<u16, Malformed>,
    ) -> Result<(), Malformed> {
        if let Some(rates) = record.rates {
            let excess = if rates.closes { Excess::Close } else { Excess::Delay };
            let (messages_per_second, bytes_per_second) = (rates.messages, rates.bytes);
            self.rates.set(index, id, Rates { messages_per_second, bytes_per_second, excess });
        }
        let now = self.table.now();
        if let Some(left) = record.allowance.filter(|_| self.rates.are_used()) {
            self.rates.restore(index, id, left, now);
        }
        match record.throttled {
            Some(left) => self.table.throttle_carried(index, left),
            None if self.table[index].is_closed_for_a_time() => return Err(Malformed("a gate")),
            None => {}
        }
        if let Some(bytes) = record.group {
            let group = AddressGroup::from_bytes(&bytes).ok_or(Malformed("an address"))?;
            self.count_group(index, group);
        }
        let traced_by = record.traced_by.unwrap_or_default().into_iter().map(route).collect::<Result<_, _>>()?;
        let conflated = record.conflated.unwrap_or_default();
        let client = &mut self.table[index];
        if record.proxy_header.is_some() {
            PROXIES.use_it();
        }
        let extra = client.connection.extra_mut();
        (extra.proxied, extra.by_proxy_header) = (record.proxied, record.by_proxy_header);
        extra.proxy_header = record.proxy_header.unwrap_or_default();
        extra.traced_by = traced_by;
        extra.reads_above_high_water = record.reads_above_high_water;
        if record.dropped.is_some() || !conflated.is_empty() {
            SLOW_CONSUMERS.use_it();
            let mut behind = Behind { dropped: record.dropped.unwrap_or_default(), ..Behind::default() };
            for ConflatedRecord { key, is_text, frame } in conflated {
                let payload = frames.get(frame as usize).cloned().ok_or(Malformed("a conflated message"))?;
                behind.bytes += payload.memory();
                behind.places.insert(key, behind.latest.len());
                behind.latest.push(Latest { is_text, payload });
            }
            extra.behind = Some(Box::new(behind));
        }
        Ok(())
    }

    /// Goes on with a trace, or ends it if nobody here wants it.
    fn restore_trace(&mut self, index: usize) {
        let has_listeners = !self.listeners_to(index).is_empty();
        if let Some(trace) = self.trace_new {
            let label = self.table[index].id(index).to_u64();
            trace(&mut self.table[index].connection, Some(label));
        } else if !has_listeners && self.table[index].connection.is_traced() {
            self.table[index].connection.trace(None);
        }
        if log::log_enabled!(log::Level::Debug) {
            self.log_new(index);
        }
    }
}

fn conflated(behind: &Behind, mut number: impl FnMut(&SharedBytes) -> u32) -> Vec<ConflatedRecord> {
    let mut keys: Vec<(usize, u64)> = behind.places.iter().map(|(key, place)| (*place, *key)).collect();
    keys.sort_unstable();
    let latest = |(place, key)| behind.latest.get(place).map(|latest: &Latest| (key, latest));
    let records = keys.into_iter().filter_map(latest);
    let record = |(key, latest): (u64, &Latest)| ConflatedRecord {
        key,
        is_text: latest.is_text,
        frame: number(&latest.payload),
    };
    records.map(record).collect()
}

/// Returns a connection that has ended here, because it stays in the other process.
fn left_behind(shared: &mut Shared, now: Tick, role: Role, reason: Option<CarriedReason>) -> Connection<Extra> {
    let mut connection = Connection::new(role, now);
    connection.end(shared, reason.map_or(CloseReason::LeftBehind, CarriedReason::into_reason));
    debug_assert_eq!(connection.state(), State::Closed);
    connection
}
