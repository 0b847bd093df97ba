//! `lariat load diff`: whether a server is better or worse than before, beyond noise.
//!
//! Two runs of one server differ. So each metric is an interval and not a point: with a confidence
//! of 95 %, what further runs (or, of a single run, further seconds) would show on average.
//!
//! Several runs on a side: the t interval of their values. It uses logarithms, since times and
//! rates vary by shares. It is the best one: it knows all that differs between runs. It needs 3
//! runs or more to tell much.
//!
//! A single run:
//!
//! * A percentile has an interval by order statistics: the values at the ranks that the binomial
//!   distribution gives. That takes values as independent, but those of one second are not: a
//!   pause of the server delays them all. So the percentiles of the seconds give a t interval as
//!   well, and the wider one counts. Seconds have p50 and p99. p99.9 is widened by the same factor
//!   as p99, p90 by the larger one of both. So are the steps of a scenario.
//! * Messages per second have the t interval of the seconds.
//! * Only full seconds between the first and the last message count, and at least 5. If a second
//!   is like the one before it, the interval is widened by their correlation.
//! * Errors are few, and often none. They have the score interval of a Poisson rate. If they come
//!   in bursts, it is widened by their dispersion: the variance of a second by its mean.
//! * CPU and memory are one number in a run: their spread is not known, and they are not
//!   comparable.
//! * Connecting and the handshake are measured in one burst, in which each connection waits for
//!   those before it. So a single run of them is not comparable either, whatever its number of
//!   values.
//!
//! The change from OLD to NEW has an interval by MOVER (Zou and Donner, 2008), which combines the
//! two intervals, also those that are not symmetric; of logarithms if nothing is 0. A change is
//! "worse" or "better" if its whole interval is beyond the tolerance.
//!
//! What this cannot know: a single run says nothing about what differs between runs, such as
//! memory layout, other work of the host, or its temperature. On a busy host, most differences
//! between single runs are of that kind. If nothing has changed, a metric is called worse in about
//! 2.5 % of comparisons; but there are up to 20 metrics, so run again before you believe a single
//! one.
//!
//! | file | question |
//! |---|---|
//! | `interval` | between which values lies what was measured? |
//! | `values` | what does one run say of each metric? |
//! | `sides` | what do several runs say together? |
//! | `verdict` | is it better or worse? |
//! | `table` | what does the comparison say on a terminal? |
//! | `command` | what does `lariat load diff` do, from its options to its exit code? |
//!
//! `noise_tests` counts how often comparisons are wrong.

mod command;
mod interval;
mod sides;
mod table;
mod values;
mod verdict;

pub(crate) use command::{Diff, run};

#[cfg(test)]
mod noise_tests;
