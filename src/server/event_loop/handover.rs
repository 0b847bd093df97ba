//! The handover of a loop: to a process that takes over, and from the one before.

use super::event_loop::EventLoop;
#[cfg(feature = "tls")]
use crate::protocol::tls::ServerTls;
use crate::protocol::{CloseCode, Malformed};
use crate::server::app::Handler;
use crate::server::clients::{Clients, Queue};
use crate::server::config::Drain;
use crate::server::data::ClientData;
use crate::server::engine::{Batch, Engine};
use crate::server::handover::{
    Batches, Counts, Giving, HandoverError, Link, LoopEnd, LoopHead, Message, Offered, Predecessor, Taking, Verdict,
    meet,
};
use crate::server::net::{Listener, Socket};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Rounds in which loops do what others have asked of them. With more, they are too busy.
const MOST_ROUNDS: usize = 32;

/// Connections that stay behind are closed over this time at most, so that they do not all come
/// back at once. Few of them need less: this much for each.
const DRAIN: Duration = Duration::from_secs(10);
const DRAIN_EACH: Duration = Duration::from_millis(5);

/// What the address of a Unix socket begins with whose file belongs to somebody else, such as
/// systemd.
pub(crate) const PASSED: &str = "passed:";

/// What a loop needs to hand over.
#[derive(Debug, Default)]
pub(crate) struct Handing {
    /// Where other processes ask to take over.
    pub(crate) listener: Option<Listener>,
    /// The listening sockets of the other loops.
    pub(crate) others: Vec<(String, OwnedFd)>,
    /// The TLS of the server's listeners, which the first loop has.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerTls>,
    /// Whether a process is being spoken with.
    pub(crate) is_meeting: Arc<AtomicBool>,
    /// Whether another process has taken over, and how many connections.
    pub(crate) is_replaced: bool,
    pub(crate) handed_over: usize,
}

impl Handing {
    pub(crate) fn new(listener: Option<Listener>, others: Vec<(String, OwnedFd)>) -> Handing {
        Handing { listener, others, ..Handing::default() }
    }

    /// The server stops: nobody can take over any more.
    pub(super) fn stop(&mut self) {
        self.listener = None;
        self.others.clear();
    }
}

/// From whom a loop takes over.
#[derive(Debug)]
pub(crate) enum Predecession {
    Process(Arc<Taking>),
    #[cfg(feature = "sim")]
    Recorded(super::recorded::Recorded),
}

/// Returns a listening socket with its address, for another process.
pub(crate) fn offered(listener: &Listener) -> io::Result<Option<(String, OwnedFd)>> {
    let Some(descriptor) = listener.descriptor() else { return Ok(None) };
    let address = listener.local_addr()?.to_string();
    let address = if listener.has_own_file() { address } else { format!("{PASSED}{address}") };
    Ok(Some((address, descriptor.try_clone_to_owned()?)))
}

impl<H: Handler> EventLoop<H> {
    // ---- another process takes over ------------------------------------------------------------

    /// Hands the server over to the process at the other end of a stream, which calls
    /// [`Server::take_over_from`](crate::Server::take_over_from). For hosts that have their own way
    /// to find that process; [`Server::take_over`](crate::Server::take_over) needs no call.
    ///
    /// Waits until the other process is ready, for at most a minute. Clients are not served
    /// meanwhile. If it returns `Ok`, that process has all connections but those that
    /// [stay behind](crate::Server::take_over). Turn on until there is an
    /// [`outcome`](Self::outcome).
    ///
    /// # Errors
    ///
    /// A [`HandoverError`]. The loop goes on as if nothing had happened.
    ///
    /// With [several loops](crate::Loops), use [`Server::take_over`](crate::Server::take_over).
    pub fn hand_over(&mut self, to: UnixStream) -> Result<(), HandoverError> {
        if self.engine.clients.loops() > 1 {
            return Err(HandoverError::Unable("several loops hand over through Server::take_over".to_owned()));
        }
        let link = meet(to, self.offered()?)?;
        self.engine.clients.begin_handover(link);
        match self.hand_over_if_asked() {
            Some(Verdict::Committed) => Ok(()),
            Some(Verdict::Resumed(why)) => Err(HandoverError::Unable(why)),
            None => Err(HandoverError::Unable("nothing was handed over".to_owned())),
        }
    }

    /// Returns what another process gets first.
    fn offered(&self) -> io::Result<Offered> {
        let mut listeners = Vec::new();
        for listener in &self.listeners {
            listeners.extend(offered(listener)?);
        }
        for (address, descriptor) in &self.handing.others {
            listeners.push((address.clone(), descriptor.try_clone()?));
        }
        let handover = self.handing.listener.as_ref().and_then(Listener::descriptor);
        Ok(Offered {
            listeners,
            handover: handover.map(|descriptor| descriptor.try_clone_to_owned()).transpose()?,
            loops: self.engine.clients.loops(),
            began: self.poller.began(),
            connections: self.engine.clients.connections_of_all_loops(),
            refusal: self.check_handover().err().map(|error| error.to_string()),
        })
    }

    /// Accepts processes that want to take over. A thread speaks with the first one, until that is
    /// ready; the others must wait.
    #[cold]
    pub(super) fn meet_successors(&mut self) {
        loop {
            let accepted = self.handing.listener.as_ref().map(Listener::accept);
            match accepted {
                Some(Ok(Socket::Stream(stream))) => {
                    let stream = UnixStream::from(OwnedFd::from(stream));
                    if let Err(error) = self.meet_one(stream) {
                        log::error!("no process can take over: {error}");
                    }
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Some(Err(error)) => {
                    log::error!("no process can take over: {error}");
                    return;
                }
                Some(Ok(_)) | None => return,
            }
        }
    }

    fn meet_one(&mut self, stream: UnixStream) -> io::Result<()> {
        let is_meeting = Arc::clone(&self.handing.is_meeting);
        if is_meeting.swap(true, Ordering::AcqRel) {
            log::warn!("another process asks to take over while one is about to: it must wait");
            let mut link = Link::new(stream, 1 << 10)?;
            let _ = link.send(&Message::Refused("another process is about to take over".to_owned()), &[]);
            return Ok(());
        }
        let meeting = Meeting(is_meeting);
        let (offered, queue) = (self.offered()?, Arc::clone(&self.queue));
        let thread = std::thread::Builder::new().name("lariat handover".to_owned());
        thread.spawn(move || meet_in_thread(stream, offered, &queue, meeting)).map(drop)
    }

    /// Hands over at the end of a turn, if a process is ready to take over.
    pub(super) fn hand_over_if_asked(&mut self) -> Option<Verdict> {
        let giving = self.engine.clients.take_giving()?;
        let (began, now) = (self.poller.began(), self.poller.now());
        // What is described is described as of now.
        self.engine.clients.table.begin_turn(now);
        let frozen = began.saturating_add(now.elapsed().as_nanos() as u64);
        self.queue.freeze(true);
        let (verdict, counts, moved) = self.give(&giving, frozen);
        self.queue.freeze(false);
        let took = Duration::from_nanos(self.poller.now().elapsed().as_nanos() as u64 + began - frozen);
        match &verdict {
            Verdict::Committed => self.gone(&moved, counts, took),
            Verdict::Resumed(why) => {
                self.engine.clients.table.counters_mut().handover_failures += 1;
                log::error!("the handover has failed, and this process goes on: {why} (it was frozen for {took:?})");
            }
        }
        Some(verdict)
    }

    fn give(&mut self, giving: &Giving, frozen: u64) -> (Verdict, Counts, Vec<usize>) {
        if let Err(why) = self.come_to_rest(giving) {
            let (verdict, counts) = giving.give_up(&why);
            return (verdict, counts, Vec::new());
        }
        let mut moved = Vec::new();
        let (number, engine) = (self.engine.clients.loop_number(), &mut self.engine);
        let (verdict, counts) = giving.send(number, |link| send_loop(engine, link, frozen, &mut moved));
        (verdict, counts, moved)
    }

    /// Does what other loops have asked of this one, until none has asked for more.
    fn come_to_rest(&mut self, giving: &Giving) -> Result<(), HandoverError> {
        self.check_handover()?;
        self.do_what_is_asked(|is_busy| giving.meet_others(is_busy))?;
        // What was asked of it may have changed that.
        self.check_handover()
    }

    /// Does what was asked of this loop, round by round. `meet_others` returns whether any loop had
    /// something to do.
    pub(super) fn do_what_is_asked(
        &mut self,
        mut meet_others: impl FnMut(bool) -> Result<bool, HandoverError>,
    ) -> Result<(), HandoverError> {
        for round in 0..MOST_ROUNDS {
            let calls = self.queue.take();
            // What a loop has done before it came here may reach another one after that has looked.
            let mut is_busy = round == 0 || !calls.is_empty();
            for call in calls {
                self.engine.obey(call);
            }
            self.accept_handed();
            is_busy |= self.engine.tell_what_is_left();
            self.engine.let_leave(|socket| self.poller.unwatch(socket));
            is_busy |= self.engine.clients.table.has_ended();
            self.engine.reap();
            if !meet_others(is_busy)? {
                return Ok(());
            }
        }
        Err(HandoverError::Unable("the loops are too busy".to_owned()))
    }

    fn check_handover(&self) -> Result<(), HandoverError> {
        let why = if self.outcome().is_some() { Some("the server has stopped") } else { None };
        let why = why.or_else(|| self.engine.clients.cannot_hand_over());
        why.map_or(Ok(()), |why| Err(HandoverError::Unable(why.to_owned())))
    }

    /// Another process owns the connections that were moved, and the listening sockets.
    fn gone(&mut self, moved: &[usize], counts: Counts, took: Duration) {
        let poller = &self.poller;
        self.engine.release(moved, |socket| poller.unwatch(socket));
        self.handing.is_replaced = true;
        self.handing.handed_over = moved.len();
        for listener in self.listeners.iter_mut().chain(&mut self.handing.listener) {
            listener.leave_file();
            // The other process has the same socket, so it would report here as well.
            let _ = poller.unwatch_listener(listener);
        }
        self.listeners.clear();
        self.handing.stop();
        self.has_new_connections = false;
        if self.engine.clients.loop_number() == 0 {
            let Counts { moved, left } = counts;
            log::info!("handed over: {moved} connections, frozen for {took:?}; {left} stay behind and are closed");
        }
        let over = DRAIN_EACH.saturating_mul(u32::try_from(counts.left).unwrap_or(u32::MAX)).min(DRAIN);
        let drain = Drain::default().over(over).code(CloseCode::Restart);
        self.engine.clients.leave_to_another(drain);
        self.stop_when_done();
    }

    /// Whether another process has taken over, and how many connections.
    pub(super) const fn replaced(&self) -> (bool, usize) {
        (self.handing.is_replaced, self.handing.handed_over)
    }

    /// A loop begins: other processes can take over from it, and it takes over itself if it is to.
    pub(super) fn began(mut self, from: Option<Predecession>) -> io::Result<EventLoop<H>> {
        // After the takeover, nothing may fail: the other process has ended.
        if let Some(listener) = &mut self.handing.listener {
            self.poller.watch_handovers(listener)?;
        }
        match from {
            None => {}
            Some(Predecession::Process(taking)) => self.take_over(&taking)?,
            #[cfg(feature = "sim")]
            Some(Predecession::Recorded(mut recorded)) => self.receive_loop(0, &mut recorded).map(drop)?,
        }
        Ok(self)
    }

    // ---- this process takes over ---------------------------------------------------------------

    /// Takes over a loop, before the first turn.
    pub(super) fn take_over(&mut self, taking: &Taking) -> Result<(), HandoverError> {
        let (loops, number) = (self.engine.clients.loops(), self.engine.clients.loop_number());
        if loops != taking.predecessor.loops {
            let why = format!("loops of the old server: {}, of the new one: {loops}", taking.predecessor.loops);
            taking.give_up(&why);
            return Err(HandoverError::Unable(why));
        }
        let mut took = None;
        taking.take(number, |link| self.receive_loop(number, link).map(|end| took = Some(end)))?;
        self.listeners.iter_mut().chain(&mut self.handing.listener).for_each(Listener::own_file);
        let Some(Received { moved, left, frozen }) = took else { return Ok(()) };
        let now = self.poller.began().saturating_add(self.poller.now().elapsed().as_nanos() as u64);
        let took = Duration::from_nanos(now.saturating_sub(frozen));
        let counters = self.engine.clients.table.counters_mut();
        counters.handovers += 1;
        (counters.handover_moved, counters.handover_left) = (moved, left);
        counters.handover_micros = took.as_micros() as u64;
        let predecessor = &taking.predecessor;
        let Predecessor { program, process, .. } = predecessor;
        let of_loop = if loops > 1 { format!(" of loop {number}") } else { String::new() };
        log::info!(
            "took over {moved} connections{of_loop} in {took:?} from {program} (process {process}); {left} stay there"
        );
        Ok(())
    }

    /// Receives the loop with this number.
    pub(super) fn receive_loop(&mut self, number: usize, link: &mut impl Incoming) -> Result<Received, HandoverError> {
        let head = expect_head(link, number)?;
        // The time of `on_start` may be long ago.
        self.now = self.poller.now();
        self.engine.clients.table.begin_turn(self.now);
        let (frozen, poller) = (head.frozen, &self.poller);
        let ago = poller.began().saturating_add(self.now.elapsed().as_nanos() as u64).saturating_sub(frozen);
        let mut restoring = self.engine.restore(head, ago)?;
        #[cfg(feature = "tls")]
        restoring.set_tls(self.handing.tls.clone());
        let end = loop {
            match link.next()? {
                (Message::Shared(shared), _) => {
                    self.engine.restore_shared(&mut restoring, shared.into_iter().map(Vec::from).collect());
                }
                (Message::Clients(records), sockets) => {
                    let watch = |socket: &mut Socket, index| poller.watch(socket, index);
                    self.engine.restore_clients(&mut restoring, records, sockets, watch)?;
                    link.received()?;
                }
                (Message::LoopEnd(end), _) => break *end,
                (message, _) => return Err(unexpected(&message)),
            }
        };
        let LoopEnd { moved, left, .. } = end;
        self.engine.restore_end(restoring, end)?;
        self.ended_now();
        Ok(Received { moved, left, frozen })
    }
}

/// What has come of a loop.
pub(super) struct Received {
    moved: u64,
    left: u64,
    frozen: u64,
}

/// The messages of the process that hands over, with sockets.
pub(super) trait Incoming {
    fn next(&mut self) -> Result<(Message, VecDeque<Socket>), HandoverError>;

    /// A batch of clients has arrived.
    fn received(&mut self) -> Result<(), HandoverError>;
}

impl Incoming for Link {
    fn next(&mut self) -> Result<(Message, VecDeque<Socket>), HandoverError> {
        let (message, descriptors) = self.expect()?;
        Ok((message, descriptors.into_iter().map(Socket::from_descriptor).collect()))
    }

    fn received(&mut self) -> Result<(), HandoverError> {
        self.send(&Message::Received, &[])
    }
}

fn unexpected(message: &Message) -> HandoverError {
    HandoverError::Malformed(format!("{} came", message.name()))
}

fn expect_head(link: &mut impl Incoming, number: usize) -> Result<LoopHead, HandoverError> {
    match link.next()? {
        (Message::Loop(head), _) if usize::from(head.number) == number => Ok(head),
        (Message::Loop(_), _) => Err(Malformed("the order of loops").into()),
        (message, _) => Err(unexpected(&message)),
    }
}

/// Sends a loop to the process that takes over. Notes whose connections have gone along.
fn send_loop<H: Handler>(
    engine: &mut Engine<H>,
    link: &mut Link,
    frozen: u64,
    moved: &mut Vec<usize>,
) -> Result<Counts, HandoverError> {
    let mut batches = Batches::new(link);
    let counts = tell_loop(engine, frozen, moved, |message, engine, indexes| {
        let table = &engine.clients.table;
        let descriptors = indexes.iter().filter_map(|index| table[*index].descriptor());
        batches.send(message, &descriptors.collect::<Vec<BorrowedFd<'_>>>())
    })?;
    batches.wait(0)?;
    Ok(counts)
}

/// Tells a loop, message by message. `tell` gets each message with the indexes of the clients whose
/// sockets belong to it.
pub(super) fn tell_loop<H: Handler>(
    engine: &mut Engine<H>,
    frozen: u64,
    moved: &mut Vec<usize>,
    mut tell: impl FnMut(&Message, &Engine<H>, &[usize]) -> Result<(), HandoverError>,
) -> Result<Counts, HandoverError> {
    let (mut head, mut told) = engine.save()?;
    head.frozen = frozen;
    tell(&Message::Loop(head), engine, &[])?;
    while let Some(Batch { shared, records, moved: indexes }) = engine.next_batch(&mut told)? {
        for output in shared {
            tell(&Message::Shared(vec![output.to_vec().into()]), engine, &[])?;
        }
        tell(&Message::Clients(records), engine, &indexes)?;
        moved.extend(indexes);
    }
    let end = engine.end_of_loop(&told, moved.len());
    let counts = Counts { moved: moved.len(), left: end.left as usize };
    tell(&Message::LoopEnd(Box::new(end)), engine, &[])?;
    Ok(counts)
}

/// Whether a process is being spoken with, until this is dropped.
struct Meeting(Arc<AtomicBool>);

impl Drop for Meeting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Speaks with a process, and lets the loops hand over when it is ready.
fn meet_in_thread<D: ClientData>(stream: UnixStream, offered: Offered, queue: &Queue<D>, meeting: Meeting) {
    match meet(stream, offered) {
        Ok(link) => queue.push_internal(move |clients: &mut Clients<D>| {
            clients.begin_handover(link);
            drop(meeting);
        }),
        Err(error) => log::warn!("a process asked to take over, and did not: {error}"),
    }
}
