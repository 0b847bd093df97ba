//! The positions that a subscriber has received.

/// The longest position.
const MOST: usize = 128;

/// What a subscriber has received of a sequence of messages. It outlives connections.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// The highest position. Empty before the first message.
    position: String,
    /// The length of what is before the number in it.
    before: usize,
    first: u64,
    last: u64,
    /// The first and the last number of what is missing, in order.
    gaps: Vec<(u64, u64)>,
}

/// What a message is to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first one, or the one after the last.
    Next,
    /// So many are missing before it.
    After(u64),
    Doubled,
    /// It comes later than one with a higher number. It may have counted as missing.
    Late {
        was_missing: bool,
    },
    /// Its number belongs to another sequence, which begins with it.
    Restarted,
    /// It does not begin with a position.
    Unnumbered,
}

impl Follower {
    /// Returns the highest position, or `None` before the first message.
    pub(crate) fn position(&self) -> Option<&str> {
        (!self.position.is_empty()).then_some(&*self.position)
    }

    /// Notes a message.
    pub(crate) fn receive(&mut self, message: &[u8]) -> Arrival {
        let Some((before, digits, number)) = position(message) else { return Arrival::Unnumbered };
        let is_first = self.position.is_empty();
        if is_first || before != &self.position[..self.before] {
            self.position.clear();
            self.position.push_str(before);
            self.position.push_str(digits);
            (self.before, self.first, self.last) = (before.len(), number, number);
            self.gaps.clear();
            return if is_first { Arrival::Next } else { Arrival::Restarted };
        }
        if number <= self.last {
            return self.again(number);
        }
        let missing = number - self.last - 1;
        if missing > 0 {
            self.gaps.push((self.last + 1, number - 1));
        }
        self.last = number;
        self.position.truncate(self.before);
        self.position.push_str(digits);
        if missing > 0 { Arrival::After(missing) } else { Arrival::Next }
    }

    /// Notes a number that is not above the last one.
    fn again(&mut self, number: u64) -> Arrival {
        let place = self.gaps.partition_point(|(_, to)| *to < number);
        match self.gaps.get(place).copied().filter(|(from, _)| *from <= number) {
            Some((from, to)) => {
                let rest = [(from, number.saturating_sub(1)), (number.saturating_add(1), to)];
                self.gaps.splice(place..=place, rest.into_iter().filter(|(from, to)| from <= to));
                Arrival::Late { was_missing: true }
            }
            None if number < self.first => Arrival::Late { was_missing: false },
            None => Arrival::Doubled,
        }
    }
}

/// Returns the position with which a message begins: what is before its number, its digits, and the
/// number. It needs no escapes in a URL.
fn position(message: &[u8]) -> Option<(&str, &str, u64)> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let length = message.iter().take(MOST + 1).take_while(|byte| is_plain(byte)).count();
    let ends = message.get(length).is_none_or(u8::is_ascii_whitespace);
    let word = std::str::from_utf8(&message[..length]).ok().filter(|word| ends && word.len() <= MOST)?;
    let before = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = &word[before.len()..];
    Some((before, digits, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Arrival = Arrival::Late { was_missing: true };

    fn received(messages: &[&str]) -> Vec<Arrival> {
        let mut follower = Follower::default();
        messages.iter().map(|message| follower.receive(message.as_bytes())).collect()
    }

    #[test]
    fn each_message_is_the_next_one_or_has_a_reason() {
        use Arrival::{After, Doubled, Next, Restarted, Unnumbered};
        let cases: [(&[&str], &[Arrival]); 6] = [
            (&["a-9 x", "a-10 y", "a-11", "a-12\nz"], &[Next, Next, Next, Next]),
            (&["5", "6", "6", "5", "7"], &[Next, Next, Doubled, Doubled, Next]),
            (&["1", "5", "3", "3", "4", "2", "2", "6"], &[Next, After(3), LATE, Doubled, LATE, LATE, Doubled, Next]),
            (&["5", "4", "6"], &[Next, Arrival::Late { was_missing: false }, Next]),
            (&["a-7", "b-1", "b-2", "a-8"], &[Next, Restarted, Next, Restarted]),
            (&["gap", "a-", "", " 1", "1,2", "1/2", "99999999999999999999"], &[Unnumbered; 7]),
        ];
        for (messages, expected) in cases {
            assert_eq!(received(messages), expected, "{messages:?}");
        }
    }

    #[test]
    fn what_is_missing_is_exact_in_any_order() {
        let mut follower = Follower::default();
        follower.receive(b"0");
        // A permutation of 1 to 100, with each third one left out, and then the others twice.
        let order = |step: u64| (1..=100).map(move |k| k * step % 101).filter(|number| number % 3 != 0);
        let (mut missing, mut doubled) = (0, 0);
        for number in order(37).chain(order(58)) {
            match follower.receive(number.to_string().as_bytes()) {
                Arrival::After(more) => missing += more,
                Arrival::Late { was_missing } => missing -= u64::from(was_missing),
                Arrival::Doubled => doubled += 1,
                Arrival::Next => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((missing, doubled, follower.position()), (33, 67, Some("100")));
    }

    #[test]
    fn a_position_keeps_its_text() {
        let mut follower = Follower::default();
        assert_eq!(follower.position(), None);
        for (message, position) in [("e-0009 x", "e-0009"), ("e-0010 x", "e-0010"), ("e-0010 x", "e-0010")] {
            follower.receive(message.as_bytes());
            assert_eq!(follower.position(), Some(position));
        }
        let long = "a".repeat(MOST) + "1";
        assert_eq!(follower.receive(long.as_bytes()), Arrival::Unnumbered);
    }
}
