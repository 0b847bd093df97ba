//! The walks of all connections through the scenario.
//!
//! A walker goes on until it has to wait: for a message, a pong, the end of its connection or a
//! time. Whoever calls a method here does with the connection what it returns.

use super::machine::{NEVER, STALLED, nanos};
use super::tallies::Tallies;
use super::walker::{Waits, Walker};
use crate::load::measure::{Measurements, Problem};
use crate::load::plan::Plan;
use crate::load::scenario::{Body, Op, Step};
use lariat::{ClientId, Clients, CloseReason, Message};
use rand::RngExt;
use rand::rngs::StdRng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

/// Steps that a walker does before others have their turn.
const MOST_STEPS: usize = 1_000;

/// Walkers are asked so often whether an answer is late.
const SWEEP: u64 = 50_000_000;

/// So long a walker waits whose server does not read.
const PAUSE: u64 = 1_000_000;

/// What a walk has come to.
pub(super) type Went = ControlFlow<End>;

/// How a walk ends for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The steps are over. The connection stays.
    Over,
    /// The connection is to be closed with this code and reason.
    Close(u16, String),
}

/// The walks.
#[derive(Debug)]
pub(super) struct Walks {
    pub(super) walkers: Vec<Walker>,
    pub(super) tallies: Tallies,
    /// When walkers go on.
    alarms: BinaryHeap<Reverse<(u64, u32)>>,
    next_sweep: u64,
    walking: u32,
    pub(super) finished: u64,
    pub(super) failed: u64,
    random: StdRng,
}

/// What walks need of the driver.
pub(super) struct Scene<'a, D: lariat::ClientData> {
    pub(super) plan: &'a Plan,
    pub(super) measured: &'a mut Measurements,
    pub(super) buffer: &'a mut String,
    pub(super) clients: &'a mut Clients<D>,
    pub(super) now: u64,
}

impl<D: lariat::ClientData> Scene<'_, D> {
    pub(super) fn step(&self, place: u32) -> Option<&Step> {
        self.plan.scenario.steps.get(place as usize)
    }
}

impl Walks {
    pub(super) fn new(plan: &Plan, random: StdRng) -> Walks {
        Walks {
            walkers: Vec::new(),
            tallies: Tallies::new(&plan.scenario),
            alarms: BinaryHeap::new(),
            next_sweep: SWEEP,
            walking: 0,
            finished: 0,
            failed: 0,
            random,
        }
    }

    /// Makes the walkers of all connections.
    pub(super) fn prepare(&mut self, plan: &Plan) {
        let count = if plan.scenario.steps.is_empty() { 0 } else { plan.connections as usize };
        self.walkers = std::iter::repeat_with(Walker::default).take(count).collect();
    }

    pub(super) const fn walking(&self) -> u32 {
        self.walking
    }

    /// Returns when something is due.
    pub(super) fn next_due(&self) -> u64 {
        if self.walking == 0 {
            return NEVER;
        }
        let alarm = self.alarms.peek().map_or(NEVER, |Reverse((due, _))| *due);
        alarm.min(self.next_sweep)
    }

    // ---- what happens to a connection ----------------------------------------------------------

    /// A connection has opened: it begins with the first step.
    pub(super) fn begin<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32, id: ClientId) -> Went {
        let scenario = &scene.plan.scenario;
        let Some(walker) = self.walkers.get_mut(number as usize) else { return Went::Continue(()) };
        walker.begin(id, scene.now, scenario.depth, scenario.variables.len());
        self.walking += 1;
        self.walk(scene, number)
    }

    /// A pong has come.
    pub(super) fn pong<D: lariat::ClientData>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
        payload: &[u8],
    ) -> Went {
        let walker = self.walkers.get(number as usize).filter(|walker| walker.waits == Waits::Pong);
        if walker.is_none_or(|walker| payload != walker.since.to_be_bytes()) {
            return Went::Continue(());
        }
        self.done(scene, number);
        self.walk(scene, number)
    }

    /// A connection has ended. `is_cut` says that a storm has cut it. Returns whether its step
    /// expects this end.
    pub(super) fn ended<D: lariat::ClientData>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
        reason: &CloseReason,
        is_cut: bool,
    ) -> bool {
        if !self.is_walking(number) {
            return false;
        }
        let walker = &mut self.walkers[number as usize];
        let step = scene.step(walker.place);
        let code = match reason {
            CloseReason::Peer(frame) => Some(frame.as_ref().map_or(1_005, |frame| u16::from(frame.code))),
            _ => None,
        };
        let is_right = match step.map(|step| &step.op) {
            Some(Op::ExpectClose { code: expected, .. }) => code.is_some() && expected.is_none_or(|e| code == Some(e)),
            Some(Op::Close { .. }) => code.is_some() || matches!(reason, CloseReason::Local(_)),
            _ => false,
        };
        if is_cut {
            self.over(number, false);
            self.failed -= 1;
        } else if is_right {
            self.done(scene, number);
            self.over(number, true);
        } else {
            self.fail(scene, number, format!("the connection ended: {reason}"));
        }
        is_right && !is_cut
    }

    /// Does what is due. Returns the connections whose walks end.
    pub(super) fn due<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>) -> Vec<(ClientId, End)> {
        let mut ended = Vec::new();
        for _ in 0..MOST_STEPS {
            let Some(Reverse((due, number))) =
                self.alarms.peek().copied().filter(|Reverse((due, _))| *due <= scene.now)
            else {
                break;
            };
            self.alarms.pop();
            self.note(number, &mut ended, |walks| walks.wake(scene, number, due));
        }
        if scene.now >= self.next_sweep {
            self.next_sweep = scene.now + SWEEP;
            let millis = millis(scene.now);
            for number in 0..self.walkers.len() as u32 {
                let walker = &self.walkers[number as usize];
                let is_answer = matches!(walker.waits, Waits::Message | Waits::Pong | Waits::End);
                if is_answer && walker.deadline <= millis {
                    self.note(number, &mut ended, |walks| walks.late(scene, number));
                }
            }
        }
        ended
    }

    fn note(&mut self, number: u32, ended: &mut Vec<(ClientId, End)>, act: impl FnOnce(&mut Walks) -> Went) {
        let id = self.walkers[number as usize].id;
        if let (Some(id), ControlFlow::Break(end)) = (id, act(self)) {
            ended.push((id, end));
        }
    }

    pub(super) fn is_walking(&self, number: u32) -> bool {
        self.walkers.get(number as usize).is_some_and(Walker::is_walking)
    }

    // ---- walking -------------------------------------------------------------------------------

    /// The time has come for which a walker waits.
    fn wake<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32, due: u64) -> Went {
        let walker = &mut self.walkers[number as usize];
        match walker.waits {
            Waits::Turn if walker.wake == due => return self.walk(scene, number),
            Waits::Time if walker.wake == due => {}
            // It was set before the connection was lost.
            _ => return Went::Continue(()),
        }
        match scene.step(walker.place).map(|step| &step.op) {
            Some(Op::Wait { .. }) => self.done(scene, number),
            Some(Op::End { start }) => walker.place = *start as u32 + 1,
            _ => {}
        }
        self.walkers[number as usize].since = due;
        self.walk(scene, number)
    }

    /// Goes on until there is something to wait for.
    pub(super) fn walk<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32) -> Went {
        let plan = scene.plan;
        for _ in 0..MOST_STEPS {
            let walker = &mut self.walkers[number as usize];
            walker.waits = Waits::Nothing;
            let Some(step) = plan.scenario.steps.get(walker.place as usize) else {
                self.over(number, true);
                return Went::Break(End::Over);
            };
            match &step.op {
                Op::Send(body) => {
                    let Some(id) = walker.id else { return Went::Continue(()) };
                    if scene.clients.buffered_amount(id) > STALLED {
                        return self.give_way(number, scene.now + PAUSE);
                    }
                    walker.asked = walker.sent;
                    if !self.send(scene, number, body) {
                        // The connection is closing.
                        let walker = &mut self.walkers[number as usize];
                        (walker.waits, walker.deadline) = (Waits::End, u32::MAX);
                        return Went::Continue(());
                    }
                    self.done_at(scene, number, self.walkers[number as usize].since);
                }
                Op::Expect { within, .. } => {
                    walker.deadline = deadline(scene.now, within.unwrap_or(plan.timeout));
                    walker.first_passed = None;
                    walker.waits = Waits::Message;
                    if !self.finds(scene, number)? {
                        return Went::Continue(());
                    }
                }
                Op::ExpectClose { within, .. } => {
                    walker.deadline = deadline(scene.now, within.unwrap_or(plan.timeout));
                    walker.waits = Waits::End;
                    return Went::Continue(());
                }
                // It belongs to the expect before it, which has looked for it.
                Op::Capture { .. } => walker.place += 1,
                Op::Wait { least, most } => {
                    let time = self.random.random_range(nanos(*least)..=nanos(*most));
                    return self.wait_until(number, scene.now + time);
                }
                Op::Ping => {
                    walker.deadline = deadline(scene.now, plan.timeout);
                    walker.waits = Waits::Pong;
                    if let Some(id) = walker.id {
                        // A connection that is closing ends, and so does its walk.
                        let _ = scene.clients.ping(id, &walker.since.to_be_bytes());
                    }
                    return Went::Continue(());
                }
                Op::Close { code, reason } => {
                    // The loop ends a connection whose server does not answer in time.
                    walker.deadline = u32::MAX;
                    walker.waits = Waits::End;
                    return Went::Break(End::Close(*code, reason.clone()));
                }
                Op::Loop { level, .. } => {
                    let lap = &mut walker.laps[*level];
                    (lap.began, lap.done) = (walker.since, 0);
                    walker.place += 1;
                    let place = walker.place as usize - 1;
                    self.tallies.done(place, 0);
                }
                Op::End { start } => {
                    if let Some(due) = self.next_lap(plan, number, *start) {
                        if due > scene.now {
                            return self.wait_until(number, due);
                        }
                        let walker = &mut self.walkers[number as usize];
                        (walker.place, walker.since) = (*start as u32 + 1, due);
                    }
                }
            }
        }
        self.give_way(number, scene.now + 1)
    }

    /// Returns when the next lap of a loop begins, or goes on after its end.
    fn next_lap(&mut self, plan: &Plan, number: u32, start: usize) -> Option<u64> {
        let walker = &mut self.walkers[number as usize];
        let Op::Loop { times, rate, level, .. } = plan.scenario.steps[start].op else { return None };
        let lap = &mut walker.laps[level];
        lap.done = lap.done.saturating_add(1);
        if times.is_some_and(|times| lap.done >= times) {
            walker.place += 1;
            return None;
        }
        Some(rate.map_or(walker.since, |rate| lap.began.saturating_add((f64::from(lap.done) / rate * 1e9) as u64)))
    }

    fn wait_until(&mut self, number: u32, until: u64) -> Went {
        self.set_alarm(number, Waits::Time, until)
    }

    /// Lets others walk. The same step goes on later, and its time counts.
    fn give_way(&mut self, number: u32, until: u64) -> Went {
        self.set_alarm(number, Waits::Turn, until)
    }

    fn set_alarm(&mut self, number: u32, waits: Waits, until: u64) -> Went {
        let walker = &mut self.walkers[number as usize];
        (walker.waits, walker.wake) = (waits, until);
        self.alarms.push(Reverse((until, number)));
        Went::Continue(())
    }

    /// Sends something. Returns `false` if the connection is closing.
    pub(super) fn send<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32, body: &Body) -> bool {
        let walker = &mut self.walkers[number as usize];
        let Some(id) = walker.id else { return false };
        let mut who = scene.plan.who(scene.plan.first_number + number, walker.sent, walker.since);
        who.variables = &walker.values;
        let bytes;
        let message = match body {
            Body::Text(template) => Message::Text(template.fill(scene.buffer, &who)),
            Body::Binary(template) => Message::Binary(template.fill(scene.buffer, &who).as_bytes()),
            Body::Bytes(hex) => {
                bytes = hex.fill(scene.buffer, &who);
                Message::Binary(&bytes)
            }
        };
        let length = message.as_bytes().len() as u64;
        if scene.clients.send(id, message).is_err() {
            return false;
        }
        walker.sent = walker.sent.wrapping_add(1);
        scene.measured.messages.sent += 1;
        scene.measured.messages.bytes_sent += length;
        true
    }

    // ---- steps are done, or fail ---------------------------------------------------------------

    /// A walker has done its step, which took until now.
    pub(super) fn done<D: lariat::ClientData>(&mut self, scene: &Scene<'_, D>, number: u32) {
        self.done_at(scene, number, scene.now);
    }

    fn done_at<D: lariat::ClientData>(&mut self, scene: &Scene<'_, D>, number: u32, at: u64) {
        let walker = &mut self.walkers[number as usize];
        self.tallies.done(walker.place as usize, scene.now.saturating_sub(walker.since));
        walker.since = at;
        walker.place += 1;
    }

    /// No answer has come in time.
    pub(super) fn late<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32) -> Went {
        let walker = &self.walkers[number as usize];
        let why = match (walker.waits, &walker.first_passed) {
            (Waits::Message, Some(first)) => format!("no message matched in time; the first that came was {first}"),
            (Waits::Message, None) => "no message came in time".to_owned(),
            (Waits::Pong, _) => "no pong came in time".to_owned(),
            _ => "the server did not close in time".to_owned(),
        };
        self.fails(scene, number, why)
    }

    pub(super) fn fails<D: lariat::ClientData, T>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
        why: String,
    ) -> ControlFlow<End, T> {
        self.fail(scene, number, why);
        ControlFlow::Break(End::Close(1_000, String::new()))
    }

    fn fail<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32, why: String) {
        let place = self.walkers[number as usize].place;
        // Between two laps, it is the loop that fails.
        let place = match scene.step(place).map(|step| &step.op) {
            Some(Op::End { start }) => *start,
            _ => place as usize,
        };
        self.tallies.failed(place, scene.plan.first_number + number, why);
        scene.measured.problem(Problem::Scenario, 1);
        self.over(number, false);
    }

    fn over(&mut self, number: u32, is_finished: bool) {
        let walker = &mut self.walkers[number as usize];
        self.walking -= 1;
        if is_finished {
            walker.finish();
            self.finished += 1;
        } else {
            walker.end();
            self.failed += 1;
        }
    }

    /// The run ends: nobody walks on. Returns how many were under way.
    pub(super) fn stop(&mut self) -> u32 {
        self.walkers.iter_mut().for_each(Walker::end);
        self.alarms.clear();
        std::mem::take(&mut self.walking)
    }
}

fn deadline(now: u64, within: std::time::Duration) -> u32 {
    millis(now + nanos(within))
}

pub(super) const fn millis(nanos: u64) -> u32 {
    (nanos / 1_000_000) as u32
}
