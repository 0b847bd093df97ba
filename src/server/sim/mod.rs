//! Runs a handler against simulated clients and a simulated network, from a seed. It uses no
//! sockets and never sleeps, and the same seed gives the same run.
//!
//! A [`Simulation`] is a complete server: the same loop, turns, limits and timeouts. But its
//! sockets are in memory, its clock advances only when nothing else is left to do, and all
//! randomness comes from one seed. The same seed gives the same run, byte for byte.
//!
//! ```
//! use lariat::sim::Simulation;
//! use lariat::{ClientId, Clients, Config, Handler, Message};
//! use std::time::Duration;
//!
//! /// Greets clients. The config closes clients that are silent for a minute.
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
//! [`Faults`] make the network and the kernel unreliable. Run an application with them many times,
//! with different seeds. A seed that fails can be replayed, with [`Simulation::record_story`] to
//! read what happened.
//!
//! A test plays the part of other threads: it makes calls of a [`Remote`](crate::Remote), and the
//! next turn runs them.
//!
//! ```
//! # use lariat::{Clients, Config, Event, Handler, sim::Simulation};
//! # #[derive(Default)]
//! # struct Prices { last: u64 }
//! # impl Handler for Prices {
//! #     type Data = ();
//! #     fn on_event(&mut self, _: &mut Clients<()>, event: Event) {
//! #         self.last = event.downcast().unwrap();
//! #     }
//! # }
//! let mut sim = Simulation::new(1, Config::default(), Prices::default());
//! sim.remote().post(250_u64).unwrap();
//! sim.run_until_idle();
//! assert_eq!(sim.handler().last, 250);
//! ```
//!
//! A listener with other options, such as TLS, needs [`Simulation::with_options`], and peers with a
//! [`Layer`]. Several loops of one server are made with [`Simulation::with_loops`], and several
//! servers that share topics with [`Simulation::with_backplane`].
//!
//! Not simulated: real threads (a [`Remote`](crate::Remote) works in them, but its calls come when
//! the thread makes them), signals, and the time that a handler takes, unless the handler advances
//! the clock ([`Clock::advance`]).
//!
//! | file | question |
//! |---|---|
//! | `simulation` | what is a simulated server, and how does its time pass? |
//! | `loops` | how do several loops of a simulated server take turns? |
//! | `handover` | how does a simulated server hand over to the next one? |
//! | `turning` | what is one loop of a simulated server? |
//! | `peer` | who is at the other end of a simulated connection? |

#[cfg(all(unix, feature = "handover"))]
mod handover;
mod loops;
mod peer;
mod simulation;
mod turning;

pub use crate::server::net::memory::{Faults, Layer};
pub use peer::Peer;
pub use simulation::{Clock, Footprint, Simulation};
