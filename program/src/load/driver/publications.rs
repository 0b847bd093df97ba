//! The publications, and who has received them.

use std::collections::VecDeque;

/// The publications that have not reached all receivers yet.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// The number of the first one.
    base: u32,
    underway: VecDeque<Publication>,
}

#[derive(Debug)]
struct Publication {
    /// Its intended time.
    time: u64,
    /// The receivers that do not have it yet.
    missing: u32,
}

/// A publication that reached a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Its intended time.
    pub(crate) time: u64,
    /// Whether this was the last receiver.
    pub(crate) is_last: bool,
}

impl Publications {
    /// Returns how many messages have been published.
    pub(crate) fn count(&self) -> u32 {
        self.base + self.underway.len() as u32
    }

    /// Returns how many publications have not reached all receivers.
    pub(crate) fn underway(&self) -> usize {
        self.underway.len()
    }

    /// Returns how many deliveries are still to come.
    pub(crate) fn missing(&self) -> u64 {
        self.underway.iter().map(|publication| u64::from(publication.missing)).sum()
    }

    /// Adds a publication for so many receivers.
    pub(crate) fn publish(&mut self, time: u64, receivers: u32) {
        self.underway.push_back(Publication { time, missing: receivers });
        self.drop_done();
    }

    /// Notes that a receiver has the publication of this number. Returns `None` if there is no such
    /// publication.
    pub(crate) fn deliver(&mut self, number: u32) -> Option<Delivery> {
        let publication = self.underway.get_mut(number.checked_sub(self.base)? as usize)?;
        publication.missing = publication.missing.saturating_sub(1);
        let delivery = Delivery { time: publication.time, is_last: publication.missing == 0 };
        self.drop_done();
        Some(delivery)
    }

    /// Removes a receiver that has all publications before this number. Returns how many it will
    /// not receive.
    pub(crate) fn leave(&mut self, number: u32) -> u64 {
        let first = number.saturating_sub(self.base) as usize;
        let lost = self.underway.iter_mut().skip(first).map(|publication| publication.missing -= 1).count();
        self.drop_done();
        lost as u64
    }

    fn drop_done(&mut self) {
        while self.underway.front().is_some_and(|publication| publication.missing == 0) {
            self.underway.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_receiver_counts_its_own_messages() {
        let mut publications = Publications::default();
        publications.publish(100, 2);
        publications.publish(200, 2);
        let delivery = |time, is_last| Some(Delivery { time, is_last });
        assert_eq!(publications.deliver(0), delivery(100, false));
        assert_eq!(publications.deliver(1), delivery(200, false));
        assert_eq!((publications.count(), publications.underway(), publications.missing()), (2, 2, 2));
        assert_eq!(publications.deliver(0), delivery(100, true));
        assert_eq!((publications.underway(), publications.deliver(2)), (1, None));
        assert_eq!(publications.deliver(1), delivery(200, true));
        assert_eq!((publications.count(), publications.underway()), (2, 0));
    }

    #[test]
    fn a_receiver_that_left_is_not_waited_for() {
        let mut publications = Publications::default();
        for time in [1, 2, 3] {
            publications.publish(time, 2);
        }
        publications.deliver(0);
        assert_eq!(publications.leave(1), 2, "the one that had the first message");
        assert_eq!(publications.missing(), 3);
        for number in 0..3 {
            assert!(publications.deliver(number).is_some_and(|delivery| delivery.is_last), "{number}");
        }
        assert_eq!((publications.underway(), publications.leave(3)), (0, 0));
        publications.publish(4, 0);
        assert_eq!((publications.underway(), publications.count()), (0, 4));
    }
}
