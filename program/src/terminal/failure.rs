//! A command that failed, or was called wrongly.

/// A sentence that says what went wrong and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// Why options make no sense, and what to write instead.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);
