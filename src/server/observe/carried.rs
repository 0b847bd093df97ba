//! Counters that go on in another process.

use super::stats::{Cause, Histogram, LoopCounters};
use crate::protocol::{Counters, Flow};
use crate::server::handover::{CountersRecord, FlowRecord, HistogramRecord};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most kinds of ends and handshakes of another process.
const MOST_KINDS: usize = 256;

/// The most names of kinds that stay in memory, and the longest one in bytes. Each kind has two.
const MOST_NAMES: usize = 4 * MOST_KINDS;
const LONGEST_NAME: usize = 64;

/// The most that another process can have counted. So what is added here never overflows.
const MOST: u64 = u64::MAX >> 6;

impl LoopCounters {
    /// Describes everything. Each field is named, so that none is forgotten.
    pub(crate) fn to_record(&self, traffic: &Counters) -> CountersRecord {
        let LoopCounters {
            accepted,
            connected,
            opened,
            refused,
            cut_off,
            closed,
            bytes_read,
            bytes_written,
            reads,
            writes,
            dropped,
            conflated,
            throttled,
            accept_errors,
            turned_away,
            would_block,
            timers,
            deadlines,
            turn_micros,
            turn_events,
            waited,
            slowest: _,
            handovers,
            handover_failures,
            handover_moved,
            handover_left,
            handover_micros,
            #[cfg(feature = "tls")]
            tls_handshakes,
        } = self;
        let numbers = [
            ("accepted", *accepted),
            ("connected", *connected),
            ("opened", *opened),
            ("cut_off", *cut_off),
            ("bytes_read", *bytes_read),
            ("bytes_written", *bytes_written),
            ("reads", *reads),
            ("writes", *writes),
            ("dropped", *dropped),
            ("conflated", *conflated),
            ("throttled", *throttled),
            ("accept_errors", *accept_errors),
            ("turned_away", *turned_away),
            ("would_block", *would_block),
            ("timers", *timers),
            ("deadlines", *deadlines),
            ("waited", *waited),
            ("handovers", *handovers),
            ("handover_failures", *handover_failures),
            ("handover_moved", *handover_moved),
            ("handover_left", *handover_left),
            ("handover_micros", *handover_micros),
        ];
        let [received, sent] = traffic.by_opcode().map(|flows| flows.into_iter().map(flow_record).collect());
        let of_cause = |(cause, count): &(Cause, u64)| (cause.reason.to_owned(), cause.detail.to_owned(), *count);
        CountersRecord {
            numbers: numbers.map(|(name, number)| (name.to_owned(), number)).to_vec(),
            refused: refused.clone(),
            closed: closed.iter().map(of_cause).collect(),
            received,
            sent,
            turn_micros: turn_micros.to_record(),
            turn_events: turn_events.to_record(),
            #[cfg(feature = "tls")]
            tls_handshakes: {
                let handshakes = tls_handshakes.iter();
                handshakes
                    .map(|((version, suite, resumed), n)| ((*version).into(), (*suite).into(), *resumed, *n))
                    .collect()
            },
            #[cfg(not(feature = "tls"))]
            tls_handshakes: Vec::new(),
        }
    }

    /// Adds what another process has counted. Names that are not known are left out.
    pub(crate) fn add_record(&mut self, record: &CountersRecord, traffic: &mut Counters) {
        for (name, number) in &record.numbers {
            if let Some(own) = self.number(name) {
                *own = sum(*own, *number);
            }
        }
        self.refused
            .extend(record.refused.iter().take(MOST_KINDS).map(|(status, count)| (*status, (*count).min(MOST))));
        for (reason, detail, count) in record.closed.iter().take(MOST_KINDS) {
            if let (Some(reason), Some(detail)) = (kept(reason), kept(detail)) {
                self.closed.push((Cause { reason, detail }, (*count).min(MOST)));
            }
        }
        let [received, sent] = [&record.received, &record.sent].map(|flows| flows.iter().map(flow).collect::<Vec<_>>());
        traffic.add_by_opcode(&received, &sent);
        self.turn_micros.add_record(&record.turn_micros);
        self.turn_events.add_record(&record.turn_events);
        #[cfg(feature = "tls")]
        for (version, suite, resumed, count) in record.tls_handshakes.iter().take(MOST_KINDS) {
            if let (Some(version), Some(suite)) = (kept(version), kept(suite)) {
                self.tls_handshakes.push(((version, suite, *resumed), (*count).min(MOST)));
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "accepted" => &mut self.accepted,
            "connected" => &mut self.connected,
            "opened" => &mut self.opened,
            "cut_off" => &mut self.cut_off,
            "bytes_read" => &mut self.bytes_read,
            "bytes_written" => &mut self.bytes_written,
            "reads" => &mut self.reads,
            "writes" => &mut self.writes,
            "dropped" => &mut self.dropped,
            "conflated" => &mut self.conflated,
            "throttled" => &mut self.throttled,
            "accept_errors" => &mut self.accept_errors,
            "turned_away" => &mut self.turned_away,
            "would_block" => &mut self.would_block,
            "timers" => &mut self.timers,
            "deadlines" => &mut self.deadlines,
            "waited" => &mut self.waited,
            "handovers" => &mut self.handovers,
            "handover_failures" => &mut self.handover_failures,
            "handover_moved" => &mut self.handover_moved,
            "handover_left" => &mut self.handover_left,
            "handover_micros" => &mut self.handover_micros,
            _ => return None,
        })
    }
}

impl Histogram {
    fn to_record(self) -> HistogramRecord {
        HistogramRecord { buckets: self.buckets.to_vec(), sum: self.sum, max: self.max }
    }

    fn add_record(&mut self, record: &HistogramRecord) {
        for (own, other) in self.buckets.iter_mut().zip(&record.buckets) {
            *own = sum(*own, *other);
        }
        self.sum = sum(self.sum, record.sum);
        self.max = self.max.max(record.max);
    }
}

/// Adds what another process has counted.
const fn sum(own: u64, other: u64) -> u64 {
    let sum = own.saturating_add(other);
    if sum < MOST { sum } else { MOST }
}

const fn flow_record((opcode, flow): (u8, Flow)) -> (u8, FlowRecord) {
    (opcode, FlowRecord { messages: flow.messages, bytes: flow.bytes })
}

const fn flow((opcode, record): &(u8, FlowRecord)) -> (u8, Flow) {
    (*opcode, Flow { messages: sum(0, record.messages), bytes: sum(0, record.bytes) })
}

/// Returns a name of another process that stays for the rest of this one's life.
fn kept(name: &str) -> Option<&'static str> {
    static NAMES: Mutex<Names> = Mutex::new(Names(BTreeSet::new()));
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).kept(name)
}

/// Names that stay. Each is there once, however many servers of this process take over.
struct Names(BTreeSet<&'static str>);

impl Names {
    /// Returns `None` if the name is too long, or new and one too many.
    fn kept(&mut self, name: &str) -> Option<&'static str> {
        if let Some(known) = self.0.get(name) {
            return Some(known);
        }
        if name.len() > LONGEST_NAME || self.0.len() == MOST_NAMES {
            return None;
        }
        let new: &'static str = Box::leak(Box::from(name));
        self.0.insert(new);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseReason;

    #[test]
    fn counters_go_on_where_they_were() {
        let (mut counters, mut traffic) = (LoopCounters::default(), Counters::default());
        let names: Vec<String> = counters.to_record(&traffic).numbers.into_iter().map(|(name, _)| name).collect();
        for (number, name) in (1..).zip(&names) {
            *counters.number(name).expect("each name is known") = number;
        }
        counters.ended(&CloseReason::Eof);
        counters.answered(http::StatusCode::NOT_FOUND);
        counters.turn_events.record(7);
        counters.turned(5_000);
        traffic.received.add(crate::protocol::Opcode::Text, 5);
        traffic.sent.add(crate::protocol::Opcode::Ping, 6);

        let record = counters.to_record(&traffic);
        let (mut other, mut other_traffic) = (LoopCounters::default(), Counters::default());
        other.add_record(&record, &mut other_traffic);
        assert_eq!(other.to_record(&other_traffic), record);
        other.ended(&CloseReason::Eof);
        assert_eq!(other.closed, [(Cause::from(&CloseReason::Eof), 2)], "a known kind goes on");
        other.add_record(&record, &mut other_traffic);
        assert_eq!(other.accepted, 2);
        assert_eq!(other_traffic.received().text.bytes, 10);
    }

    #[test]
    fn counters_of_another_process_leave_room_for_more() {
        let (mut counters, mut traffic) = (LoopCounters::default(), Counters::default());
        counters.ended(&CloseReason::Eof);
        counters.answered(http::StatusCode::NOT_FOUND);
        traffic.received.add(crate::protocol::Opcode::Text, 5);
        counters.turned(5_000);
        let mut record = counters.to_record(&traffic);
        record.numbers.iter_mut().for_each(|(_, number)| *number = u64::MAX);
        record.closed.iter_mut().for_each(|(_, _, count)| *count = u64::MAX);
        record.refused.iter_mut().for_each(|(_, count)| *count = u64::MAX);
        for (_, flow) in &mut record.received {
            (flow.messages, flow.bytes) = (u64::MAX, u64::MAX);
        }
        record.turn_micros.buckets.fill(u64::MAX);
        record.turn_micros.sum = u64::MAX;
        for _ in 0..3 {
            counters.add_record(&record, &mut traffic);
        }
        counters.ended(&CloseReason::Eof);
        counters.answered(http::StatusCode::NOT_FOUND);
        counters.turned(5_000);
        counters.accepted += 1;
        traffic.received.add(crate::protocol::Opcode::Text, 5);
        assert!(counters.accepted > MOST && traffic.received().text.bytes > MOST);
        let all: u64 = counters.turn_micros.buckets.iter().fold(0, |sum, bucket| sum.saturating_add(*bucket));
        assert!(all > MOST);
    }

    #[test]
    fn a_name_is_kept_once_and_there_are_not_too_many() {
        let mut names = Names(BTreeSet::new());
        assert_eq!(names.kept(&"x".repeat(LONGEST_NAME + 1)), None);
        let first = names.kept("name 0").expect("it is short");
        for number in 1..MOST_NAMES {
            assert!(names.kept(&format!("name {number}")).is_some());
        }
        assert_eq!(names.kept("one more"), None);
        assert_eq!(names.kept("name 0").map(str::as_ptr), Some(first.as_ptr()), "a known one goes on");
    }
}
