//! Which commands are sent together, and what are their replies for?

use super::commands::Packed;
use super::members::Ask;
use super::presence::Change;
use super::topics::ReadJob;
use crate::server::backplane::Publication;

/// What a reply is for.
#[derive(Debug)]
pub(super) enum Expect {
    /// Nothing.
    Nothing,
    /// Whether this server was still known as present.
    Alive,
    /// A message without a history, by its ticket, and what it takes in the queue.
    Plain(Option<u64>, usize),
    /// A message with a history. It is sent again if Redis does not know the script.
    Kept(Box<Publication>),
    /// A page.
    Read(Box<ReadJob>),
    /// A change of who is present here.
    Change(Change),
    /// A question of who is present anywhere.
    Ask(Ask),
}

/// Commands that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) packed: Packed,
    pub(super) expects: Vec<Expect>,
}

impl Batch {
    /// Appends a command.
    pub(super) fn command(&mut self, arguments: &[&[u8]], expect: Expect) {
        self.packed.command(arguments);
        self.expects.push(expect);
    }
}
