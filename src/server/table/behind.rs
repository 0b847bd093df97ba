//! What waits for a client that reads too slowly: its conflated messages.

use crate::protocol::{Message, SharedBytes};
use std::collections::HashMap;

/// The record of a client that has been behind.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Messages that were dropped since the application last asked.
    pub(crate) dropped: u64,
    /// The last message of each key, in the order in which the keys came first.
    pub(crate) latest: Vec<Latest>,
    /// The index in `latest` of each key.
    pub(crate) places: HashMap<u64, usize>,
    /// Bytes of memory that `latest` takes.
    pub(crate) bytes: usize,
}

impl Behind {
    /// Takes all conflated messages.
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
