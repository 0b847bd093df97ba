//! What the options ask for.
//!
//! | file | question |
//! |---|---|
//! | `options` | which options does `lariat load` have? |
//! | `expect` | which bounds and expectations must hold? |
//! | `message` | which text or file is sent? |
//! | `pace` | when do connections and messages begin? |
//! | `storm` | when are connections cut, and how do they come back? |
//! | `malformed` | how many hostile clients are there, and how do they reach the servers? |
//! | `targets` | which servers are connected to, from which addresses? |
//! | `texts` | what do the connections say? |
//! | `build` | how do options become a plan? |
//! | `files` | which files does a run read, that agents must be sent? |
//! | `shared` | what does a host plan whose agents do the work? |

mod build;
mod expect;
mod files;
mod malformed;
mod message;
mod options;
mod pace;
mod shared;
mod storm;
mod targets;
mod texts;

pub(crate) use build::Plan;
pub(crate) use expect::Expectation;
pub(crate) use files::{InputFile, input_files};
pub(crate) use malformed::{Hostiles, Target};
pub(crate) use options::{Options, Outputs, Usage};
pub(crate) use pace::{Churn, Mode, Opening, Pace};
pub(crate) use shared::SharedPlan;
pub(crate) use storm::{Cut, StormPlan};
