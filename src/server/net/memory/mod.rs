//! A network and a clock in memory, for the simulator.
//!
//! | file | question |
//! |---|---|
//! | `network` | what lies between a simulated server and its peers? |
//! | `line` | what is a simulated connection made of? |
//! | `peers` | what do peers do with what they receive? |
//! | `faults` | what may go wrong, and how often? |

mod faults;
mod line;
mod network;
mod peers;

pub use faults::Faults;
pub(crate) use line::Marks;
pub(crate) use network::{Backlog, Network, NetworkRef, SERVER, Stays, Wire};
