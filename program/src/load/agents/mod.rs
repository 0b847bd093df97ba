//! Several hosts share one run. An agent waits on each of them, and starts the workers there.
//!
//! | file | question |
//! |---|---|
//! | `protocol` | what do the two sides say to each other? |
//! | `token` | how do both sides prove that they know the token? |
//! | `wire` | how do lines get from one side to the other, and when is it lost? |
//! | `travel` | which options may another host choose? |
//! | `folder` | where are the files of a run, which came from another host? |
//! | `controller` | how does one host lead the others? |
//! | `agent` | how does an agent wait, and whom does it serve? |
//! | `session` | how does an agent do its part of a run? |

mod agent;
mod controller;
mod folder;
mod protocol;
mod session;
mod token;
mod travel;
mod wire;

pub(crate) use agent::serve;
pub(crate) use controller::Campaign;
pub(crate) use token::Token;
pub(crate) use travel::check_agent;
