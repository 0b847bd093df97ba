//! Which side are we?

/// Which side of the conversation we are (RFC 6455 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accept connections; our frames are not masked, the peer's are.
    Server,
    /// We open connections; our frames are masked, the peer's are not.
    Client,
}
