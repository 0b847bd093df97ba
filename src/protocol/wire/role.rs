//! The two roles of a connection.

/// Our side of a connection (RFC 6455 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accept connections. The peer's frames are masked, ours are not.
    Server,
    /// We open connections. Our frames are masked, the peer's are not.
    Client,
}
