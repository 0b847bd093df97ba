//! The ids of clients and timers.

use std::fmt;
use std::num::NonZeroU32;

/// The id of a client. It is never reused for another client: a reused slot gets a new
/// generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl ClientId {
    /// Returns the client's place in the slab, from 0 on. After it has disconnected, another client
    /// may have this place.
    pub const fn slot(self) -> usize {
        self.index as usize
    }

    /// Returns the id as a number, for tokens and foreign code.
    pub const fn to_u64(self) -> u64 {
        (self.index as u64) << 32 | self.generation.get() as u64
    }

    /// Returns the id of a number from [`to_u64`](Self::to_u64), or `None` if the number is not a
    /// valid id.
    pub const fn from_u64(number: u64) -> Option<ClientId> {
        match NonZeroU32::new(number as u32) {
            Some(generation) => Some(ClientId { index: (number >> 32) as u32, generation }),
            None => None,
        }
    }
}

/// `12.7`: slot 12, generation 7.
impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({self})")
    }
}

/// The id of a timer. It is never reused for another timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl TimerId {
    /// Returns the id as a number, for what a handler saves (`Handler::save`).
    pub const fn to_u64(self) -> u64 {
        (self.index as u64) << 32 | self.generation.get() as u64
    }

    /// Returns the id of a number from [`to_u64`](Self::to_u64), or `None` if the number is not a
    /// valid id.
    pub const fn from_u64(number: u64) -> Option<TimerId> {
        match NonZeroU32::new(number as u32) {
            Some(generation) => Some(TimerId { index: (number >> 32) as u32, generation }),
            None => None,
        }
    }
}

/// Ids are numbers for serde: those of `to_u64`.
#[cfg(feature = "serde")]
mod as_numbers {
    use super::{ClientId, TimerId};
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    impl Serialize for ClientId {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.to_u64())
        }
    }

    impl<'de> Deserialize<'de> for ClientId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClientId, D::Error> {
            let number = u64::deserialize(deserializer)?;
            let wrong = || D::Error::invalid_value(Unexpected::Unsigned(number), &"the id of a client");
            ClientId::from_u64(number).ok_or_else(wrong)
        }
    }

    impl Serialize for TimerId {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.to_u64())
        }
    }

    impl<'de> Deserialize<'de> for TimerId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TimerId, D::Error> {
            let number = u64::deserialize(deserializer)?;
            let wrong = || D::Error::invalid_value(Unexpected::Unsigned(number), &"the id of a timer");
            TimerId::from_u64(number).ok_or_else(wrong)
        }
    }
}
