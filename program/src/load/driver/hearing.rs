//! What walkers do with the messages that come.

use super::machine::STALLED;
use super::walker::Waits;
use super::walks::{End, Scene, Walks, Went, millis};
use crate::load::scenario::{Op, Step, shown};
use lariat::Message;
use std::ops::ControlFlow;

impl Walks {
    /// A message has come.
    pub(super) fn hear<D: lariat::ClientData>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
        message: Message<'_>,
    ) -> Went {
        let has_begun = self.walkers.get(number as usize).is_some_and(|walker| walker.waits != Waits::Never);
        if !has_begun || self.answers(scene, number, message) || !self.is_walking(number) {
            return Went::Continue(());
        }
        let walker = &mut self.walkers[number as usize];
        if walker.waits == Waits::Message && walker.deadline <= millis(scene.now) {
            return self.late(scene, number);
        }
        if walker.waits == Waits::Message {
            if self.meets(scene, number, message)? {
                return self.walk(scene, number);
            }
        } else if scene.step(walker.place).is_some_and(|step| step.expects_later || step.op.is_expect()) {
            walker.keep(message);
        }
        Went::Continue(())
    }

    /// Answers a message if a rule says so, unless the server does not read.
    fn answers<D: lariat::ClientData>(&mut self, scene: &mut Scene<'_, D>, number: u32, message: Message<'_>) -> bool {
        let scenario = &scene.plan.scenario;
        for (place, rule) in scenario.rules.iter().enumerate() {
            let walker = &self.walkers[number as usize];
            let mut who = scene.plan.who(scene.plan.first_number + number, walker.sent, scene.now);
            who.variables = &walker.values;
            if rule.pattern.matches(message, scene.buffer, &who) {
                let is_read = walker.id.is_some_and(|id| scene.clients.buffered_amount(id) <= STALLED);
                if is_read && self.send(scene, number, &rule.answer) {
                    self.tallies.done(scenario.steps.len() + place, 0);
                }
                return true;
            }
        }
        false
    }

    /// Looks for the expected message among those that have come before.
    pub(super) fn finds<D: lariat::ClientData>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
    ) -> ControlFlow<End, bool> {
        while let Some(message) = self.walkers[number as usize].next_kept() {
            if self.meets(scene, number, message.as_message())? {
                return ControlFlow::Continue(true);
            }
        }
        ControlFlow::Continue(false)
    }

    /// Compares a message with what is expected. Returns whether it matches; the walker then is at
    /// the step after that, and after what it captures.
    fn meets<D: lariat::ClientData>(
        &mut self,
        scene: &mut Scene<'_, D>,
        number: u32,
        message: Message<'_>,
    ) -> ControlFlow<End, bool> {
        let plan = scene.plan;
        let walker = &mut self.walkers[number as usize];
        let Some(Step { op: Op::Expect { next, pattern, .. }, .. }) = plan.scenario.steps.get(walker.place as usize)
        else {
            return ControlFlow::Continue(false);
        };
        let mut who = plan.who(plan.first_number + number, walker.asked, walker.since);
        who.variables = &walker.values;
        if !pattern.matches(message, scene.buffer, &who) {
            if *next {
                return self.fails(scene, number, format!("the next message was {}", shown(message)));
            }
            walker.first_passed.get_or_insert_with(|| shown(message).into());
            return ControlFlow::Continue(false);
        }
        let took = scene.now.saturating_sub(walker.since);
        scene.measured.messages.right += 1;
        if !plan.is_slow(plan.first_number + number) {
            scene.measured.trip(took);
        }
        self.done(scene, number);
        loop {
            let walker = &mut self.walkers[number as usize];
            let step = plan.scenario.steps.get(walker.place as usize).map(|step| &step.op);
            let Some(Op::Capture { variable, what }) = step else { break };
            match what.of(message) {
                Ok(value) => walker.values[*variable] = value,
                Err(why) => return self.fails(scene, number, why),
            }
            self.done(scene, number);
        }
        ControlFlow::Continue(true)
    }
}
