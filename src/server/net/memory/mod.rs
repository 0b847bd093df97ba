//! A network and a clock in memory, for the simulator.
//!
//! | file | question |
//! |---|---|
//! | `network` | what lies between a simulated server and its peers? |
//! | `handles` | what do a server and its loop hold of a network? |
//! | `layer` | what do peers put between their words and the wire? |
//! | `line` | what is a simulated connection made of? |
//! | `peers` | what do peers do with what they receive? |
//! | `faults` | what may go wrong, and how often? |

mod faults;
mod handles;
mod layer;
mod line;
mod network;
mod peers;

pub use faults::Faults;
pub(crate) use handles::{Backlog, NetworkRef, Stays, Wire};
pub use layer::Layer;
pub(crate) use layer::Wrapped;
pub(crate) use line::Marks;
pub(crate) use network::{Network, SERVER};
