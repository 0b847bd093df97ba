//! Storms: connections that are cut at once, and their return.

use super::conn::{Conn, Stage};
use super::machine::{Attempt, Driver, nanos};
use crate::load::measure::{Latency, Storm};
use crate::load::plan::{Cut, StormPlan};
use lariat::Clients;
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The storms of a run, and the connections that are to come back.
#[derive(Debug, Default)]
pub(super) struct Storms {
    /// Those that have come.
    come: Vec<Come>,
    returning: HashMap<u32, Return>,
}

/// A storm that has come.
#[derive(Debug)]
struct Come {
    plan: StormPlan,
    at: u64,
    cut: u64,
    back: u64,
    failed: u64,
    lost: u64,
    last: u64,
    latency: Latency,
}

/// A connection that is to come back.
#[derive(Clone, Copy, Debug)]
struct Return {
    /// The storm that has cut it, if one has.
    storm: Option<usize>,
    failed: u32,
    began: u64,
}

impl Storms {
    pub(super) fn is_returning(&self, number: u32) -> bool {
        self.returning.contains_key(&number)
    }

    /// A connection that is to come back begins an attempt.
    pub(super) fn begins(&mut self, number: u32, now: u64) {
        if let Some(one) = self.returning.get_mut(&number) {
            one.began = now;
        }
    }

    /// A connection that a storm has cut has ended, with so many messages under way.
    pub(super) fn lost(&mut self, number: u32, messages: u64) {
        let storm = self.returning.get(&number).and_then(|one| one.storm);
        if let Some(come) = storm.and_then(|storm| self.come.get_mut(storm)) {
            come.lost += messages;
        }
    }

    /// A connection is open again.
    pub(super) fn returned(&mut self, number: u32, now: u64) {
        let Some(Return { storm: Some(storm), began, .. }) = self.returning.remove(&number) else { return };
        let come = &mut self.come[storm];
        come.back += 1;
        come.last = now;
        come.latency.record(now.saturating_sub(began));
    }

    pub(super) fn report(&self, began: u64) -> Vec<Storm> {
        let seconds = |from: u64, to: u64| (to.saturating_sub(from) as f64 / 1e6).round() / 1e3;
        let storm = |come: &Come| Storm {
            at_s: seconds(began, come.at),
            kind: come.plan.cut.name().to_owned(),
            cut: come.cut,
            back: come.back,
            failed: come.failed,
            messages_lost: come.lost,
            all_back_s: (come.back == come.cut).then(|| seconds(come.at, come.last.max(come.at))),
            handshake: come.latency.summary(),
            histogram: come.latency.to_pairs(),
        };
        self.come.iter().map(storm).collect()
    }
}

impl Driver {
    /// Returns when the next storm comes.
    pub(super) fn next_storm(&self) -> Option<u64> {
        let plan = self.plan.storms.get(self.storms.come.len())?;
        Some(self.held_since.saturating_add(nanos(plan.at)))
    }

    /// Cuts connections if it is time.
    pub(super) fn storm_due(&mut self, clients: &mut Clients<Conn>, now: u64) {
        while self.next_storm().is_some_and(|at| at <= now) {
            let plan = self.plan.storms[self.storms.come.len()];
            let count = (self.open.len() as f64 * plan.share).round() as usize;
            let storm = self.storms.come.len();
            for _ in 0..count {
                let place = self.random.random_range(0..self.open.len());
                let id = self.open[place];
                self.remove_open(clients, place as u32);
                if let Some(conn) = clients.data_mut(id) {
                    conn.stage = Stage::Cut;
                    let one = Return { storm: Some(storm), failed: 0, began: now };
                    self.storms.returning.insert(conn.number, one);
                }
                match plan.cut {
                    Cut::Fin => clients.terminate(id),
                    Cut::Rst => clients.reset(id),
                };
            }
            let latency = Latency::new();
            self.storms.come.push(Come {
                plan,
                at: now,
                cut: count as u64,
                back: 0,
                failed: 0,
                lost: 0,
                last: now,
                latency,
            });
        }
    }

    /// A connection is to come back: it was lost or cut, or an attempt has failed.
    pub(super) fn come_back(&mut self, number: u32, now: u64, has_failed: bool) {
        let Some(reconnect) = self.plan.reconnect else { return };
        let one = self.storms.returning.entry(number).or_insert(Return { storm: None, failed: 0, began: now });
        if has_failed {
            one.failed = one.failed.saturating_add(1);
            if let Some(come) = one.storm.and_then(|storm| self.storms.come.get_mut(storm)) {
                come.failed += 1;
            }
        }
        let wait = reconnect.wait(one.failed, self.random.random());
        self.again.push(Reverse(Attempt { due: now + nanos(wait), number }));
    }
}
