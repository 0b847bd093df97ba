//! The sum of the snapshots of several loops.

use super::stats::{Connections, Histogram, Stats};
use crate::protocol::{Flow, Traffic};
use std::collections::BTreeMap;
use std::iter::Sum;

/// Adds what several loops have done, and what they hold:
///
/// ```
/// # fn example(clients: &mut lariat::Clients<()>) {
/// clients.ask_loops(
///     |clients| clients.stats(),
///     |_, all| println!("{}", all.into_iter().sum::<lariat::Stats>().to_prometheus()),
/// );
/// # }
/// ```
impl Sum for Stats {
    fn sum<I: Iterator<Item = Stats>>(all: I) -> Stats {
        all.reduce(|mut sum, other| {
            sum.add(&other);
            sum
        })
        .unwrap_or_default()
    }
}

impl Stats {
    fn add(&mut self, other: &Stats) {
        // Each field by name, so that none is forgotten.
        let Stats {
            connections,
            accepted,
            connected,
            opened,
            refused,
            cut_off,
            closed,
            received,
            sent,
            bytes_read,
            bytes_written,
            reads,
            writes,
            buffered,
            memory_budget,
            budget_exhaustions,
            pauses,
            evictions,
            dropped,
            conflated,
            throttled,
            accept_errors,
            turned_away,
            turn_micros,
            turn_events,
            waited,
            #[cfg(feature = "handover")]
            handovers,
            #[cfg(feature = "tls")]
            tls_sessions,
            #[cfg(feature = "tls")]
            tls_handshakes,
        } = other;
        for (sum, more) in [
            (&mut self.accepted, accepted),
            (&mut self.connected, connected),
            (&mut self.opened, opened),
            (&mut self.cut_off, cut_off),
            (&mut self.bytes_read, bytes_read),
            (&mut self.bytes_written, bytes_written),
            (&mut self.reads, reads),
            (&mut self.writes, writes),
            (&mut self.budget_exhaustions, budget_exhaustions),
            (&mut self.pauses, pauses),
            (&mut self.evictions, evictions),
            (&mut self.dropped, dropped),
            (&mut self.conflated, conflated),
            (&mut self.throttled, throttled),
            (&mut self.accept_errors, accept_errors),
            (&mut self.turned_away, turned_away),
        ] {
            *sum += more;
        }
        self.buffered += buffered;
        self.memory_budget += memory_budget;
        self.waited += *waited;
        self.connections.add(connections);
        add_counts(&mut self.refused, refused);
        add_counts(&mut self.closed, closed);
        add_traffic(&mut self.received, received);
        add_traffic(&mut self.sent, sent);
        self.turn_micros.add(turn_micros);
        self.turn_events.add(turn_events);
        #[cfg(feature = "handover")]
        self.handovers.add(handovers);
        #[cfg(feature = "tls")]
        {
            self.tls_sessions += tls_sessions;
            add_counts(&mut self.tls_handshakes, tls_handshakes);
        }
    }
}

impl Connections {
    const fn add(&mut self, other: &Connections) {
        let Connections { handshaking, deciding, open, closing, draining, flushing, responding } = *other;
        self.handshaking += handshaking;
        self.deciding += deciding;
        self.open += open;
        self.closing += closing;
        self.draining += draining;
        self.flushing += flushing;
        self.responding += responding;
    }
}

#[cfg(feature = "handover")]
impl super::stats::Handovers {
    /// All loops of a server hand over together.
    fn add(&mut self, other: &super::stats::Handovers) {
        let super::stats::Handovers { count, failures, moved, left, frozen } = *other;
        self.count = self.count.max(count);
        self.failures = self.failures.max(failures);
        self.moved += moved;
        self.left += left;
        self.frozen = self.frozen.max(frozen);
    }
}

impl Histogram {
    fn add(&mut self, other: &Histogram) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }
}

fn add_traffic(sum: &mut Traffic, more: &Traffic) {
    let add = |sum: &mut Flow, more: Flow| {
        sum.messages += more.messages;
        sum.bytes += more.bytes;
    };
    add(&mut sum.text, more.text);
    add(&mut sum.binary, more.binary);
    add(&mut sum.ping, more.ping);
    add(&mut sum.pong, more.pong);
    add(&mut sum.close, more.close);
}

fn add_counts<K: Ord + Copy>(sum: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (kind, count) in more {
        *sum.entry(*kind).or_default() += count;
    }
}
