//! The metrics of a run, for Prometheus and others that ask for them meanwhile.
//!
//! | file | question |
//! |---|---|
//! | `text` | what are the metrics, in the format of OpenMetrics? |
//! | `endpoint` | who answers to requests for them? |

mod endpoint;
mod text;

pub(crate) use endpoint::Endpoint;
