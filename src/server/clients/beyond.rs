//! What a loop keeps that only servers with several loops or a backplane need.
//!
//! It is a trait object, so that other programs do not contain what drops it (`src/parts.rs`).

use super::handed::Leaving;
use super::hub::KeepAlive;
use super::kept::KeptTopics;
#[cfg(all(unix, feature = "handover"))]
use crate::server::handover::Giving;
use crate::server::id::ClientId;
use std::any::Any;

/// Where a loop keeps it, if there is any.
#[derive(Default)]
pub(crate) struct BeyondPlace(Option<Box<dyn Any>>);

/// What a loop keeps of other loops and servers.
#[derive(Default)]
pub(super) struct Beyond {
    /// Clients that go to another loop at the end of the turn.
    pub(super) leaving: Vec<Leaving>,
    /// The client that has come from another loop and whose request is answered now.
    pub(super) arriving: Option<ClientId>,
    pub(super) kept: KeptTopics,
    /// The routes whose topics other servers do not share.
    pub(super) isolated: Vec<u16>,
    /// Another process takes over at the end of the turn.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) giving: Option<std::sync::Arc<Giving>>,
    /// What keeps the loops of the server together, if nothing else does.
    pub(super) keep_alive: Option<KeepAlive>,
}

impl BeyondPlace {
    pub(super) fn get(&self) -> Option<&Beyond> {
        self.0.as_ref()?.downcast_ref()
    }

    pub(super) fn get_mut(&mut self) -> Option<&mut Beyond> {
        self.0.as_mut()?.downcast_mut()
    }

    pub(super) fn get_or_default(&mut self) -> &mut Beyond {
        let place = self.0.get_or_insert_with(|| Box::new(Beyond::default()));
        place.downcast_mut().expect("nothing else is put there")
    }
}
