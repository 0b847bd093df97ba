//! Whose turn is it? A queue of clients that is served in batches.

/// Clients by their places, the longest waiting first. Those who come while a batch is served, are in the next one.
///
/// Two vectors that change places: cheaper than a ring, and both keep their room.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    waiting: Vec<u32>,
    spare: Vec<u32>,
}

impl Turnstile {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, client: u32) {
        self.waiting.push(client);
    }

    /// All who wait, to be given back with [`end`](Self::end).
    pub(crate) fn begin(&mut self) -> Vec<u32> {
        std::mem::replace(&mut self.waiting, std::mem::take(&mut self.spare))
    }

    /// The first `served` of a batch have been served; the others stand before those who have come meanwhile.
    pub(crate) fn end(&mut self, mut batch: Vec<u32>, served: usize) {
        if served < batch.len() {
            batch.drain(..served);
            batch.append(&mut self.waiting);
            std::mem::swap(&mut batch, &mut self.waiting);
        }
        batch.clear();
        self.spare = batch;
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Only some stay; the others are given back later with [`put_back`](Self::put_back).
    pub(crate) fn set_aside(&mut self, stays: impl Fn(u32) -> bool) -> Vec<u32> {
        let all = std::mem::take(&mut self.waiting);
        let (stay, others) = all.into_iter().partition(|client| stays(*client));
        self.waiting = stay;
        others
    }

    /// Those who had been set aside stand before those who have come since.
    pub(crate) fn put_back(&mut self, mut others: Vec<u32>) {
        others.append(&mut self.waiting);
        self.waiting = others;
    }

    /// How many places are kept.
    #[cfg(feature = "sim")]
    pub(crate) fn capacity(&self) -> usize {
        self.waiting.capacity() + self.spare.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_overtaken_and_nobody_is_served_twice() {
        let mut turnstile = Turnstile::default();
        (0..5).for_each(|client| turnstile.push(client));
        let batch = turnstile.begin();
        assert_eq!(batch, [0, 1, 2, 3, 4]);
        turnstile.push(5);
        turnstile.end(batch, 3);
        let batch = turnstile.begin();
        assert_eq!(batch, [3, 4, 5]);
        turnstile.end(batch, 3);
        assert!(turnstile.is_empty() && turnstile.begin().is_empty());
    }

    #[test]
    fn those_who_are_set_aside_keep_their_places() {
        let mut turnstile = Turnstile::default();
        (0..6).for_each(|client| turnstile.push(client));
        let others = turnstile.set_aside(|client| client == 3);
        assert_eq!((turnstile.len(), others.as_slice()), (1, &[0, 1, 2, 4, 5][..]));
        let batch = turnstile.begin();
        turnstile.push(7);
        turnstile.end(batch, 1);
        turnstile.put_back(others);
        assert_eq!(turnstile.begin(), [0, 1, 2, 4, 5, 7]);
    }
}
