//! What the options ask for.
//!
//! | file | question |
//! |---|---|
//! | `options` | which options does `lariat load` have? |
//! | `expect` | which bounds and expectations must hold? |
//! | `payload` | what does each message say? |
//! | `message` | which text or file is sent? |
//! | `pace` | when do connections and messages begin? |
//! | `targets` | which servers are connected to, from which addresses? |
//! | `trust` | which servers are trusted, and which certificate do they see? |
//! | `build` | how do options become a plan? |

mod build;
mod expect;
mod message;
mod options;
mod pace;
mod payload;
mod targets;
mod trust;

pub(crate) use build::Plan;
pub(crate) use expect::Expectation;
pub(crate) use options::{Options, Outputs, Usage};
pub(crate) use pace::{Churn, Mode, Opening, Pace};
pub(crate) use payload::Which;
