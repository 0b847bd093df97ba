//! `/arena`: a game. Riders close loops of rope around strays.
//!
//! | file | question |
//! |---|---|
//! | `plane` | where do points, lines and areas lie? |
//! | `rider` | how does a rider move, and what is behind it? |
//! | `world` | what are the rules? |
//! | `snapshot` | what does a page get to see, and how is it written? |
//! | `handler` | who rides, and what is each page told? |

mod handler;
mod plane;
mod rider;
mod snapshot;
mod world;

pub use handler::Arena;
