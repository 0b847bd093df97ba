//! The topics of several servers, joined by an engine between them.
//!
//! | file | question |
//! |---|---|
//! | `seam` | what do a server and an engine say to each other? |
//! | `follow` | when is which message of a topic with a history reported? |
//! | `memory` | how are servers of one process joined, without any other program? |
//! | `redis` | how is Redis such an engine? |

mod follow;
#[cfg(test)]
mod follow_tests;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod seam;

pub use memory::{MemoryBackplane, MemoryEngine};
#[cfg(feature = "redis")]
pub use redis::RedisBackplane;
pub use seam::{
    Backplane, BackplaneEvent, BackplaneEvents, BackplaneLink, History, Kept, Member, NoPosition, NodeId, Publication,
    PublishError, StreamPosition,
};
