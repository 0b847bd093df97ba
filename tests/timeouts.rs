//! Tests the timeouts: when a connection ends or sends something because time has passed.
//!
//! Time is an argument, so every test passes later ticks. Each test runs from several start times,
//! so that each deadline is once after the ticks wrap around.

mod kit;

use kit::*;
use lariat::protocol::time::Tick;
use lariat::protocol::{Answer, CloseReason, Limits, Shared, State, Timeout, Upgrade};
use lariat::{CloseCode, CloseFrame};
use std::time::Duration;

/// Returns the start times: one long before the ticks wrap around, and several just before, in
/// steps that are shorter than the shortest timeout.
fn beginnings() -> impl Iterator<Item = Tick> {
    [0, 1, 1 << 31]
        .into_iter()
        .chain((0..200_000).step_by(3_777).map(|millis| u32::MAX - millis))
        .map(Tick::from_millis)
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Returns limits with no other timeouts than those that `set` sets.
fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    limits.ping_interval = None;
    limits.idle_timeout = None;
    limits.message_timeout = None;
    limits.write_timeout = None;
    set(&mut limits);
    limits
}

/// A connection and its start time.
struct Clock {
    talk: Talk,
    beginning: Tick,
}

impl Clock {
    fn fresh(limits: Limits, beginning: Tick) -> Clock {
        Clock { talk: Talk::fresh(Shared::with_seed(limits, 0), beginning), beginning }
    }

    fn open(limits: Limits, beginning: Tick) -> Clock {
        Clock { talk: Talk::open(Shared::with_seed(limits, 0), beginning), beginning }
    }

    fn tick(&self, millis: u64) -> Tick {
        Tick::from_millis(self.beginning.millis().wrapping_add(millis as u32))
    }

    /// Moves the time to this many milliseconds after the start. Nothing else happens.
    fn at(&mut self, millis: u64) -> &mut Talk {
        self.talk.now = self.tick(millis);
        &mut self.talk
    }

    /// Checks that the next deadline is at `millis`: nothing happens one millisecond before, and
    /// repeated questions give the same answer.
    #[track_caller]
    fn is_due_at(&mut self, millis: u64) {
        assert_eq!(self.talk.deadline(), Some(self.tick(millis)), "the deadline");
        let (state, buffered) = (self.talk.state(), self.talk.connection.buffered_amount());
        let now = self.talk.now;
        for early in [now, Tick::from_millis(self.tick(millis).millis().wrapping_sub(1))] {
            self.talk.now = early;
            self.talk.handle_timeout();
            assert_eq!((self.talk.state(), self.talk.connection.buffered_amount()), (state, buffered), "too early");
            assert_eq!(self.talk.deadline(), Some(self.tick(millis)), "the deadline after a second question");
        }
        self.talk.now = now;
    }

    /// Checks that nothing happens before `millis`, and then runs the timeout.
    #[track_caller]
    fn expire_at(&mut self, millis: u64) -> &mut Talk {
        self.is_due_at(millis);
        let talk = self.at(millis);
        // A driver that asks before it acts must learn that the deadline has passed.
        let due = talk.deadline().is_some_and(|deadline| deadline.is_due(talk.now));
        assert!(due, "the deadline is no longer due after it has passed");
        talk.handle_timeout();
        talk
    }
}

#[track_caller]
fn ended(clock: Clock, reason: CloseReason) {
    assert_eq!(clock.talk.deadline(), None);
    assert_eq!(clock.talk.state(), State::Closed);
    assert_eq!(clock.talk.end(), Some(reason));
}

/// Checks that the connection drains, and that it ends at the deadline with the first reason.
#[track_caller]
fn drains(mut clock: Clock, since: u64, reason: CloseReason) {
    assert_eq!(clock.talk.state(), State::Draining);
    clock.expire_at(since + 5_000);
    ended(clock, reason);
}

fn refused(status: u16) -> CloseReason {
    CloseReason::Refused(lariat::http::StatusCode::from_u16(status).unwrap())
}

// ---- the opening handshake ---------------------------------------------------------------------

#[test]
fn a_request_must_be_complete_within_ten_seconds() {
    for beginning in beginnings() {
        let mut clock = Clock::fresh(Limits::default(), beginning);
        for second in 0..10 {
            clock.at(second * 1_000).receive(&REQUEST[second as usize..][..1]);
            clock.is_due_at(10_000);
        }
        let talk = clock.expire_at(10_000);
        assert_eq!(talk.flushed()[0].code(), Some(408));
        drains(clock, 10_000, refused(408));
    }
}

#[test]
fn a_silent_connection_gets_no_response_at_the_handshake_timeout() {
    for beginning in beginnings() {
        let mut clock = Clock::fresh(Limits::default(), beginning);
        let talk = clock.expire_at(10_000);
        assert_eq!(talk.flushed(), []);
        ended(clock, CloseReason::Timeout(Timeout::Handshake));
    }
}

#[test]
fn the_handshake_timeout_includes_the_decision() {
    for beginning in beginnings() {
        let mut clock = Clock::fresh(Limits::default(), beginning);
        clock.talk.decide = |_| Answer::Later;
        clock.at(9_000).receive(REQUEST);
        clock.at(9_500).receive(&text("early"));
        assert_eq!(clock.talk.state(), State::Deciding);
        let talk = clock.expire_at(10_000);
        let sent = talk.flushed();
        assert_eq!((sent.len(), sent[0].code()), (1, Some(503)));
        // It is too late to answer.
        assert_eq!(talk.connection.take_ticket(), None);
        drains(clock, 10_000, refused(503));
    }
}

#[test]
fn after_a_decision_the_handshake_timeout_no_longer_applies() {
    for beginning in beginnings() {
        let mut clock = Clock::fresh(Limits::default(), beginning);
        clock.talk.decide = |_| Answer::Later;
        clock.at(2_000).receive(REQUEST);
        let talk = clock.at(9_999);
        let ticket = talk.connection.take_ticket().unwrap();
        assert_eq!(talk.connection.answer(&mut talk.shared, talk.now, ticket, Upgrade::new().into()), Ok(()));
        talk.flush();
        assert_eq!(talk.state(), State::Open);
        // The silence counts from this moment.
        clock.is_due_at(9_999 + 50_000);
    }
}

// ---- silence -----------------------------------------------------------------------------------

#[test]
fn a_silent_peer_gets_pings_and_is_closed_at_the_idle_timeout() {
    for beginning in beginnings() {
        let mut clock = Clock::open(Limits::default(), beginning);
        assert_eq!(clock.expire_at(50_000).flushed(), [Sent::ping("")]);
        assert_eq!(clock.expire_at(100_000).flushed(), [Sent::ping("")]);
        let talk = clock.expire_at(120_000);
        assert_eq!(talk.flushed(), [Sent::close(1001, "silent for too long")]);
        drains(clock, 120_000, CloseReason::Timeout(Timeout::Idle));
    }
}

#[test]
fn a_pong_restarts_the_idle_timeout() {
    for beginning in beginnings() {
        let mut clock = Clock::open(Limits::default(), beginning);
        for round in 0..5 {
            assert_eq!(clock.expire_at(round * 51_000 + 50_000).flushed(), [Sent::ping("")]);
            clock.at(round * 51_000 + 51_000).receive(&frame(FIN | PONG, ""));
        }
        clock.expire_at(5 * 51_000 + 50_000);
        clock.expire_at(5 * 51_000 + 100_000);
        clock.expire_at(5 * 51_000 + 120_000);
        assert_eq!(clock.talk.state(), State::Draining);
    }
}

#[test]
fn any_byte_restarts_the_idle_timeout() {
    for beginning in beginnings() {
        let limits = limits(|limits| {
            limits.ping_interval = seconds(10);
            limits.idle_timeout = seconds(25);
        });
        let mut clock = Clock::open(limits, beginning);
        let bytes = [frame(TEXT, "a"), frame(FIN | PING, ""), frame(FIN, "b")].concat();
        for (index, byte) in bytes.iter().enumerate() {
            let now = index as u64 * 9_999;
            clock.at(now).receive(&[*byte]);
            clock.is_due_at(now + 10_000);
        }
        let last = (bytes.len() as u64 - 1) * 9_999;
        assert_eq!(clock.talk.seen, [Seen::ping(""), Seen::text("ab")]);
        assert_eq!(clock.talk.flushed(), [Sent::pong("")]);
        assert_eq!(clock.expire_at(last + 10_000).flushed(), [Sent::ping("")]);
        assert_eq!(clock.expire_at(last + 20_000).flushed(), [Sent::ping("")]);
        assert_eq!(clock.expire_at(last + 25_000).flushed()[0].code(), Some(1001));
    }
}

#[test]
fn bytes_that_we_send_do_not_restart_the_idle_timeout() {
    for beginning in beginnings() {
        let mut clock = Clock::open(Limits::default(), beginning);
        for second in [10, 20, 40] {
            let talk = clock.at(second * 1_000);
            talk.connection.send(&mut talk.shared, "tick".into()).unwrap();
            talk.flush();
            clock.is_due_at(50_000);
        }
    }
}

#[test]
fn a_late_driver_sends_one_ping_and_the_next_on_time() {
    for beginning in beginnings() {
        let limits = limits(|limits| limits.ping_interval = seconds(10));
        let mut clock = Clock::open(limits, beginning);
        clock.is_due_at(10_000);
        // The driver comes after three and a half intervals.
        let talk = clock.at(35_000);
        assert!(talk.deadline().unwrap().is_due(talk.now), "a ping is overdue");
        talk.handle_timeout();
        assert_eq!(talk.flushed(), [Sent::ping("")]);
        assert_eq!(clock.expire_at(40_000).flushed(), [Sent::ping("")]);
        assert_eq!(clock.expire_at(50_000).flushed(), [Sent::ping("")]);
    }
}

/// A driver that was absent, for example because its process was stopped, has not sent a ping in
/// time. The peer cannot have answered. So the driver sends the ping first, and the peer gets as
/// much time as usual.
#[test]
fn a_driver_that_comes_after_the_idle_timeout_sends_the_ping_first() {
    for beginning in beginnings() {
        for late in [120_000, 120_001, 135_000, 255_000, 86_400_000] {
            let mut clock = Clock::open(Limits::default(), beginning);
            let talk = clock.at(late);
            assert!(talk.deadline().unwrap().is_due(talk.now), "the deadline has passed");
            talk.handle_timeout();
            assert_eq!((talk.state(), talk.flushed()), (State::Open, vec![Sent::ping("")]));
            // The second ping was due at 100 s, and the end is 20 s later.
            let talk = clock.expire_at(late + 20_000);
            assert_eq!(talk.flushed(), [Sent::close(1001, "silent for too long")]);
            drains(clock, late + 20_000, CloseReason::Timeout(Timeout::Idle));

            let mut clock = Clock::open(Limits::default(), beginning);
            clock.at(late).handle_timeout();
            clock.at(late + 19_999).receive(&frame(FIN | PONG, ""));
            clock.is_due_at(late + 19_999 + 50_000);
        }
        // The driver has missed only the second ping.
        let mut clock = Clock::open(Limits::default(), beginning);
        clock.expire_at(50_000);
        let talk = clock.at(130_000);
        talk.handle_timeout();
        assert_eq!(talk.state(), State::Open);
        talk.flush();
        clock.expire_at(150_000);
        drains(clock, 150_000, CloseReason::Timeout(Timeout::Idle));
        // The driver has missed no ping, so there is nothing to wait for.
        let mut clock = Clock::open(Limits::default(), beginning);
        clock.expire_at(50_000);
        clock.expire_at(100_000);
        clock.at(500_000).handle_timeout();
        drains(clock, 500_000, CloseReason::Timeout(Timeout::Idle));
    }
}

/// If no ping is due before the idle timeout, the driver does not wait for one.
#[test]
fn without_a_ping_in_time_the_idle_timeout_applies() {
    for beginning in beginnings() {
        for interval in [None, seconds(120), seconds(500)] {
            let limits = limits(|limits| (limits.ping_interval, limits.idle_timeout) = (interval, seconds(120)));
            let mut clock = Clock::open(limits, beginning);
            clock.at(135_000).handle_timeout();
            assert_eq!(clock.talk.flushed(), [Sent::close(1001, "silent for too long")]);
            drains(clock, 135_000, CloseReason::Timeout(Timeout::Idle));
        }
    }
}

#[test]
fn without_an_idle_timeout_pings_continue() {
    for beginning in [Tick::from_millis(0), Tick::from_millis(u32::MAX - 1_500_000)] {
        let limits = limits(|limits| limits.ping_interval = seconds(10));
        let mut clock = Clock::open(limits, beginning);
        for round in 1..=1_000 {
            assert_eq!(clock.expire_at(round * 10_000).flushed(), [Sent::ping("")], "ping {round}");
        }
    }
}

#[test]
fn without_timeouts_there_is_no_deadline() {
    let mut clock = Clock::open(limits(|_| {}), Tick::from_millis(0));
    let talk = clock.at(0);
    talk.receive(&frame(TEXT, "never ends"));
    talk.connection.send(&mut talk.shared, "never read".into()).unwrap();
    talk.connection.sent(&mut talk.shared, talk.now, 0);
    assert_eq!(talk.deadline(), None);
    let buffered = talk.connection.buffered_amount();
    let talk = clock.at(11 * 24 * 60 * 60 * 1_000);
    talk.handle_timeout();
    assert_eq!((talk.state(), talk.connection.buffered_amount()), (State::Open, buffered));
}

// ---- a message ---------------------------------------------------------------------------------

#[test]
fn a_message_must_end_in_time_even_if_control_frames_arrive() {
    let frames = [frame(TEXT, "a"), frame(FIN | PING, ""), frame(0, "b"), frame(FIN | PONG, ""), frame(0, "c")];
    for beginning in beginnings() {
        let limits = limits(|limits| {
            limits.message_timeout = seconds(30);
            limits.idle_timeout = seconds(25);
        });
        let mut clock = Clock::open(limits, beginning);
        for (index, bytes) in frames.iter().enumerate() {
            clock.at(1_000 + index as u64 * 7_000).receive(bytes);
        }
        clock.talk.flush();
        clock.talk.output.clear();
        let talk = clock.expire_at(31_000);
        assert_eq!(talk.flushed(), [Sent::close(1008, "message not completed in time")]);
        drains(clock, 31_000, CloseReason::Timeout(Timeout::Message));
    }
}

#[test]
fn the_message_timeout_counts_from_the_first_byte() {
    let whole = frame(FIN | BINARY, [7; 1_000]);
    for beginning in [Tick::from_millis(0), Tick::from_millis(u32::MAX - 5_000)] {
        // The rest of the message may arrive in any pieces.
        for cuts in [&[1, 9][..], &[2, 9], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[8, 100, 900], &[500], &[1]] {
            let mut clock = Clock::open(limits(|limits| limits.message_timeout = seconds(30)), beginning);
            let mut start = 0;
            for (index, cut) in cuts.iter().enumerate() {
                clock.at(1_000 + index as u64 * 3_000).receive(&whole[start..*cut]);
                start = *cut;
                clock.is_due_at(31_000);
            }
            clock.at(30_999).receive(&whole[start..]);
            assert_eq!((clock.talk.seen.len(), clock.talk.deadline()), (1, None));
        }
    }
}

#[test]
fn each_message_has_its_own_timeout() {
    for beginning in beginnings() {
        let mut clock = Clock::open(limits(|limits| limits.message_timeout = seconds(30)), beginning);
        clock.at(1_000).receive(&frame(TEXT, "a"));
        clock.is_due_at(31_000);
        // One read contains the end of one message and the beginning of the next.
        clock.at(20_000).receive(&[frame(FIN, "b"), text("whole"), frame(BINARY, "c")].concat());
        clock.is_due_at(50_000);
        clock.at(40_000).receive(&frame(FIN, "d"));
        assert_eq!(clock.talk.deadline(), None);
        clock.at(45_000).receive(&text("whole"));
        assert_eq!((clock.talk.seen.len(), clock.talk.deadline()), (4, None));
        // A control frame that does not end has the same deadline.
        clock.at(50_000).receive(&frame(FIN | PING, "ping")[..7]);
        assert_eq!(clock.expire_at(80_000).flushed()[0].code(), Some(1008));
    }
}

// ---- writing -----------------------------------------------------------------------------------

#[test]
fn a_peer_that_accepts_no_bytes_is_disconnected() {
    for beginning in beginnings() {
        let mut clock = Clock::open(limits(|limits| limits.write_timeout = seconds(30)), beginning);
        let talk = clock.at(1_000);
        talk.connection.send(&mut talk.shared, "never read".into()).unwrap();
        assert_eq!(talk.deadline(), None, "the bytes are not written yet");
        let talk = clock.at(2_000);
        talk.connection.sent(&mut talk.shared, talk.now, 0);
        clock.is_due_at(32_000);
        // The deadline does not change if the peer still accepts nothing and more bytes wait.
        let talk = clock.at(20_000);
        talk.connection.send(&mut talk.shared, "more".into()).unwrap();
        talk.connection.sent(&mut talk.shared, talk.now, 0);
        // It does not change if the peer sends a message.
        clock.at(31_000).receive(&text("a message"));
        clock.expire_at(32_000);
        // A Close frame could not reach the peer either.
        ended(clock, CloseReason::Timeout(Timeout::Write));
    }
}

#[test]
fn a_peer_that_accepts_some_bytes_gets_more_time() {
    for beginning in beginnings() {
        let mut clock = Clock::open(limits(|limits| limits.write_timeout = seconds(30)), beginning);
        let talk = clock.at(0);
        talk.connection.send(&mut talk.shared, "slowly".into()).unwrap();
        for (index, taken) in [0, 1, 1, 0, 1].into_iter().enumerate() {
            let talk = clock.at(index as u64 * 20_000);
            talk.connection.sent(&mut talk.shared, talk.now, taken);
        }
        clock.is_due_at(4 * 20_000 + 30_000);
        // If the peer has accepted everything, there is no deadline. The next stall begins a new
        // one.
        let talk = clock.at(100_000);
        talk.flush();
        assert_eq!(talk.deadline(), None);
        let talk = clock.at(200_000);
        talk.connection.send(&mut talk.shared, "again".into()).unwrap();
        talk.connection.sent(&mut talk.shared, talk.now, 0);
        clock.expire_at(230_000);
        ended(clock, CloseReason::Timeout(Timeout::Write));
    }
}

// ---- the end -----------------------------------------------------------------------------------

#[test]
fn a_close_must_be_answered_within_five_seconds() {
    for beginning in beginnings() {
        let mut clock = Clock::open(Limits::default(), beginning);
        clock.at(60_000).close(CloseCode::Normal, "bye");
        clock.at(61_000).flush();
        // Other frames of the peer are not an answer.
        clock.at(62_000).receive(&text("crossed"));
        clock.at(63_000).receive(&frame(FIN | PING, ""));
        clock.at(64_000).receive(&frame(TEXT, "and more"));
        clock.expire_at(65_000);
        ended(clock, CloseReason::Timeout(Timeout::Close));
    }
}

#[test]
fn an_answer_to_our_close_restarts_the_close_timeout() {
    let ours = CloseReason::Local(CloseFrame { code: CloseCode::Normal, reason: "bye".into() });
    let answer = close(1000, "");
    for beginning in beginnings() {
        for cut in 0..answer.len() {
            let mut clock = Clock::open(Limits::default(), beginning);
            clock.at(1_000).close(CloseCode::Normal, "bye");
            clock.talk.flush();
            clock.at(3_000).receive(&answer[..cut]);
            clock.at(4_000).receive(&answer[cut..]);
            drains(clock, 4_000, ours.clone());
        }
    }
}

#[test]
fn draining_continues_while_bytes_are_sent() {
    let reason = CloseReason::Peer(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    for beginning in beginnings() {
        for eof in [None, Some(9_000)] {
            let mut clock = Clock::open(Limits::default(), beginning);
            let talk = clock.at(1_000);
            talk.connection.send(&mut talk.shared, "a long message".into()).unwrap();
            talk.receive(&close(1000, ""));
            clock.is_due_at(6_000);
            for now in [5_000, 9_000, 13_000] {
                let talk = clock.at(now);
                talk.connection.sent(&mut talk.shared, talk.now, 1);
                if eof == Some(now) {
                    talk.eof();
                    assert_eq!(talk.state(), State::Flushing);
                }
                clock.is_due_at(now + 5_000);
            }
            // A blocked socket is not progress, and neither is input from the peer.
            let talk = clock.at(16_000);
            talk.connection.sent(&mut talk.shared, talk.now, 0);
            talk.receive(b"more input");
            clock.expire_at(18_000);
            ended(clock, reason.clone());
        }
    }
}

#[test]
fn unsent_bytes_after_the_end_of_the_stream_have_five_seconds() {
    for beginning in beginnings() {
        let mut clock = Clock::open(Limits::default(), beginning);
        let talk = clock.at(1_000);
        talk.connection.send(&mut talk.shared, "into the void".into()).unwrap();
        clock.at(30_000).eof();
        assert_eq!(clock.talk.state(), State::Flushing);
        clock.expire_at(35_000);
        ended(clock, CloseReason::Eof);
    }
}

#[test]
fn a_connection_ends_at_its_maximum_lifetime() {
    for beginning in beginnings() {
        let mut clock = Clock::open(limits(|limits| limits.max_lifetime = seconds(60)), beginning);
        for second in [10, 30, 59] {
            clock.at(second * 1_000).receive(&text("still here"));
            clock.is_due_at(60_000);
        }
        let talk = clock.expire_at(60_000);
        assert_eq!(talk.flushed(), [Sent::close(1001, "maximum lifetime reached")]);
        drains(clock, 60_000, CloseReason::Lifetime);
    }
}

#[test]
fn the_earliest_deadline_applies() {
    let all = limits(|limits| {
        limits.ping_interval = seconds(10);
        limits.idle_timeout = seconds(40);
        limits.message_timeout = seconds(25);
        limits.write_timeout = seconds(15);
    });
    for beginning in beginnings() {
        let mut clock = Clock::open(all.clone(), beginning);
        let talk = clock.at(0);
        talk.receive(&frame(TEXT, "never ends"));
        assert_eq!(clock.expire_at(10_000).flushed(), [Sent::ping("")]);
        let talk = clock.at(12_000);
        talk.connection.send(&mut talk.shared, "never read".into()).unwrap();
        talk.connection.sent(&mut talk.shared, talk.now, 0);
        clock.expire_at(20_000);
        assert_eq!(clock.talk.connection.buffered_amount(), "..never read..".len());
        // The deadline of the message comes before that of the write.
        clock.expire_at(25_000);
        drains(clock, 25_000, CloseReason::Timeout(Timeout::Message));

        // If both deadlines have passed, a stalled write ends the connection at once, because
        // nothing could reach the peer.
        let mut clock = Clock::open(all.clone(), beginning);
        let talk = clock.at(0);
        talk.receive(&frame(TEXT, "never ends"));
        talk.connection.send(&mut talk.shared, "never read".into()).unwrap();
        talk.connection.sent(&mut talk.shared, talk.now, 0);
        clock.at(100_000).handle_timeout();
        ended(clock, CloseReason::Timeout(Timeout::Write));
    }
}
