//! What `lariat serve` shows: a page with an echo console, `/echo`, `/broadcast`, health checks and metrics.
//!
//! Each part is a small [`Handler`](crate::Handler) on the public API, such as an embedder would write.

mod broadcast;
mod echo;
mod metrics;
mod page;

pub use broadcast::Broadcast;
pub use echo::Echo;
pub use metrics::Metrics;
pub use page::{Health, Page, Readiness};

use crate::Router;

/// Everything, each at its path.
pub fn router() -> Router<()> {
    Router::new()
        .route("/", Page)
        .route("/echo", Echo)
        .route("/broadcast", Broadcast)
        .route("/healthz", Health)
        .route("/readyz", Readiness)
        .route("/metrics", Metrics)
}
