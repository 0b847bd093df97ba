//! A ready queue: clients that are served in batches, in order.

/// Clients by their index in the table, the longest waiting first. Clients that are queued while a
/// batch is served go to the back.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    pub(super) waiting: Vec<u32>,
}

impl ReadyQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, client: u32) {
        self.waiting.push(client);
    }

    /// Returns the client at this position. Positions do not change until
    /// [`served`](Self::served) is called.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> usize {
        self.waiting[place] as usize
    }

    /// Removes the first `count` clients.
    #[inline]
    pub(crate) fn served(&mut self, count: usize) {
        if count == self.waiting.len() {
            self.waiting.clear();
        } else {
            self.waiting.drain(..count);
        }
    }

    /// Returns the number of clients.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Removes and returns all clients but those that stay. [`put_back`](Self::put_back) puts them
    /// back.
    pub(crate) fn set_aside(&mut self, stays: &impl Fn(u32) -> bool) -> Vec<u32> {
        let all = std::mem::take(&mut self.waiting);
        let (stay, others) = all.into_iter().partition(|client| stays(*client));
        self.waiting = stay;
        others
    }

    /// Puts clients that were set aside before those that have come since.
    pub(crate) fn put_back(&mut self, mut others: Vec<u32>) {
        others.append(&mut self.waiting);
        self.waiting = others;
    }

    /// Returns the number of entries that memory is allocated for.
    #[cfg(feature = "sim")]
    pub(crate) fn capacity(&self) -> usize {
        self.waiting.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(queue: &mut ReadyQueue, count: usize) -> Vec<usize> {
        let served = (0..count).map(|place| queue.at(place)).collect();
        queue.served(count);
        served
    }

    #[test]
    fn clients_are_served_once_and_in_order() {
        let mut queue = ReadyQueue::default();
        (0..5).for_each(|client| queue.push(client));
        assert_eq!(queue.at(0), 0);
        queue.push(5);
        assert_eq!(serve(&mut queue, 3), [0, 1, 2]);
        assert_eq!(serve(&mut queue, 3), [3, 4, 5]);
        assert!(queue.is_empty());
    }

    #[test]
    fn clients_that_are_set_aside_keep_their_order() {
        let mut queue = ReadyQueue::default();
        (0..6).for_each(|client| queue.push(client));
        let others = queue.set_aside(&|client| client == 3);
        assert_eq!((queue.len(), others.as_slice()), (1, &[0, 1, 2, 4, 5][..]));
        queue.push(7);
        assert_eq!(serve(&mut queue, 1), [3]);
        queue.put_back(others);
        assert_eq!(serve(&mut queue, 6), [0, 1, 2, 4, 5, 7]);
    }
}
