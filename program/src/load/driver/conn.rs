//! What the driver knows of one connection.

use super::pending::List;
use lariat::ClientId;

/// What the driver remembers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    /// Messages that have not come back.
    pub(super) pending: List,
    /// The intended time of the first attempt; later, the time at which the request was written. In
    /// microseconds, modulo 2³².
    pub(super) since: u32,
    pub(super) number: u32,
    pub(super) stage: Stage,
    pub(super) sent: u32,
    /// Messages that have come back, or the number of the next publication.
    pub(super) received: u32,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP is not connected yet.
    #[default]
    Connecting,
    /// The request has been written.
    Handshaking,
    /// Open, at this place in the driver's list of open connections.
    Open { place: u32 },
    /// The driver closes it, and opens it again unless the run ends.
    Churning,
    /// A storm has cut it.
    Cut,
}

/// With the slab entry of an outgoing connection (64 bytes) and its id, a connection takes 104
/// bytes.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Conn>() + 64 + size_of::<ClientId>() <= 104);
