//! Reports that come once per interval, of things that anybody can cause.

use crate::protocol::time::Tick;
use http::StatusCode;
use std::time::Duration;

/// How often what strangers do is reported.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts what is reported at most once per interval.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// When the next report may come.
    next: Option<Tick>,
    unreported: u64,
}

impl Reports {
    /// Counts one more. Returns how many are to be reported, if a report may come now.
    pub(crate) fn count(&mut self, now: Tick) -> Option<u64> {
        self.unreported += 1;
        if self.next.is_some_and(|next| !next.is_due(now)) {
            return None;
        }
        self.next = Some(now.after(INTERVAL));
        Some(self.rest())
    }

    /// Takes out how many were not reported, for the last report.
    pub(crate) const fn rest(&mut self) -> u64 {
        std::mem::replace(&mut self.unreported, 0)
    }
}

/// Refused requests by status, each reported at most once per interval.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<(StatusCode, Reports)>);

impl Refusals {
    /// Reserves memory for so many statuses.
    pub(crate) fn reserve(&mut self, statuses: usize) {
        self.0.reserve_exact(statuses);
    }

    /// Returns the reports of a status.
    pub(crate) fn with(&mut self, status: StatusCode) -> &mut Reports {
        let known = self.0.iter().position(|(known, _)| *known == status);
        let index = known.unwrap_or_else(|| {
            self.0.push((status, Reports::default()));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }

    /// Returns the reports of all statuses.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = (StatusCode, &mut Reports)> {
        self.0.iter_mut().map(|(status, reports)| (*status, reports))
    }
}
