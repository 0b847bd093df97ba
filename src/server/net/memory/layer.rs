//! What peers put between their words and the wire.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;

/// What a peer puts between what it says and what is on the wire: TLS, say.
///
/// The simulator knows nothing of TLS. A test that needs it wraps a session of its TLS library:
/// see [`Peer::wrap`](crate::sim::Peer::wrap).
pub trait Layer: fmt::Debug {
    /// The peer says these bytes, or none. Appends to `wire` what is on the wire for them, now or
    /// with a later call.
    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>);

    /// These bytes have come from the server. Appends to `plain` what they mean, and to `wire` what
    /// the layer itself answers. With `false`, the peer says no more than that, and closes the
    /// connection.
    fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> bool;

    /// The peer will close its half. Appends to `wire` what is to be said before that.
    fn end(&mut self, wire: &mut Vec<u8>);
}

/// Makes the layers of the peers at one host.
pub(crate) type MakeLayer = Box<dyn FnMut() -> Box<dyn Layer>>;

/// A peer's layer, and what has passed it.
#[derive(Debug)]
pub(crate) struct Wrapped {
    layer: Box<dyn Layer>,
    /// Of all that was said and heard.
    plain: DefaultHasher,
    /// Nothing more is to be said.
    has_ended: bool,
}

impl Wrapped {
    pub(crate) fn new(layer: Box<dyn Layer>) -> Wrapped {
        Wrapped { layer, plain: DefaultHasher::new(), has_ended: false }
    }

    pub(crate) fn send(&mut self, plain: &[u8], unsent: &mut VecDeque<u8>) {
        let mut wire = Vec::new();
        self.plain.write(plain);
        self.layer.send(plain, &mut wire);
        unsent.extend(wire);
    }

    /// Returns what the bytes mean, and whether the peer goes on.
    pub(crate) fn receive(&mut self, bytes: &[u8], unsent: &mut VecDeque<u8>) -> (Vec<u8>, bool) {
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        let goes_on = self.layer.receive(bytes, &mut plain, &mut wire);
        self.plain.write(&plain);
        unsent.extend(wire);
        (plain, goes_on)
    }

    pub(crate) fn end(&mut self, unsent: &mut VecDeque<u8>) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let mut wire = Vec::new();
            self.layer.end(&mut wire);
            unsent.extend(wire);
        }
    }

    /// The peer ends without a word.
    pub(crate) const fn break_off(&mut self) {
        self.has_ended = true;
    }

    /// Returns a number that depends on every byte that was said and heard.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.plain.finish()
    }
}
