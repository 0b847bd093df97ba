//! Checks of what another process has saved. Each app has a file `saved` that says what goes along.
//!
//! What is saved names its fields, so a later release can read it: new fields get
//! `#[serde(default)]`.

use lariat::RestoreError;

/// Numbers that only grow, such as those of people and revisions, are below this one. JavaScript
/// can represent it, and what is added to it never overflows.
pub(super) const MOST: u64 = 1 << 53;

/// Returns an error unless this is so.
pub(super) fn check(is_so: bool, what: &str) -> Result<(), RestoreError> {
    if is_so { Ok(()) } else { Err(format!("{what} makes no sense").into()) }
}
