//! What goes to another process, and what comes from one: clients with the application's data.

use super::engine::Engine;
use crate::parts::MEMBERSHIPS;
#[cfg(feature = "tls")]
use crate::protocol::tls::ServerTls;
use crate::protocol::{CloseReason, Malformed, SharedBytes};
use crate::server::app::{Handler, RestoreError};
use crate::server::clients::{Known, Told};
use crate::server::handover::{BATCH, ClientRecord, HandoverError, LoopEnd, LoopHead, TopicRecord};
use crate::server::id::ClientId;
use crate::server::net::Socket;
use crate::server::table::{At, Fillers, Flags};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A batch of clients ends when they hold so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Clients for another process, at most as many as descriptors go at once.
pub(crate) struct Batch {
    /// Output that several clients share, and that is new.
    pub(crate) shared: Vec<SharedBytes>,
    pub(crate) records: Vec<ClientRecord>,
    /// The indexes of those whose connections go along, in order.
    pub(crate) moved: Vec<usize>,
}

/// What is known of another process while its clients arrive.
pub(crate) struct Restoring {
    fillers: Fillers,
    topics: Vec<TopicRecord>,
    shared: Vec<SharedBytes>,
    /// Our numbers of its routes. `None` if we have no such route.
    routes: Vec<Option<u16>>,
    /// The names of its routes, for errors.
    names: Vec<String>,
    clients: u64,
    /// The TLS of one of our listeners.
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
}

impl Restoring {
    /// Sessions of TLS go on with the suites of a listener.
    #[cfg(feature = "tls")]
    pub(crate) fn set_tls(&mut self, tls: Option<ServerTls>) {
        self.tls = tls;
    }

    fn route(&self, number: u16) -> Result<u16, Malformed> {
        match self.routes.get(usize::from(number)) {
            Some(Some(route)) => Ok(*route),
            Some(None) => Err(Malformed("a client of a route that this server does not have")),
            None if self.routes.is_empty() && number == 0 => Ok(0),
            None => Err(Malformed("the number of a route")),
        }
    }
}

fn panicked<T>(what: &str) -> Result<T, HandoverError> {
    Err(HandoverError::Unable(format!("the handler panicked in {what}")))
}

impl<H: Handler> Engine<H> {
    // ---- to another process --------------------------------------------------------------------

    /// Tells handlers what they have not been told. Returns whether there was something.
    pub(crate) fn tell_what_is_left(&mut self) -> bool {
        let has_changes = MEMBERSHIPS.is_used() && self.clients.membership_changes() > 0;
        self.tell_memberships();
        self.deliver_traces();
        has_changes
    }

    /// Describes the loop and what its handler keeps.
    ///
    /// # Errors
    ///
    /// The handler cannot save it.
    pub(crate) fn save(&mut self) -> Result<(LoopHead, Told), HandoverError> {
        let (mut head, told) = self.clients.describe_loop();
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = 0;
        let Ok(saved) = catch_unwind(AssertUnwindSafe(|| handler.save(clients))) else { return panicked("save") };
        let why = "Handler::save has returned None, as it does by default for a handler with fields";
        head.application = saved.ok_or_else(|| HandoverError::Unable(why.to_owned()))?;
        Ok((head, told))
    }

    /// Describes the next clients. Returns `None` after the last one.
    ///
    /// # Errors
    ///
    /// The handler cannot save the data of a client.
    pub(crate) fn next_batch(&mut self, told: &mut Told) -> Result<Option<Batch>, HandoverError> {
        let mut batch = Batch { shared: Vec::new(), records: Vec::new(), moved: Vec::new() };
        let mut bytes = 0;
        while batch.records.len() < BATCH && bytes < BATCH_BYTES {
            let Some(mut described) = self.clients.describe_next(told, &mut batch.shared) else { break };
            let index = described.index;
            if self.clients.table[index].flags.has(Flags::OPENED) {
                let saved = self.save_client(index)?;
                bytes += saved.len();
                described.record.data = Some(saved).filter(|saved| !saved.is_empty());
            }
            bytes += described.record.connection.as_ref().map_or(0, |connection| connection.memory());
            if described.moves {
                batch.moved.push(index);
            }
            batch.records.push(described.record);
        }
        Ok(Some(batch).filter(|batch| !batch.records.is_empty()))
    }

    fn save_client(&mut self, index: usize) -> Result<Vec<u8>, HandoverError> {
        let (id, route) = (self.clients.table[index].id(index), self.clients.table[index].route);
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = route;
        let saved = catch_unwind(AssertUnwindSafe(|| handler.save_client(clients, id)));
        let Ok(saved) = saved else { return panicked("save_client") };
        let why = "Handler::save_client has returned None, as it does by default for data with a size";
        saved.ok_or_else(|| HandoverError::Unable(why.to_owned()))
    }

    /// Describes what is left after the last client.
    pub(crate) fn end_of_loop(&self, told: &Told, moved: usize) -> LoopEnd {
        let table = &self.clients.table;
        let counters = table.counters().to_record(&table.shared().counters);
        let (moved, left) = (moved as u64, (table.len() - moved) as u64);
        LoopEnd { counters, clients: told.clients, moved, left }
    }

    /// Another process owns these clients. Forgets them, without a word to them or to the handler.
    pub(crate) fn release(&mut self, moved: &[usize], unwatch: impl Fn(&mut Socket) -> io::Result<()>) {
        self.clients.forget_memberships();
        self.clients.table.drop_timers();
        for index in moved.iter().copied() {
            // The other process has the same stream, so it would report here as well.
            let _ = unwatch(self.clients.table[index].socket.open(&self.key));
            let At { client, shared, .. } = self.clients.table.at(index);
            client.connection.trace(None);
            client.connection.end(shared, CloseReason::LeftBehind);
            self.clients.remove(&self.key, index);
        }
        self.clients.table.forget_queued();
    }

    // ---- from another process ------------------------------------------------------------------

    /// Begins to restore a loop: its timers, and its handler. The other process froze so many
    /// nanoseconds before this turn.
    ///
    /// # Errors
    ///
    /// The handler cannot restore what was saved.
    pub(crate) fn restore(&mut self, head: LoopHead, ago: u64) -> Result<Restoring, HandoverError> {
        self.forget_start();
        let own = &self.clients.route_patterns;
        let number = |name: &String| own.iter().position(|own| own == name).map(|number| number as u16);
        let (routes, names) = (head.routes.iter().map(number).collect::<Vec<_>>(), head.routes);
        let is_new = |route: u16| !own.is_empty() && !routes.contains(&Some(route));
        let own_timers = self.clients.table.take_own_timers(is_new);
        let fillers = self.clients.table.continue_ids(head.generation, head.places as usize)?;
        let restoring = Restoring {
            fillers,
            topics: head.topics,
            shared: Vec::new(),
            routes,
            names,
            clients: 0,
            #[cfg(feature = "tls")]
            tls: None,
        };
        self.clients
            .table
            .restore_timers(head.timers, ago, |number| restoring.route(number))
            .map_err(|error| restoring.explain(error))?;
        self.clients.table.put_own_timers(own_timers);
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = 0;
        let restored = catch_unwind(AssertUnwindSafe(|| handler.restore(clients, &head.application)));
        said_of(restored, "restore")?;
        Ok(restoring)
    }

    /// Drops the connections that the handler has begun in `on_start`.
    fn forget_start(&mut self) {
        let begun: Vec<usize> = self.clients.table.iter().map(|(index, _)| index).collect();
        for index in begun {
            let At { client, shared, .. } = self.clients.table.at(index);
            client.connection.end(shared, CloseReason::Terminated);
            self.clients.remove(&self.key, index);
        }
        self.clients.table.forget_queued();
    }

    /// Notes output that clients of the other process share.
    pub(crate) fn restore_shared(&mut self, restoring: &mut Restoring, outputs: Vec<Vec<u8>>) {
        let shared = self.clients.table.shared_mut();
        restoring.shared.extend(outputs.into_iter().map(|output| shared.share(output)));
    }

    /// Adds clients. `watch` registers a socket with the poller.
    ///
    /// # Errors
    ///
    /// What is said of a client makes no sense, or its handler or the poller cannot take it.
    pub(crate) fn restore_clients(
        &mut self,
        restoring: &mut Restoring,
        records: Vec<ClientRecord>,
        mut sockets: VecDeque<Socket>,
        watch: impl Fn(&mut Socket, usize) -> io::Result<()>,
    ) -> Result<(), HandoverError> {
        for mut record in records {
            let data = record.data.take().unwrap_or_default();
            let socket = if record.connection.is_some() { sockets.pop_front() } else { None };
            let is_moved = socket.is_some();
            let mut fillers = std::mem::take(&mut restoring.fillers);
            let known = Known {
                topics: &restoring.topics,
                shared: &restoring.shared,
                #[cfg(feature = "tls")]
                tls: restoring.tls.as_ref(),
            };
            let route = |number| restoring.route(number);
            let id = self.clients.insert_carried(&mut fillers, record, socket, known, route);
            restoring.fillers = fillers;
            let id = id.map_err(|error| restoring.explain(error))?;
            restoring.clients += 1;
            let index = id.slot();
            #[cfg(feature = "tls")]
            self.share_info(index);
            if is_moved {
                watch(self.clients.table[index].socket.open(&self.key), index)
                    .map_err(|error| HandoverError::Unable(format!("a socket cannot be watched: {error}")))?;
            }
            if self.clients.table[index].flags.has(Flags::OPENED) {
                self.restore_client(index, id, &data)?;
            }
        }
        if sockets.is_empty() { Ok(()) } else { Err(Malformed("more descriptors than clients").into()) }
    }

    fn restore_client(&mut self, index: usize, id: ClientId, saved: &[u8]) -> Result<(), HandoverError> {
        let route = self.clients.table[index].route;
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = route;
        let restored = catch_unwind(AssertUnwindSafe(|| handler.restore_client(clients, id, saved)));
        said_of(restored, "restore_client")
    }

    /// Restores what needs all clients.
    ///
    /// # Errors
    ///
    /// Clients are missing, or what is said of timers makes no sense.
    pub(crate) fn restore_end(&mut self, mut restoring: Restoring, end: LoopEnd) -> Result<(), HandoverError> {
        if restoring.clients != end.clients {
            return Err(Malformed("the number of clients").into());
        }
        self.clients.table.remove_fillers(std::mem::take(&mut restoring.fillers));
        self.clients.table.join_timers_to_clients();
        self.clients.table.add_counters(&end.counters);
        Ok(())
    }
}

impl Restoring {
    fn explain(&self, error: Malformed) -> HandoverError {
        let missing = self.names.iter().zip(&self.routes).find(|(_, route)| route.is_none());
        match missing {
            Some((name, _)) => HandoverError::Unable(format!("{error} (there is no route {name})")),
            None => error.into(),
        }
    }
}

fn said_of(restored: std::thread::Result<Result<(), RestoreError>>, what: &str) -> Result<(), HandoverError> {
    match restored {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(HandoverError::Unable(format!("the handler cannot restore: {error}"))),
        Err(_) => panicked(what),
    }
}
