//! The options of the site.

use super::origin::Origin;
use std::fmt;
use std::sync::Arc;

/// The options of the site.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Pages of other origins that may open sockets, besides those of the site itself. `/echo` and
    /// `/broadcast` are open to everybody.
    pub allowed_origins: Vec<Origin>,
    /// Hosts that requests may name besides `localhost` and IP addresses, if they arrive on a
    /// loopback address. `*` is every host.
    pub allowed_hosts: Vec<String>,
    /// Lets pages on this host slow the loop down, hold it and read what others send, for teaching.
    /// Messages are not compressed then.
    pub teach: bool,
    /// Lets a class learn together at `/learn`. With `teach`, a page on this host sees what each
    /// learner answers, and holds the loop for all.
    pub classroom: bool,
    /// Writes more metrics, in the format of Prometheus.
    pub more_metrics: Option<MoreMetrics>,
}

/// Writes metrics that the site does not know of.
#[derive(Clone)]
pub struct MoreMetrics(Arc<dyn Fn() -> String + Send + Sync>);

impl MoreMetrics {
    /// Calls this function for each request.
    pub fn new(write: impl Fn() -> String + Send + Sync + 'static) -> MoreMetrics {
        MoreMetrics(Arc::new(write))
    }

    /// Returns the metrics, in the format of Prometheus.
    pub(super) fn write(&self) -> String {
        (self.0)()
    }
}

impl fmt::Debug for MoreMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MoreMetrics(..)")
    }
}
