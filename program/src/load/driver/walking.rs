//! Connections that walk through a scenario.

use super::conn::{Conn, Stage};
use super::machine::Driver;
use super::states::{RunState, Sending};
use super::walks::{End, Scene, Walks, Went};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Message};
use std::ops::ControlFlow;

impl Driver {
    /// Lets the walks see what the driver knows.
    fn scene<R>(
        &mut self,
        clients: &mut Clients<Conn>,
        now: u64,
        act: impl FnOnce(&mut Walks, &mut Scene<'_, Conn>) -> R,
    ) -> R {
        let Driver { plan, measured, buffer, walks, .. } = self;
        act(walks, &mut Scene { plan, measured, buffer, clients, now })
    }

    /// Returns the number of a connection in this process.
    fn local(&self, clients: &Clients<Conn>, id: ClientId) -> Option<u32> {
        clients.data(id).map(|conn| conn.number - self.plan.first_number)
    }

    /// Does what is due.
    pub(super) fn walk_due(&mut self, clients: &mut Clients<Conn>, now: u64) {
        if self.walks.next_due() > now {
            return;
        }
        for (id, end) in self.scene(clients, now, |walks, scene| walks.due(scene)) {
            self.went(clients, id, ControlFlow::Break(end));
        }
    }

    /// A connection has opened.
    pub(super) fn begin_walk(&mut self, clients: &mut Clients<Conn>, id: ClientId, now: u64) {
        let Some(number) = self.local(clients, id) else { return };
        if self.sending == Sending::NotBegun {
            self.sending = Sending::Since(now);
        }
        let went = self.scene(clients, now, |walks, scene| walks.begin(scene, number, id));
        self.went(clients, id, went);
    }

    /// A message has come.
    pub(super) fn walk_on(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        if matches!(self.state, RunState::Closing | RunState::Held | RunState::Awaiting) {
            return;
        }
        let now = self.arrival(id);
        let Some(number) = self.local(clients, id) else { return };
        let went = self.scene(clients, now, |walks, scene| walks.hear(scene, number, message));
        self.went(clients, id, went);
    }

    pub(super) fn walk_on_pong(&mut self, clients: &mut Clients<Conn>, id: ClientId, payload: &[u8]) {
        let now = self.clock.nanos();
        let Some(number) = self.local(clients, id) else { return };
        let went = self.scene(clients, now, |walks, scene| walks.pong(scene, number, payload));
        self.went(clients, id, went);
    }

    /// An open connection has ended. Returns whether the scenario expects that.
    pub(super) fn end_walk(
        &mut self,
        clients: &mut Clients<Conn>,
        id: ClientId,
        reason: &CloseReason,
        is_cut: bool,
    ) -> bool {
        let now = self.clock.nanos();
        let Some(number) = self.local(clients, id) else { return false };
        self.scene(clients, now, |walks, scene| walks.ended(scene, number, reason, is_cut))
    }

    /// Does with a connection what its walk has come to.
    fn went(&mut self, clients: &mut Clients<Conn>, id: ClientId, went: Went) {
        let ControlFlow::Break(End::Close(code, reason)) = went else { return };
        let stage = clients.data(id).map(|conn| conn.stage);
        if let Some(Stage::Open { place }) = stage {
            self.remove_open(clients, place);
        }
        if let Some(conn) = clients.data_mut(id) {
            conn.stage = Stage::Churning;
        }
        // It may be closing already.
        let _ = clients.close(id, CloseCode::from(code), &reason);
    }
}
