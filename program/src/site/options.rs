//! The options of the site.

use super::metrics::MoreMetrics;
use super::origin::Origin;

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
    /// Writes more metrics, in the format of Prometheus.
    pub more_metrics: Option<MoreMetrics>,
}
