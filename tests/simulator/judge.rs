//! The end of a run, and the comparison with the model.

use crate::application::{Application, Known, number_of_owned};
use crate::run::{Actor, Run};
use crate::secured::Talk;
use lariat::sim::{Faults, Simulation};
use lariat::tls::TlsFailure;
use lariat::{ClientId, CloseCode, CloseReason, Config, ReadyState, Timeout};
use std::collections::BTreeMap;
use std::time::Duration;

impl Run {
    /// Ends the faults and lets every peer read. Everything that waits must then arrive.
    pub fn settle(&mut self) {
        let mut faults = Faults::none();
        faults.window = self.faults.window;
        self.sim.set_faults(faults);
        self.sim.remark("the faults are over");
        settle_application(&mut self.sim);
        self.actors.iter().for_each(|actor| actor.peer.resume_reading());
        let (before, peers) = (self.sim.turns(), self.actors.len() as u64);
        self.sim.run_until_idle();
        // New connections that could not be accepted are accepted a little later.
        self.sim.run_for(Duration::from_millis(200));
        let turns = self.sim.turns() - before;
        self.check(turns < 2_000 + 200 * peers, || format!("{turns} turns until everything was done"));
        // Messages beyond the rate are read a little later, and so are clients that hold too much
        // memory.
        if self.has_rates() || self.is_short() {
            self.sim.run_for(Duration::from_secs(60));
        }
        self.audit();
        self.accept();
        self.actors.iter_mut().for_each(Actor::receive);
    }

    /// Checks the open connections: the peers have received everything, and the server has received
    /// everything from them. No client is stuck at a limit.
    pub fn judge_living(&mut self) {
        let (mut known_ids, mut changed_ids) = (Vec::new(), Vec::new());
        for actor in &self.actors {
            let state = actor.peer.ready_state();
            let is_between = matches!(state, ReadyState::Connecting | ReadyState::Closing);
            if is_between && !actor.is_hostile && !actor.has_broken && self.faults.half_close == 0.0 {
                let known = actor.known(&self.sim);
                self.wrongs.push(format!("{:?} is left {state:?}: {known:?}", actor.peer.addr()));
            }
        }
        for actor in &self.actors {
            let Some((id, known)) = actor.known(&self.sim) else { continue };
            if known.reason.is_some() || !known.opened {
                continue;
            }
            known_ids.push(*id);
            if actor.talk.as_ref().is_some_and(|talk| talk.is_changed()) {
                changed_ids.push(*id);
            }
            if actor.is_hostile || actor.has_ended || !actor.peer.is_open() || self.faults.half_close > 0.0 {
                continue;
            }
            if !actor.has_received_all(known) {
                self.wrongs.push(format!("{id} is open and has received {:?}, not {known:?}", actor.received));
            }
            if known.heard != actor.sent {
                self.wrongs
                    .push(format!("{id} is open, and the server received {:?}, not {:?}", known.heard, actor.sent));
            }
        }
        let clients = self.sim.clients();
        let (len, is_open) = (clients.len(), |id: &ClientId| clients.ready_state(*id) == ReadyState::Open);
        changed_ids.retain(is_open);
        let open = known_ids.iter().filter(|id| is_open(id)).count();
        self.check(open <= len, || format!("{open} are open, and the server knows of {len}"));
        self.check(changed_ids.is_empty(), || format!("{changed_ids:?} are open, and a byte of theirs was changed"));
    }

    /// Disconnects all peers, and checks that nothing is left.
    pub fn leave(&mut self) {
        for (index, actor) in self.actors.iter_mut().enumerate() {
            match index % 3 {
                // A peer that announced a frame and did not send it cannot send a Close, nor can a
                // peer whose ciphertext is damaged.
                _ if actor.is_hostile || actor.is_damaged() || !actor.peer.is_open() => actor.hang_up(),
                0 => actor.peer.close(CloseCode::Away, ""),
                1 => actor.peer.half_close(),
                _ => actor.hang_up(),
            }
            actor.has_ended = true;
        }
        self.sim.run_for(self.longest_wait());
        self.actors.iter_mut().for_each(Actor::receive);
        let footprint = self.sim.footprint();
        self.check(footprint.connections == 0, || format!("a connection is left: {footprint:?}"));
        self.check(footprint.held == footprint.spares, || format!("memory is left: {footprint:?}"));
        self.check(footprint.spares < 600 << 10, || format!("too much memory is kept: {footprint:?}"));
        let (clients, topics) = (self.sim.clients(), ["0", "1", "2", "3"]);
        let left = (clients.len(), clients.iter_all().count(), topics.map(|topic| clients.subscribers(topic)));
        self.check(left == (0, 0, [0; 4]), || format!("left: {left:?}"));
        let sessions = self.sim.clients().stats().tls_sessions;
        self.check(sessions == 0, || format!("{sessions} TLS sessions are left"));
        let has_timers = self.sim.handler().has_timers();
        self.check(!has_timers, || "timers have not fired".to_owned());
        // After that the loop sleeps.
        let before = self.sim.turns();
        self.sim.run_for(Duration::from_secs(24 * 60 * 60));
        let turns = self.sim.turns() - before;
        self.check(turns < 20, || format!("{turns} turns in a day without clients"));
    }

    /// Returns the longest time that the server takes to notice that peers have left.
    fn longest_wait(&self) -> Duration {
        match self.config.rates.messages_per_second {
            // TLS delivers whole records (RFC 8446 §5.1). A hostile peer may fill one with the
            // shortest frames, of 6 bytes. The server reads on when the peer's rate allows so many.
            Some(rate) if self.tls.is_some() => Duration::from_secs(20 + (16 << 10) / 6 / u64::from(rate)),
            _ => Duration::from_secs(20),
        }
    }

    pub fn judge_dead(&mut self) {
        for (id, known) in &self.sim.handler().known {
            if (known.opened || known.is_outgoing) != known.reason.is_some() {
                self.wrongs.push(format!("{id} did not get one on_close for each on_open: {known:?}"));
            }
        }
        self.judge_sessions();
        for actor in &self.actors {
            let Some((id, known)) = actor.known(&self.sim) else { continue };
            let Some(reason) = &known.reason else { continue };
            let mut wrongs = Vec::new();
            if !actor.has_received_in_order(known) {
                wrongs.push(format!("received {:?}, of {known:?}", actor.received));
            }
            if !actor.is_hostile && !actor.sent.starts_with(&known.heard) {
                wrongs.push(format!("the server received {:?}, of {:?}", known.heard, actor.sent));
            }
            // The server has received everything that the peer sent before its Close.
            let sent_close = matches!(reason, CloseReason::Peer(_)) && !actor.is_hostile && !actor.has_broken;
            if sent_close && known.heard != actor.sent {
                wrongs.push(format!("the server received {:?}, not {:?}", known.heard, actor.sent));
            }
            // Timeouts occurred only for peers that caused them.
            let is_patient = !actor.is_hostile && !actor.has_stopped && !actor.has_broken;
            let is_undisturbed = self.faults.late == 0.0 && self.faults.half_close == 0.0;
            let in_vain = match reason {
                CloseReason::Timeout(Timeout::Close | Timeout::Write) => true,
                // A message that is not read for a while gets no more time than others.
                CloseReason::Timeout(Timeout::Message) => !self.has_rates() && !self.is_short(),
                _ => false,
            };
            if is_patient && is_undisturbed && in_vain {
                wrongs.push("but the peer was responsive".to_owned());
            }
            // We have sent a Close, and the peer has answered it. So the peer has received
            // everything before it.
            let was_clean = matches!(reason, CloseReason::Local(_)) && !actor.is_hostile && !actor.has_ended;
            if was_clean && !actor.has_received_all(known) {
                wrongs.push(format!("received {:?}, not {known:?}", actor.received));
            }
            self.wrongs.extend(wrongs.iter().map(|wrong| format!("{id}, closed because {reason}: {wrong}")));
        }
    }
}

impl Run {
    /// Checks what became of TLS sessions.
    fn judge_sessions(&mut self) {
        for actor in &self.actors {
            let Some(talk) = &actor.talk else { continue };
            // The server may send an alert only if it could not understand the peer.
            let failure = talk.failure().filter(|_| !talk.is_at_fault());
            let mut wrongs: Vec<String> =
                failure.iter().map(|failure| format!("the peer has not understood the server: {failure}")).collect();
            if let Some((_, Known { reason: Some(reason), .. })) = actor.known(&self.sim) {
                if !self.may_end_so(actor, talk, reason) {
                    wrongs.push(format!("closed because {reason}: {talk:?}"));
                }
                if self.lacks_close_notify(actor, talk, reason) {
                    wrongs.push(format!("no close_notify before FIN, {reason}: {talk:?}"));
                }
            }
            let addr = actor.peer.addr();
            self.wrongs.extend(wrongs.iter().map(|wrong| format!("{addr}: {wrong}")));
        }
    }

    fn may_end_so(&self, actor: &Actor, talk: &Talk, reason: &CloseReason) -> bool {
        let halves_are_closed = self.faults.half_close > 0.0;
        match reason {
            CloseReason::Tls(error) if error.kind() == TlsFailure::Truncated => {
                talk.is_mute() || actor.has_broken || actor.is_hostile || halves_are_closed
            }
            CloseReason::Tls(_) => talk.is_at_fault(),
            // Nothing is heard of a peer after the changed byte, and neither is its end. But that
            // byte may not have been sent, and a fault may have closed the peer's half before it.
            CloseReason::Eof | CloseReason::Peer(_) => !talk.is_changed() || talk.has_lost.get() || halves_are_closed,
            _ => true,
        }
    }

    /// Returns whether the closing handshake was complete, but not that of TLS.
    fn lacks_close_notify(&self, actor: &Actor, talk: &Talk, reason: &CloseReason) -> bool {
        let is_clean = matches!(reason, CloseReason::Local(_) | CloseReason::Peer(_));
        // The server says it only once to a peer that has ended before it, and never to a peer that
        // has not read for too long, or that gets an alert.
        let writes_fail = [self.faults.would_block, self.faults.interrupted, self.faults.short_write] != [0.0; 3];
        let has_ended_first = actor.is_outgoing || actor.has_broken || self.faults.half_close > 0.0;
        let may_be_lost = actor.has_stopped || writes_fail && has_ended_first || talk.is_at_fault();
        is_clean && !may_be_lost && actor.peer.has_heard_end() && !talk.has_heard_close()
    }
}

/// Lets the application cancel its timers between two turns, as a host with its own loop would.
fn settle_application(sim: &mut Simulation<Application>) {
    let mut application = std::mem::replace(sim.handler_mut(), Application::new(0, &Config::default(), false));
    application.settle(sim.clients());
    *sim.handler_mut() = application;
}

impl Actor {
    /// Hangs up. What was not sent is lost.
    pub fn hang_up(&self) {
        if let Some(talk) = self.talk.as_ref().filter(|_| self.peer.unsent() > 0) {
            talk.has_lost.set(true);
        }
        self.peer.hang_up();
    }

    fn is_damaged(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.is_damaged())
    }

    pub fn receive(&mut self) {
        self.received.extend(self.peer.received().iter().filter_map(number_of_owned));
    }

    /// Whether the peer has received the messages that were accepted for it, in order and up to
    /// some message, and for each key none after a later one.
    fn has_received_in_order(&self, known: &Known) -> bool {
        let mut accepted = known.accepted.iter();
        let mut last = BTreeMap::new();
        self.received.iter().all(|number| match known.conflated.get(number) {
            Some(key) => last.insert(key, number).is_none_or(|before| before < number),
            None => accepted.next() == Some(number),
        })
    }

    /// Whether the peer has received all messages that were accepted for it, and the last one of
    /// each key.
    fn has_received_all(&self, known: &Known) -> bool {
        let plain = self.received.iter().filter(|number| !known.conflated.contains_key(number)).count();
        let lasts: BTreeMap<u64, u32> = known.conflated.iter().map(|(number, key)| (*key, *number)).collect();
        plain == known.accepted.len()
            && self.has_received_in_order(known)
            && lasts.values().all(|last| self.received.contains(last))
    }

    /// Returns the model of this peer.
    fn known<'a>(&self, sim: &'a Simulation<Application>) -> Option<(&'a ClientId, &'a Known)> {
        let known = &sim.handler().known;
        if self.is_outgoing {
            let first = self.received.first()?;
            return known.iter().find(|(_, known)| known.is_outgoing && known.accepted.first() == Some(first));
        }
        let addr = Some(self.peer.addr());
        known.iter().find(|(_, known)| known.addr == addr && !known.is_outgoing)
    }
}
