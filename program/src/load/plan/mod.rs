//! What the options ask for.
//!
//! | file | question |
//! |---|---|
//! | `options` | which options does `lariat load` have? |
//! | `expect` | which bounds and expectations must hold? |
//! | `message` | which text or file is sent? |
//! | `pace` | when do connections and messages begin? |
//! | `storm` | when are connections cut, and how do they come back? |
//! | `targets` | which servers are connected to, from which addresses? |
//! | `trust` | which servers are trusted, and which certificate do they see? |
//! | `build` | how do options become a plan? |

mod build;
mod expect;
mod message;
mod options;
mod pace;
mod storm;
mod targets;
mod trust;

pub(crate) use build::Plan;
pub(crate) use options::{Options, Usage};
pub(crate) use pace::{Churn, Mode, Opening, Pace};
pub(crate) use storm::{Cut, StormPlan};
