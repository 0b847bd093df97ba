//! A time for each of a few clients.

use crate::protocol::time::Tick;
use std::num::NonZeroU32;

/// A time for each of a few clients, by index. Looking up, inserting and removing are O(1).
#[derive(Debug, Default)]
pub(super) struct Times {
    times: Vec<(u32, Tick)>,
    /// The number of each client's entry in `times`, counted from 1. Clients beyond its end have
    /// none.
    numbers: Vec<Option<NonZeroU32>>,
}

impl Times {
    pub(super) fn reserve(&mut self, clients: usize) {
        self.times.reserve_exact(clients);
        self.numbers.reserve_exact(clients);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Returns the clients that have a time, in no particular order.
    pub(super) fn clients(&self) -> impl Iterator<Item = u32> + '_ {
        self.times.iter().map(|(client, _)| *client)
    }

    pub(super) fn get(&self, client: u32) -> Option<Tick> {
        let number = (*self.numbers.get(client as usize)?)?;
        Some(self.times[entry(number)].1)
    }

    /// Sets a client's time.
    pub(super) fn insert(&mut self, client: u32, time: Tick) {
        self.remove(client);
        self.times.push((client, time));
        if self.numbers.len() <= client as usize {
            self.numbers.resize(client as usize + 1, None);
        }
        self.numbers[client as usize] = NonZeroU32::new(self.times.len() as u32);
    }

    pub(super) fn remove(&mut self, client: u32) {
        let Some(number) = self.numbers.get_mut(client as usize).and_then(Option::take) else { return };
        self.times.swap_remove(entry(number));
        if let Some((moved, _)) = self.times.get(entry(number)) {
            self.numbers[*moved as usize] = Some(number);
        }
    }
}

const fn entry(number: NonZeroU32) -> usize {
    number.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;

    #[test]
    fn times_agree_with_a_map() {
        let (mut times, mut model) = (Times::default(), BTreeMap::new());
        let mut random = StdRng::seed_from_u64(1);
        for step in 0..5_000 {
            let client = random.random_range(0..40);
            if random.random_bool(0.5) {
                times.insert(client, Tick::from_millis(step));
                model.insert(client, Tick::from_millis(step));
            } else {
                times.remove(client);
                model.remove(&client);
            }
            let mut clients: Vec<u32> = times.clients().collect();
            clients.sort_unstable();
            assert!(clients.iter().eq(model.keys()));
            assert_eq!(times.is_empty(), model.is_empty());
            assert!((0..45).all(|client| times.get(client) == model.get(&client).copied()));
        }
    }
}
