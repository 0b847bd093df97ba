//! Replaces `sessions` in a build without the feature `tls`: there are none.

use crate::protocol::Shared;

#[derive(Debug, Default)]
pub(crate) struct Sessions(());

impl Sessions {
    pub(crate) const fn remove(&mut self, _: &mut Shared, _: usize) {}

    pub(crate) const fn holds(&self, _: usize) -> usize {
        0
    }

    #[cfg(feature = "handover")]
    pub(crate) const fn has(&self, _: usize) -> bool {
        false
    }

    pub(crate) const fn is_busy(&self, _: usize) -> bool {
        false
    }

    pub(crate) const fn is_handshaking(&self, _: usize) -> bool {
        false
    }
}
