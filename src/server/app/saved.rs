//! What handlers keep, as bytes for the process that [takes over](crate::Server::take_over).
//!
//! [`to_bytes`] and [`from_bytes`] are for [`Handler::save`](crate::Handler::save) and its kin.
//! They write and read any type of serde. [`ClientId`](crate::ClientId) and
//! [`TimerId`](crate::TimerId) can be in it: both stay valid.
//!
//! The next process may be a later release of your program, or an earlier one. The format (CBOR,
//! RFC 8949) names the fields of structures, so both can read what the other one has saved:
//!
//! * Give a new field `#[serde(default)]`. An earlier release ignores it.
//! * Never give an old name another meaning.
//! * Other bytes than yours may come. Check what you read: a number that you add to, an index, a
//!   length. Return an error if it makes no sense. Then nothing is taken over, and the old process
//!   goes on.
//!
//! ```
//! use lariat::{ClientId, Clients, CloseReason, Handler, Message, RestoreError, TimerId, saved};
//! use serde::{Deserialize, Serialize};
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//!
//! /// Tells everybody once per second who has said most.
//! #[derive(Default, Deserialize, Serialize)]
//! struct Contest {
//!     /// How often each client has said something.
//!     said: BTreeMap<ClientId, u64>,
//!     timer: Option<TimerId>,
//!     /// New in the second release of this program.
//!     #[serde(default)]
//!     rounds: u64,
//! }
//!
//! impl Handler for Contest {
//!     /// The name of a client.
//!     type Data = String;
//!
//!     fn on_start(&mut self, clients: &mut Clients<String>) {
//!         // After a handover, `restore` replaces this id: the old process's timer goes on.
//!         self.timer = Some(clients.set_interval(Duration::from_secs(1), 0));
//!     }
//!
//!     fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, said: Message<'_>) {
//!         *self.said.entry(id).or_default() += 1;
//!         if let (Some(name), Some(text)) = (clients.data_mut(id), said.as_text()) {
//!             *name = text.to_owned();
//!         }
//!     }
//!
//!     fn on_timer(&mut self, clients: &mut Clients<String>, _: TimerId, _: u64) {
//!         self.rounds += 1;
//!         let best = self.said.iter().max_by_key(|(_, count)| **count);
//!         let name = best.and_then(|(id, _)| clients.data(*id)).cloned().unwrap_or_default();
//!         clients.broadcast(&*format!("round {}: {name}", self.rounds));
//!     }
//!
//!     fn on_close(&mut self, _: &mut Clients<String>, id: ClientId, _: &CloseReason) {
//!         self.said.remove(&id);
//!     }
//!
//!     fn save(&mut self, _: &mut Clients<String>) -> Option<Vec<u8>> {
//!         saved::to_bytes(self)
//!     }
//!
//!     fn restore(&mut self, _: &mut Clients<String>, bytes: &[u8]) -> Result<(), RestoreError> {
//!         *self = saved::from_bytes(bytes)?;
//!         // `on_timer` adds to it.
//!         if self.rounds > u64::MAX / 2 { Err("too many rounds".into()) } else { Ok(()) }
//!     }
//!
//!     fn save_client(&mut self, clients: &mut Clients<String>, id: ClientId) -> Option<Vec<u8>> {
//!         saved::to_bytes(clients.data(id)?)
//!     }
//!
//!     fn restore_client(
//!         &mut self,
//!         clients: &mut Clients<String>,
//!         id: ClientId,
//!         bytes: &[u8],
//!     ) -> Result<(), RestoreError> {
//!         *clients.data_mut(id).ok_or("there is no such client")? = saved::from_bytes(bytes)?;
//!         Ok(())
//!     }
//! }
//!
//! let first = Contest { rounds: 7, ..Contest::default() };
//! let bytes = saved::to_bytes(&first).expect("numbers and ids");
//! let second: Contest = saved::from_bytes(&bytes)?;
//! assert_eq!(second.rounds, 7);
//! assert!(saved::from_bytes::<Contest>(&bytes[1..]).is_err());
//! # Ok::<(), RestoreError>(())
//! ```

use super::handler::RestoreError;
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Lists and structures may contain one another this deep. Reading takes stack for each level.
const MOST_DEPTH: usize = 128;

/// Returns a value as bytes, or `None` if its type cannot be written.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Option<Vec<u8>> {
    minicbor_serde::to_vec(value).inspect_err(|error| log::error!("a value cannot be saved: {error}")).ok()
}

/// Returns the value of bytes from [`to_bytes`]. Nothing may follow it.
///
/// The bytes may come from anybody: memory and stack are bounded by their length and by a depth of
/// 128.
///
/// # Errors
///
/// The bytes are no value of this type.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RestoreError> {
    let end = end_of_value(bytes).map_err(|error| format!("this was not saved: {error}"))?;
    if end < bytes.len() {
        return Err(format!("{} bytes follow what was saved", bytes.len() - end).into());
    }
    let value = minicbor_serde::from_slice(bytes);
    value.map_err(|error| format!("this was saved by something else: {error}").into())
}

/// Returns where the first value ends. Refuses what is too deep.
fn end_of_value(bytes: &[u8]) -> Result<usize, Error> {
    let mut decoder = Decoder::new(bytes);
    // What is open, with the values that it still has. `None`: until a break.
    let mut open: Vec<Option<u64>> = vec![Some(1)];
    while let Some(left) = open.last_mut() {
        match left {
            Some(0) => {
                open.pop();
                continue;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let is_endless = left.is_none();
        let inside = match decoder.datatype()? {
            Type::Array | Type::ArrayIndef => decoder.array()?,
            Type::Map | Type::MapIndef => decoder.map()?.map(|pairs| pairs.saturating_mul(2)),
            Type::Tag => decoder.tag().map(|_| Some(1))?,
            Type::Break if is_endless => {
                decoder.set_position(decoder.position() + 1);
                open.pop();
                continue;
            }
            Type::Break => return Err(Error::message("a break outside").at(decoder.position())),
            _ => {
                decoder.skip()?;
                continue;
            }
        };
        if open.len() > MOST_DEPTH {
            return Err(Error::message("it is too deep").at(decoder.position()));
        }
        open.push(inside);
    }
    Ok(decoder.position())
}

#[cfg(test)]
mod tests {
    use super::{MOST_DEPTH, from_bytes, to_bytes};
    use crate::server::id::{ClientId, TimerId};
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    enum Kind {
        Unit,
        Tuple(u8, i64),
        Fields { text: String },
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    struct Saved {
        ids: BTreeMap<ClientId, TimerId>,
        kinds: Vec<Kind>,
        place: (f32, f64),
        after: Option<Duration>,
        nothing: Option<u64>,
        large: u128,
    }

    fn saved() -> Saved {
        let id = |number| ClientId::from_u64(number).expect("an id");
        let timer = TimerId::from_u64(7 << 32 | 3).expect("an id");
        Saved {
            ids: [(id(1), timer), (id(u64::MAX), timer)].into(),
            kinds: vec![Kind::Unit, Kind::Tuple(9, -1), Kind::Fields { text: "é\u{1f600}".to_owned() }],
            place: (-0.5, f64::MAX),
            after: Some(Duration::new(5, 999)),
            nothing: None,
            large: u128::MAX,
        }
    }

    #[test]
    fn what_is_saved_comes_back() {
        let bytes = to_bytes(&saved()).expect("it can be written");
        assert_eq!(from_bytes::<Saved>(&bytes).expect("it was saved"), saved());
        assert_eq!(from_bytes::<u64>(&to_bytes(&5u64).expect("a number")).expect("a number"), 5);
    }

    #[test]
    fn a_part_of_it_is_refused_and_so_are_bytes_behind_it() {
        let mut bytes = to_bytes(&saved()).expect("it can be written");
        for end in 0..bytes.len() {
            assert!(from_bytes::<Saved>(&bytes[..end]).is_err(), "the first {end} of {} bytes", bytes.len());
        }
        bytes.push(0);
        let error = from_bytes::<Saved>(&bytes).expect_err("something follows");
        assert_eq!(error.to_string(), "1 bytes follow what was saved");
    }

    #[test]
    fn no_byte_that_is_changed_causes_a_panic() {
        let bytes = to_bytes(&saved()).expect("it can be written");
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = byte;
                let _ = from_bytes::<Saved>(&changed);
            }
        }
    }

    #[test]
    fn other_releases_are_understood() {
        #[derive(Serialize)]
        struct Later {
            name: &'static str,
            more: Vec<Kind>,
        }
        #[derive(Deserialize)]
        struct Earlier {
            name: String,
            #[serde(default)]
            counts: Vec<u64>,
        }
        let later = Later { name: "rope", more: saved().kinds };
        let earlier: Earlier = from_bytes(&to_bytes(&later).expect("it can be written")).expect("the name is there");
        assert_eq!((earlier.name.as_str(), earlier.counts.len()), ("rope", 0));
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        #[derive(Deserialize)]
        struct Nested(#[expect(dead_code, reason = "it is only read")] Vec<Nested>);
        let nested = |depth: usize, list: u8| [vec![list; depth], vec![0x80]].concat();
        assert!(from_bytes::<Nested>(&nested(MOST_DEPTH - 1, 0x81)).is_ok());
        // Lists, tags, and lists without a length.
        for list in [0x81, 0xc1, 0x9f] {
            let error = from_bytes::<Nested>(&nested(1 << 20, list)).err().expect("it is too deep");
            assert!(error.to_string().contains("too deep"), "{error}");
        }
    }

    #[test]
    fn a_length_takes_no_memory() {
        // A list of 2^63 numbers, and a map of as many pairs.
        for bytes in [[0x9b, 0x7f], [0xbb, 0x7f]] {
            let bytes = [&bytes[..], &[0xff; 7], &[0]].concat();
            assert!(from_bytes::<Vec<u64>>(&bytes).is_err());
            assert!(from_bytes::<BTreeMap<u64, u64>>(&bytes).is_err());
        }
    }

    #[test]
    fn no_other_number_is_an_id() {
        for wrong in [0, 1 << 32] {
            let bytes = to_bytes(&wrong).expect("a number");
            assert!(from_bytes::<ClientId>(&bytes).is_err() && from_bytes::<TimerId>(&bytes).is_err());
            assert_eq!(TimerId::from_u64(wrong), None);
        }
        let timer = TimerId::from_u64(12 << 32 | 7).expect("an id");
        assert_eq!((timer.index, timer.generation.get(), timer.to_u64()), (12, 7, 12 << 32 | 7));
    }
}
