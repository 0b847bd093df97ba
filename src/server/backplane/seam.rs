//! What a server and the engine between servers say to each other.
//!
//! A server has one [`Backplane`], whatever the number of its loops. It starts it once and gets a
//! [`BackplaneLink`], whose methods never block. What the engine has to say comes back as
//! [`BackplaneEvent`]s, from any thread.
//!
//! Two kinds of topics cross servers:
//!
//! * **Without a history.** The server that publishes has already told its own clients. The engine
//!   tells the other servers, at most once and in the order of the publisher. When messages may
//!   have been lost, each server is told with [`BackplaneEvent::Gap`].
//! * **With a [`History`].** The engine gives each message a [`StreamPosition`] and keeps the last
//!   messages. All servers, the publisher included, get every message exactly once, in the order of
//!   positions, or a gap.

use crate::protocol::OwnedMessage;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The number of a server, for as long as it runs. Random, so no two servers have the same. That of
/// a simulated server is its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

/// Where a message stands in a topic with a [`History`].
///
/// As text, it is `EPOCH-OFFSET`: the epoch in hexadecimal digits, the offset in decimal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamPosition {
    /// The life of the history: a random number, which is a new one after a server that follows the
    /// topic has noticed that the engine has lost messages. Offsets of different epochs cannot be
    /// compared.
    pub epoch: u64,
    /// The number of the message, from 1 on and without holes. 0 is before the first message.
    pub offset: u64,
}

impl StreamPosition {
    /// Returns the place of the message before.
    pub(crate) const fn before(self) -> StreamPosition {
        StreamPosition { offset: self.offset.saturating_sub(1), ..self }
    }
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.offset)
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPosition;

impl fmt::Display for NoPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position is EPOCH-OFFSET, like 1f3a-42")
    }
}

impl std::error::Error for NoPosition {}

impl FromStr for StreamPosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<StreamPosition, NoPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(NoPosition)?;
        let is_plain = |digits: &str| !digits.starts_with('+');
        if !is_plain(epoch) || !is_plain(offset) {
            return Err(NoPosition);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NoPosition)?;
        Ok(StreamPosition { epoch, offset: offset.parse().map_err(|_| NoPosition)? })
    }
}

/// How much of a topic is kept. All servers must use the same for a topic.
///
/// A server that follows the topic keeps the same messages in memory, once, and each of its loops a
/// list of them. They do not count against the [memory budget](crate::Config::memory_budget), but
/// [`kept_bytes`](crate::backplane::BackplaneStatus::kept_bytes) says how many bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// At most so many messages, at least 1.
    pub messages: u32,
    /// And none that is older, at most 12 days. A loop counts the age from when it got the message,
    /// so clients of a server that follows the topic may get older ones.
    pub age: Duration,
}

/// A message for the other servers.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The topic. Its name contains that of its route.
    pub topic: Arc<str>,
    /// The message.
    pub message: Arc<OwnedMessage>,
    /// The key, if the message replaces an earlier one that is still unsent.
    pub latest: Option<u64>,
    /// How much of the topic is kept, if it has a history. Without one, at most one delivery is
    /// tried.
    pub history: Option<History>,
    /// Names the message, if it has a history. A second message of the same name within the
    /// history's age is not published: its outcome is the position of the first.
    pub once: Option<Box<str>>,
    /// If it is set, [`BackplaneEvent::Published`] follows with this number.
    pub ticket: Option<u64>,
}

/// Why a message does not reach other servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The engine cannot be reached, and messages are not buffered.
    Away,
    /// Too much waits already.
    Full,
    /// The engine has refused the message. The log says why.
    Refused,
    /// The connection was lost before the engine has answered. It may have the message. Publish it
    /// again with the same [`once`](Publication::once).
    Unknown,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::Away => "the backplane cannot be reached",
            PublishError::Full => "too many messages wait for the backplane",
            PublishError::Refused => "the backplane has refused the message",
            PublishError::Unknown => "the backplane has not confirmed the message",
        })
    }
}

impl std::error::Error for PublishError {}

/// A message of a topic with a history.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where it stands.
    pub position: StreamPosition,
    /// The message.
    pub message: Arc<OwnedMessage>,
}

/// What an engine reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackplaneEvent {
    /// The engine can be reached. Comes first after [`Backplane::start`], and after each
    /// [`Down`](Self::Down).
    Up,
    /// The engine cannot be reached, and why. It is tried again until the link is dropped. Comes
    /// once for each loss.
    Down(String),
    /// Another server has published a message of a topic without a history.
    Message {
        /// The topic.
        topic: Arc<str>,
        /// The message.
        message: Arc<OwnedMessage>,
        /// The key, if it replaces an earlier one.
        latest: Option<u64>,
    },
    /// The next message of a topic with a history. Its offset is one more than that of the event
    /// before, unless a gap came between.
    Kept {
        /// The topic.
        topic: Arc<str>,
        /// The message and its place.
        kept: Kept,
    },
    /// All that the history had when the topic was subscribed has been reported. The position is
    /// that of the last message (offset 0 if there is none). Comes once for each `subscribe` of a
    /// topic with a history.
    Caught {
        /// The topic.
        topic: Arc<str>,
        /// Where its history ends.
        position: StreamPosition,
    },
    /// Messages of the topic may have been lost. With a history: what was after the last reported
    /// position is no longer kept, or the epoch has changed. What follows begins after `position`.
    Gap {
        /// The topic.
        topic: Arc<str>,
        /// Where it goes on, if it has a history.
        position: Option<StreamPosition>,
    },
    /// What has come of a publication with a ticket. If the topic has a history, the position is
    /// that of the message.
    Published {
        /// The number of the publication.
        ticket: u64,
        /// Where the message stands, or why it was not published.
        outcome: Result<Option<StreamPosition>, PublishError>,
    },
    /// The answer to [`BackplaneLink::ask_members`], sorted by server and name.
    Members {
        /// The number of the question.
        ticket: u64,
        /// Who is present on all servers.
        outcome: Result<Vec<Member>, PublishError>,
    },
}

/// Somebody who is present in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The server.
    pub node: NodeId,
    /// The application's name for it, unique on its server.
    pub name: String,
    /// The application's data.
    pub data: Vec<u8>,
}

/// Where an engine reports to. It may be called from any thread, and does not block.
#[derive(Clone)]
pub struct BackplaneEvents(Arc<dyn Fn(BackplaneEvent) + Send + Sync>);

impl BackplaneEvents {
    /// Reports to a function.
    pub fn new(report: impl Fn(BackplaneEvent) + Send + Sync + 'static) -> BackplaneEvents {
        BackplaneEvents(Arc::new(report))
    }

    /// Reports an event.
    pub fn report(&self, event: BackplaneEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for BackplaneEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackplaneEvents(..)")
    }
}

/// An engine that joins the topics of several servers.
pub trait Backplane: Send {
    /// Starts it, for a server with this number.
    ///
    /// An engine that cannot be reached now is no error: it is tried again, and
    /// [`BackplaneEvent::Down`] says so.
    ///
    /// # Errors
    ///
    /// The options cannot be right, whatever the state of the engine.
    fn start(self: Box<Self>, node: NodeId, events: BackplaneEvents) -> io::Result<Box<dyn BackplaneLink>>;
}

/// A server's link to the engine. Its methods may be called from any thread, and do not block. When
/// it is dropped, the link ends: what waits to be published is sent, for at most a second.
pub trait BackplaneLink: Send + Sync {
    /// Asks for the messages of a topic from now on. With a history, messages that are kept come
    /// first: those after `after`, or all of them without. The order of calls for one topic is
    /// kept. A topic that is subscribed already is not subscribed again.
    fn subscribe(&self, topic: &Arc<str>, history: Option<History>, after: Option<StreamPosition>);

    /// Asks for no more messages of a topic. A few that are on their way may still come.
    fn unsubscribe(&self, topic: &Arc<str>);

    /// Publishes a message.
    ///
    /// # Errors
    ///
    /// The message was not taken: [`Away`](PublishError::Away), [`Full`](PublishError::Full). There
    /// is no [`BackplaneEvent::Published`] for it then.
    fn publish(&self, publication: Publication) -> Result<(), PublishError>;

    /// Notes that somebody is present in a topic on this server, or has other data now. The engine
    /// forgets all that a server has noted when it has not heard from that server for a while. A
    /// link repeats it all after a reconnect.
    fn enter(&self, topic: &Arc<str>, name: &str, data: &[u8]);

    /// Notes that somebody is no longer present.
    fn leave(&self, topic: &Arc<str>, name: &str);

    /// Asks who is present in a topic. [`BackplaneEvent::Members`] answers.
    fn ask_members(&self, topic: &Arc<str>, ticket: u64);
}
