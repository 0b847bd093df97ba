//! How are commands written, which names do keys and channels have, and what do replies say?

use crate::server::backplane::NodeId;
use redis::{RedisError, Value};

/// Commands, packed for the wire.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
}

impl Packed {
    /// Appends a command.
    pub(super) fn command(&mut self, arguments: &[&[u8]]) {
        self.begin(arguments.len());
        for argument in arguments {
            self.argument(&[argument]);
        }
    }

    /// Begins a command with so many arguments, its name included.
    pub(super) fn begin(&mut self, arguments: usize) {
        self.bytes.extend(format!("*{arguments}\r\n").as_bytes());
    }

    /// Appends an argument that consists of these parts.
    pub(super) fn argument(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.extend(format!("${length}\r\n").as_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.extend(b"\r\n");
    }
}

/// Names of keys and channels, below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) prefix: String,
    pub(super) node: NodeId,
}

impl Names {
    /// The channel of a topic.
    pub(super) fn channel(&self, topic: &str) -> String {
        format!("{}:{topic}", self.prefix)
    }

    /// The topic of a channel.
    pub(super) fn topic<'a>(&self, channel: &'a str) -> Option<&'a str> {
        channel.strip_prefix(&*self.prefix)?.strip_prefix(':')
    }

    /// The channel on which this server wakes its own reader. No topic has the same: their channels
    /// have a colon after the prefix.
    pub(super) fn own_channel(&self) -> String {
        self.alive(self.node)
    }

    /// The key that exists while a server is heard from.
    pub(super) fn alive(&self, node: NodeId) -> String {
        format!("{}@{:016x}", self.prefix, node.0)
    }

    pub(super) fn stream(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}:stream", self.prefix)
    }

    pub(super) fn meta(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}:meta", self.prefix)
    }

    pub(super) fn once(&self, topic: &str, name: &str) -> String {
        format!("{}:{{{topic}}}:once:{name}", self.prefix)
    }

    pub(super) fn members(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}:members", self.prefix)
    }
}

/// What an error of Redis means for the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Redis does not know the script.
    NoScript,
    /// This server cannot serve now: a replica, one that loads its data, one that wants a password.
    Unfit(String),
    /// It refuses this command.
    Refused(String),
}

/// Returns the error, if the reply is one.
pub(super) fn refusal(reply: &Value) -> Option<Refusal> {
    let Value::ServerError(error) = reply else { return None };
    let text = match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    };
    const UNFIT: [&str; 6] = ["READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "CLUSTERDOWN", "WRONGPASS"];
    Some(match () {
        () if text.contains("NOSCRIPT") => Refusal::NoScript,
        () if UNFIT.iter().any(|code| text.contains(code)) => Refusal::Unfit(text),
        () => Refusal::Refused(text),
    })
}

/// Returns why a connection was lost, in one line.
pub(super) fn explain(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time (does it speak Redis, and TLS as its URL says?)".to_owned();
    }
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The bytes of a reply.
pub(super) fn bytes(reply: &Value) -> Option<&[u8]> {
    match reply {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The elements of a reply.
pub(super) fn array(reply: &Value) -> Option<&[Value]> {
    match reply {
        Value::Array(elements) => Some(elements),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_packed() {
        let mut packed = Packed::default();
        packed.command(&[b"GET", b"a\r\n"]);
        packed.begin(1);
        packed.argument(&[b"PI", b"NG"]);
        assert_eq!(packed.bytes, b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn topics_are_found_from_their_channels() {
        let names = Names { prefix: "lariat".to_owned(), node: NodeId(1) };
        for topic in ["", "chat", "a:b", "@0000000000000001", "wörter"] {
            assert_eq!(names.topic(&names.channel(topic)), Some(topic));
        }
        for channel in ["", "lariat", "lariatx:chat", &names.own_channel()] {
            assert_eq!(names.topic(channel), None, "{channel}");
        }
    }
}
