//! Does an application work, whatever its clients and the network do? Without sockets, without
//! sleeping, and twice the same way.
//!
//! A [`Simulation`] is a server like any other: the same loop, the same turns, the same limits and
//! timeouts. But its sockets lie in memory, its clock goes on only when nothing else is left to do,
//! and whatever is left to chance comes from one seed: the same seed gives the same run, byte for
//! byte.
//!
//! ```
//! use lariat::sim::Simulation;
//! use lariat::{ClientId, Clients, Config, Handler, Message};
//! use std::time::Duration;
//!
//! /// Greets, and says goodbye to those who have been silent for a minute.
//! struct Greeter;
//!
//! impl Handler for Greeter {
//!     type Data = ();
//!     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
//!         clients.send(id, "welcome").unwrap();
//!     }
//! }
//!
//! let mut config = Config::default();
//! config.limits.ping_interval = None;
//! config.limits.idle_timeout = Some(Duration::from_secs(60));
//! let mut sim = Simulation::new(1, config, Greeter);
//!
//! let anna = sim.connect("/");
//! sim.run_until_idle();
//! assert_eq!(anna.received_text(), ["welcome"]);
//!
//! sim.run_for(Duration::from_secs(59));
//! assert!(anna.is_open());
//! sim.run_for(Duration::from_secs(1));
//! assert_eq!(anna.close_reason().unwrap().code(), lariat::CloseCode::Away);
//! ```
//!
//! [`Faults`] make the network and the kernel as bad as they can be. With them, run an application
//! many times with different seeds; a seed that fails is a bug report that can be replayed, with
//! [`Simulation::record_story`] to read what happened.
//!
//! What is not simulated: other threads (a [`Remote`](crate::Remote) works, but when its calls come is theirs to
//! say), signals, and how long a handler takes, unless it says so itself ([`Clock::advance`]).
//!
//! | file | question |
//! |---|---|
//! | `simulation` | what is a simulated server, and how does its time pass? |
//! | `peer` | who is at the other end of a simulated connection? |

mod peer;
mod simulation;

pub use crate::server::net::memory::Faults;
pub use peer::Peer;
pub use simulation::{Clock, Footprint, Simulation};
