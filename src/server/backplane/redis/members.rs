//! Who is present in a topic on all servers?
//!
//! A hash of the topic has a field `NODE:NAME` for each member. It is read in pieces. Then the keys
//! of the servers in it are looked up, and members of servers that are not heard from any more are
//! removed.

use super::batch::{Batch, Expect};
use super::commands::{Names, array, bytes};
use super::wire;
use crate::server::backplane::{Member, NodeId};
use redis::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many fields are read at a time, roughly.
const PIECE: &[u8] = b"500";
/// How many members of dead servers are removed at a time.
const REMOVED: usize = 500;

/// Removes members of a server that is still not heard from.
const FORGET: &[u8] = b"if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('HDEL', KEYS[1], unpack(ARGV)) end";

/// A question that is being answered.
#[derive(Debug)]
pub(super) struct Ask {
    topic: Arc<str>,
    pub(super) ticket: u64,
    cursor: Vec<u8>,
    is_scanned: bool,
    found: BTreeMap<(u64, String), Vec<u8>>,
}

impl Ask {
    pub(super) fn new(topic: Arc<str>, ticket: u64) -> Ask {
        Ask { topic, ticket, cursor: b"0".to_vec(), is_scanned: false, found: BTreeMap::new() }
    }

    fn nodes(&self) -> BTreeSet<u64> {
        self.found.keys().map(|(node, _)| *node).collect()
    }

    /// Appends the next command.
    pub(super) fn send(self, names: &Names, batch: &mut Batch) {
        if self.is_scanned {
            let keys: Vec<String> = self.nodes().into_iter().map(|node| names.alive(NodeId(node))).collect();
            let arguments: Vec<&[u8]> =
                std::iter::once(&b"MGET"[..]).chain(keys.iter().map(|key| key.as_bytes())).collect();
            batch.packed.command(&arguments);
        } else {
            let key = names.members(&self.topic);
            batch.packed.command(&[b"HSCAN", key.as_bytes(), &self.cursor, b"COUNT", PIECE]);
        }
        batch.expects.push(Expect::Ask(self));
    }

    /// Takes a reply. Returns whether the answer is complete, or nothing if the reply makes no
    /// sense.
    pub(super) fn take(&mut self, reply: &Value, names: &Names, forget: &mut Batch) -> Option<bool> {
        if self.is_scanned {
            let alive = array(reply)?.iter().map(|value| *value != Value::Nil);
            let dead: BTreeSet<u64> =
                self.nodes().into_iter().zip(alive).filter(|(_, is)| !is).map(|(n, _)| n).collect();
            self.forget(&dead, names, forget);
            return Some(true);
        }
        let [cursor, fields] = array(reply)? else { return None };
        self.cursor = bytes(cursor)?.to_vec();
        for pair in array(fields)?.chunks(2) {
            if let [field, data] = pair {
                self.found.extend(field_of(bytes(field)?).zip(bytes(data).map(<[u8]>::to_vec)));
            }
        }
        self.is_scanned = self.cursor == b"0";
        Some(self.is_scanned && self.found.is_empty())
    }

    /// Leaves out the members of these servers, and asks Redis to forget them.
    fn forget(&mut self, dead: &BTreeSet<u64>, names: &Names, forget: &mut Batch) {
        let key = names.members(&self.topic);
        for node in dead {
            let fields = self.found.keys().filter(|(of, _)| of == node).map(|(_, name)| field(NodeId(*node), name));
            let fields: Vec<String> = fields.collect();
            let alive = names.alive(NodeId(*node));
            for some in fields.chunks(REMOVED) {
                let mut arguments = vec![b"EVAL", FORGET, b"2", key.as_bytes(), alive.as_bytes()];
                arguments.extend(some.iter().map(|field| field.as_bytes()));
                forget.command(&arguments, Expect::Nothing);
            }
        }
        self.found.retain(|(node, _), _| !dead.contains(node));
    }

    /// The answer, sorted by server and name.
    pub(super) fn answer(self) -> Vec<Member> {
        let member = |((node, name), data)| Member { node: NodeId(node), name, data };
        self.found.into_iter().map(member).collect()
    }
}

/// The name of a member's field.
pub(super) fn field(node: NodeId, name: &str) -> String {
    format!("{:016x}:{name}", node.0)
}

/// Reads the name of a field. Foreign ones are nothing.
fn field_of(bytes: &[u8]) -> Option<(u64, String)> {
    let (node, rest) = bytes.split_at_checked(16)?;
    let name = std::str::from_utf8(rest.strip_prefix(b":")?).ok()?;
    Some((wire::hexadecimal(node)?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_foreign_ones_do_not() {
        assert_eq!(field_of(field(NodeId(255), "a:b").as_bytes()), Some((255, "a:b".to_owned())));
        for foreign in [&b""[..], b"x", b"00000000000000ff", b"00000000000000fg:a", b"00000000000000ff:\xff"] {
            assert_eq!(field_of(foreign), None);
        }
    }
}
