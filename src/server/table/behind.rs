//! What waits apart for a client that reads slowly?

use crate::protocol::{Message, SharedBytes};
use std::collections::HashMap;

/// What is remembered of a client that was once behind.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    pub(crate) dropped: u64,
    /// Those that wait apart, in the order in which their keys have come.
    pub(crate) latest: Vec<Latest>,
    /// Where in `latest` each key is.
    pub(crate) places: HashMap<u64, usize>,
    /// Bytes of memory that `latest` takes.
    pub(crate) bytes: usize,
}

impl Behind {
    /// Those that wait apart, which do not any more.
    pub(crate) fn take(&mut self) -> Vec<Latest> {
        self.bytes = 0;
        self.places = HashMap::new();
        std::mem::take(&mut self.latest)
    }
}

/// The last message of a key.
#[derive(Debug)]
pub(crate) struct Latest {
    pub(crate) is_text: bool,
    pub(crate) payload: SharedBytes,
}

impl Latest {
    pub(crate) fn as_message(&self) -> Message<'_> {
        match std::str::from_utf8(&self.payload) {
            Ok(text) if self.is_text => Message::Text(text),
            _ => Message::Binary(&self.payload),
        }
    }
}
