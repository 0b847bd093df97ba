//! Points in time for a few clients.

use crate::protocol::time::Tick;

/// Points in time for a few clients, by their places. To look one up, to add one and to remove one
/// take the same time however many there are.
#[derive(Debug, Default)]
pub(super) struct Times {
    times: Vec<(u32, Tick)>,
    /// For each client its place in `times`, plus one; 0 if it has none. Clients that come last may
    /// be missing.
    places: Vec<u32>,
}

impl Times {
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The clients that have one, in no particular order.
    pub(super) fn clients(&self) -> impl Iterator<Item = u32> + '_ {
        self.times.iter().map(|(client, _)| *client)
    }

    pub(super) fn get(&self, client: u32) -> Option<Tick> {
        let place = self.places.get(client as usize)?.checked_sub(1)?;
        Some(self.times[place as usize].1)
    }

    /// Sets a client's time, whether it had one or not.
    pub(super) fn insert(&mut self, client: u32, time: Tick) {
        self.remove(client);
        self.times.push((client, time));
        if self.places.len() <= client as usize {
            self.places.resize(client as usize + 1, 0);
        }
        self.places[client as usize] = self.times.len() as u32;
    }

    pub(super) fn remove(&mut self, client: u32) {
        let place = self.places.get_mut(client as usize).map_or(0, std::mem::take);
        if let Some(place) = place.checked_sub(1) {
            self.times.swap_remove(place as usize);
            if let Some((moved, _)) = self.times.get(place as usize) {
                self.places[*moved as usize] = place + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;

    #[test]
    fn times_are_those_of_a_map() {
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
