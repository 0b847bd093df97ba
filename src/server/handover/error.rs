//! Why a handover failed.

use crate::protocol::Malformed;
use std::fmt;
use std::io;

/// Why a handover did not happen. Until its commit, the old process goes on as if nothing had
/// happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandoverError {
    /// The other process has refused, for this reason.
    Refused(String),
    /// The other process has ended, has closed the connection, or cannot be reached.
    Gone(io::Error),
    /// The other process did nothing for five seconds.
    Stalled,
    /// This process cannot use what the other process sent. For example, that process is no Lariat,
    /// or has clients with TLS, and this one has no certificate.
    Malformed(String),
    /// This process cannot take part.
    Unable(String),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoverError::Refused(why) => write!(f, "the other process has refused: {why}"),
            HandoverError::Gone(error) => write!(f, "the other process is gone: {error}"),
            HandoverError::Stalled => f.write_str("the other process did nothing for 5 seconds"),
            HandoverError::Malformed(what) => write!(f, "this process cannot use what the other process sent: {what}"),
            HandoverError::Unable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HandoverError {}

impl From<io::Error> for HandoverError {
    fn from(error: io::Error) -> HandoverError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => HandoverError::Stalled,
            _ => HandoverError::Gone(error),
        }
    }
}

impl From<Malformed> for HandoverError {
    fn from(error: Malformed) -> HandoverError {
        HandoverError::Malformed(error.0.to_owned())
    }
}

impl From<HandoverError> for io::Error {
    fn from(error: HandoverError) -> io::Error {
        io::Error::other(error)
    }
}
