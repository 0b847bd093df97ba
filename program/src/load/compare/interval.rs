//! Intervals with a confidence of 95 %.

use crate::load::measure::Pairs;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The quantiles that enclose 95 %, and that of the normal distribution.
const LOW: f64 = 0.025;
const HIGH: f64 = 0.975;
const NORMAL: f64 = 1.959_964;

/// A value that was measured, and the interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) value: f64,
    pub(super) high: f64,
}

impl Interval {
    /// Returns the smallest interval that contains both.
    pub(super) fn hull(self, other: Interval) -> Interval {
        Interval { low: self.low.min(other.low), value: self.value, high: self.high.max(other.high) }
    }

    /// Moves both ends away from the value.
    pub(super) fn widened(self, factor: f64) -> Interval {
        let Interval { low, value, high } = self;
        Interval { low: value - (value - low) * factor, value, high: value + (high - value) * factor }
    }

    pub(super) const fn half_width(self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub(super) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Returns the t interval of the mean, or `None` for fewer than two values.
pub(super) fn of_mean(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let t = StudentsT::new(0.0, 1.0, values.len() as f64 - 1.0).ok()?.inverse_cdf(HIGH);
    let (value, half) = (mean(values), t * (variance(values) / values.len() as f64).sqrt());
    Some(Interval { low: value - half, value, high: value + half })
}

/// Returns the t interval of the mean of seconds in order. If a second is like the one before it,
/// there is less to know than from as many independent ones: the interval is wider.
pub(super) fn of_seconds(values: &[f64]) -> Option<Interval> {
    let (mean, variance) = (mean(values), variance(values));
    let products = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
    let likeness = products / (variance * (values.len() as f64 - 1.0));
    // NaN if all are equal.
    let likeness = if likeness > 0.0 { likeness.min(0.9) } else { 0.0 };
    of_mean(values).map(|interval| interval.widened(((1.0 + likeness) / (1.0 - likeness)).sqrt()))
}

/// Returns the interval of the values of several runs. They vary by shares if none is 0.
pub(super) fn of_runs(values: &[f64]) -> Option<Interval> {
    if values.iter().any(|value| *value <= 0.0) {
        return of_mean(values);
    }
    let logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let Interval { low, value, high } = of_mean(&logarithms)?;
    Some(Interval { low: low.exp(), value: value.exp(), high: high.exp() })
}

/// Returns how many values there are.
pub(super) fn count(pairs: &Pairs) -> u64 {
    pairs.iter().map(|(_, count)| count).sum()
}

/// Returns the interval of a quantile by order statistics, as if the values were independent.
/// Returns `None` if there are too few of them: the ends would be beyond the first or the last.
pub(super) fn of_quantile(pairs: &Pairs, share: f64) -> Option<Interval> {
    let count = count(pairs);
    let (first, last) = ranks(count, share)?;
    if first < 1 || last > count {
        return None;
    }
    Some(Interval { low: at_rank(pairs, first), value: quantile(pairs, share)?, high: at_rank(pairs, last) })
}

/// Returns the ranks that enclose a quantile. The number of values below it has the binomial
/// distribution, which is the normal one if it is wide.
fn ranks(count: u64, share: f64) -> Option<(u64, u64)> {
    let mean = count as f64 * share;
    let deviation = (mean * (1.0 - share)).sqrt();
    if deviation > 10.0 {
        let half = NORMAL * deviation;
        return Some(((mean - half).floor() as u64, (mean + half).ceil() as u64 + 1));
    }
    // Of the values above it there are fewer, so that the first probability is not 0.
    let above = |least| binomial_quantile(count, 1.0 - share, least);
    (count > 0).then(|| (count - above(HIGH), count - above(LOW) + 1))
}

/// Returns the smallest number of hits that is not exceeded with this probability.
fn binomial_quantile(trials: u64, hit: f64, least: f64) -> u64 {
    let mut probability = (1.0 - hit).powf(trials as f64);
    let mut sum = probability;
    let mut hits = 0;
    while sum < least && hits < trials {
        probability *= (trials - hits) as f64 / (hits + 1) as f64 * hit / (1.0 - hit);
        sum += probability;
        hits += 1;
    }
    hits
}

/// Returns the value that this share of all values does not exceed, or `None` if there are none.
pub(super) fn quantile(pairs: &Pairs, share: f64) -> Option<f64> {
    let count = count(pairs);
    (count > 0).then(|| at_rank(pairs, ((count as f64 * share).ceil() as u64).clamp(1, count)))
}

/// Returns the value with this rank. The first has rank 1.
fn at_rank(pairs: &Pairs, rank: u64) -> f64 {
    let mut sum = 0;
    let found = pairs.iter().find(|(_, count)| {
        sum += count;
        sum >= rank
    });
    found.or(pairs.last()).map_or(0.0, |(value, _)| *value as f64)
}

/// Returns the score interval of a Poisson rate: so many events in `of` trials. With a dispersion
/// above 1, events come in bursts of this size.
pub(super) fn of_events(events: f64, of: f64, dispersion: f64) -> Interval {
    let bursts = events / dispersion;
    let (middle, half) = (bursts + NORMAL.powi(2) / 2.0, NORMAL * (bursts + NORMAL.powi(2) / 4.0).sqrt());
    let share = dispersion / of;
    let low = if events == 0.0 { 0.0 } else { (middle - half).max(0.0) * share };
    Interval { low, value: events / of, high: (middle + half) * share }
}

/// Returns the interval of the difference of two values, by MOVER.
pub(super) fn of_difference(old: Interval, new: Interval) -> Interval {
    let value = new.value - old.value;
    Interval {
        low: value - (new.value - new.low).hypot(old.high - old.value),
        value,
        high: value + (new.high - new.value).hypot(old.value - old.low),
    }
}

/// Returns the interval of the quotient of two values, by MOVER of their logarithms. Returns
/// `None` unless both are above 0 with all of their intervals.
pub(super) fn of_ratio(old: Interval, new: Interval) -> Option<Interval> {
    let map = |interval: Interval, function: fn(f64) -> f64| Interval {
        low: function(interval.low),
        value: function(interval.value),
        high: function(interval.high),
    };
    (old.low > 0.0 && new.low > 0.0).then(|| map(of_difference(map(old, f64::ln), map(new, f64::ln)), f64::exp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    #[test]
    fn means_have_the_interval_of_the_textbook() {
        // Known: t(0.975, 4) = 2.776, s = 1.5811.
        let Interval { low, value, high } = of_mean(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("an interval");
        close(value, 3.0);
        close(high, 3.0 + 2.776 * 1.5811 / 5_f64.sqrt());
        close(low, 6.0 - high);
        let two = of_mean(&[0.0, 2.0]).expect("an interval");
        close(two.high, 1.0 + 12.706);
        let many: Vec<f64> = (0..100_000).map(|number| f64::from(number % 2)).collect();
        close(of_mean(&many).expect("an interval").half_width(), 1.96 * 0.5 / 1e5_f64.sqrt());
        assert_eq!(of_mean(&[1.0]), None);
        assert_eq!(of_mean(&[]), None);
        let shares = of_runs(&[10.0, 1_000.0]).expect("an interval");
        close(shares.value, 100.0);
        assert!(shares.low > 0.0);
        assert_eq!(of_runs(&[0.0, 0.0]).map(|zero| (zero.low, zero.high)), Some((0.0, 0.0)));
    }

    #[test]
    fn seconds_that_are_like_those_before_them_tell_less() {
        let half = |values: &[f64]| of_seconds(values).expect("an interval").half_width();
        let (drifting, mixed) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0]);
        close(half(&mixed), of_mean(&mixed).expect("an interval").half_width());
        assert!(half(&drifting) > 1.8 * half(&mixed), "{} {}", half(&drifting), half(&mixed));
        assert_eq!(half(&[3.0; 6]), 0.0);
        assert_eq!((of_seconds(&[]), of_seconds(&[1.0])), (None, None));
    }

    #[test]
    fn quantiles_have_the_ranks_of_the_textbook() {
        let pairs: Pairs = (1..=100).map(|value| (value, 1)).collect();
        // The median of 100 values lies between the 40th and the 61st.
        let Interval { low, value, high } = of_quantile(&pairs, 0.5).expect("an interval");
        assert_eq!((low, value, high), (40.0, 50.0, 61.0));
        assert_eq!(of_quantile(&pairs, 0.99), None, "100 values have no interval of p99");
        assert_eq!(of_quantile(&Pairs::new(), 0.5), None);
        assert_eq!(quantile(&Pairs::new(), 0.5), None);
    }

    #[test]
    fn ranks_enclose_a_quantile_however_many_values_there_are() {
        let few = 0..3_000_u64;
        let many = (1..=5).flat_map(|step| [step * 9_973, step * 1_000_003, step << 50]);
        for count in few.chain(many) {
            for share in [0.5, 0.9, 0.99, 0.999] {
                let mean = count as f64 * share;
                let is_right = |(first, last): (u64, u64)| first as f64 <= mean.ceil() && last as f64 >= mean;
                assert!(ranks(count, share).map_or(count == 0, is_right), "{count} {share}");
            }
        }
        // Both ways agree where one follows the other.
        let (exact, normal) = (ranks(10_000, 0.99), ranks(10_200, 0.99));
        assert_eq!((exact, normal), (Some((9_880, 9_920)), Some((10_078, 10_119))));
    }

    #[test]
    fn events_have_an_interval_even_if_there_are_none() {
        let none = of_events(0.0, 1_000.0, 1.0);
        assert_eq!((none.low, none.value), (0.0, 0.0));
        close(none.high * 1_000.0, 3.8415);
        let (alone, burst) = (of_events(100.0, 1_000.0, 1.0), of_events(100.0, 1_000.0, 100.0));
        assert!(alone.low > 0.08 && alone.high < 0.13);
        assert!(burst.low < 0.02 && burst.low > 0.0 && burst.high > 0.5);
    }

    #[test]
    fn a_difference_is_less_certain_than_its_parts() {
        let side = |value| Interval { low: value - 3.0, value, high: value + 3.0 };
        close(of_difference(side(10.0), side(20.0)).half_width(), 18_f64.sqrt());
        let ratio = of_ratio(side(100.0), side(120.0)).expect("a ratio");
        close(ratio.value, 1.2);
        assert!(ratio.low > 1.15 && ratio.low < 1.17 && ratio.high < 1.25, "{ratio:?}");
        assert_eq!(of_ratio(side(3.0), side(9.0)), None);
    }
}
