//! A command that failed.

/// A sentence that says what went wrong and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);
