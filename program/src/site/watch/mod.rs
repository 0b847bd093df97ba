//! `/loop`: shows pages what the event loop does.
//!
//! | file | question |
//! |---|---|
//! | `watch` | who watches, and what does a page get? |

mod watch;

pub use watch::Loop;
