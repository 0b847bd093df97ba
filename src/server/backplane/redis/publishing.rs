//! How are messages published, and histories read?

use super::batch::{Batch, Expect};
use super::commands::{Names, array, bytes};
use super::link::cost;
use super::scripts::{Script, age_millis};
use super::topics::ReadJob;
use super::wire;
use crate::protocol::OwnedMessage;
use crate::server::backplane::follow::Page;
use crate::server::backplane::{History, Publication};
use redis::Value;

/// The names that Redis has given to the scripts. Without them, the scripts themselves are sent.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) publish: Option<Vec<u8>>,
    pub(super) read: Option<Vec<u8>>,
    /// Whether Redis has forgotten them, or was not given them yet.
    pub(super) is_stale: bool,
}

impl Loaded {
    /// Begins the command that runs a script, with so many arguments after the number of keys.
    fn begin(&self, script: Script, keys: usize, arguments: usize, batch: &mut Batch) {
        let hash = match script {
            Script::Publish => &self.publish,
            Script::Read => &self.read,
        };
        batch.packed.begin(3 + keys + arguments);
        match hash {
            Some(hash) => {
                batch.packed.argument(&[b"EVALSHA"]);
                batch.packed.argument(&[hash]);
            }
            None => {
                batch.packed.argument(&[b"EVAL"]);
                batch.packed.argument(&[script.source().as_bytes()]);
            }
        }
        batch.packed.argument(&[keys.to_string().as_bytes()]);
    }

    /// Appends a publication.
    pub(super) fn publish(&self, publication: Publication, names: &Names, batch: &mut Batch) {
        let channel = names.channel(&publication.topic);
        let Some(history) = publication.history else {
            let header = wire::plain_header(names.node, &publication.message, publication.latest);
            batch.packed.begin(3);
            batch.packed.argument(&[b"PUBLISH"]);
            batch.packed.argument(&[channel.as_bytes()]);
            batch.packed.argument(&[&header, publication.message.as_bytes()]);
            batch.expects.push(Expect::Plain(publication.ticket, cost(&publication)));
            return;
        };
        let once = publication.once.as_ref().map(|name| names.once(&publication.topic, name));
        self.begin(Script::Publish, 2 + usize::from(once.is_some()), 5, batch);
        let header = wire::entry_header(&publication.message, rand::random());
        for part in [names.stream(&publication.topic), names.meta(&publication.topic)].into_iter().chain(once) {
            batch.packed.argument(&[part.as_bytes()]);
        }
        batch.packed.argument(&[channel.as_bytes()]);
        batch.packed.argument(&[&header, publication.message.as_bytes()]);
        batch.packed.argument(&[history.messages.max(1).to_string().as_bytes()]);
        batch.packed.argument(&[age_millis(history).to_string().as_bytes()]);
        batch.packed.argument(&[new_epoch().as_bytes()]);
        batch.expects.push(Expect::Kept(Box::new(publication)));
    }

    /// Appends the read of a page.
    pub(super) fn read(&self, job: ReadJob, names: &Names, batch: &mut Batch) {
        self.begin(Script::Read, 2, 5, batch);
        let (epoch, offset) = match job.read.from {
            Some(from) => (format!("{:016x}", from.epoch), from.offset.to_string()),
            None => Default::default(),
        };
        let renew = if job.read.renew { "1" } else { "0" };
        let age = age_millis(job.history).to_string();
        let arguments =
            [names.stream(&job.topic), names.meta(&job.topic), age, new_epoch(), epoch, offset, renew.to_owned()];
        for argument in arguments {
            batch.packed.argument(&[argument.as_bytes()]);
        }
        batch.expects.push(Expect::Read(Box::new(job)));
    }
}

/// Returns an epoch for a history that has none: a random number of 16 hexadecimal digits.
fn new_epoch() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Reads a page from the reply of the script. Counts the entries that are foreign.
pub(super) fn page(reply: &Value, foreign: &mut u64) -> Option<Page<OwnedMessage>> {
    let [epoch, end, more, entries] = array(reply)? else { return None };
    let (epoch, end) = (wire::hexadecimal(bytes(epoch)?)?, wire::decimal(bytes(end)?)?);
    let entries = array(entries)?;
    let offset_of = |entry: &Value| -> Option<u64> {
        let id = bytes(array(entry)?.first()?)?;
        wire::decimal(id.split(|byte| *byte == b'-').next()?)
    };
    let through = match more {
        Value::Int(0) => end,
        _ => entries.last().and_then(offset_of)?,
    };
    let item = |entry: &Value| {
        let [_, fields] = array(entry)? else { return None };
        let [name, stored] = array(fields)? else { return None };
        (bytes(name)? == b"m").then(|| wire::entry(offset_of(entry)?, bytes(stored)?))?
    };
    let items: Vec<_> = entries.iter().filter_map(item).collect();
    *foreign += (entries.len() - items.len()) as u64;
    Some(Page { epoch, end, through, items })
}

/// Appends a command that prolongs what a topic needs beyond its messages.
pub(super) fn prolong(topic: &str, history: History, names: &Names, batch: &mut Batch) {
    let (key, time) = (names.meta(topic), super::scripts::meta_millis(history).to_string());
    batch.command(&[b"PEXPIRE", key.as_bytes(), time.as_bytes()], Expect::Nothing);
}
