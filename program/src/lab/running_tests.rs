//! Experiments whose other end is in the hands of the test.

use super::experiment::{Experiment, LONGEST, MOST_BYTES, Step};
use super::report::{End, Seen};
use super::running::Running;
use crate::clock::Clock;
use rustix::event::{PollFd, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(30);

/// An experiment, and the server's end of its connection.
fn begin(steps: Vec<Step>, within: Duration) -> (Running, UnixStream) {
    let (own, servers) = UnixStream::pair().expect("two descriptors");
    own.set_nonblocking(true).expect("a flag");
    let experiment = Experiment::new(steps, within).expect("it is small");
    (Running::new(own, experiment, Clock::start()), servers)
}

/// Lets an experiment go on until it is over, as the worker does, or until this has been seen.
/// Returns what was seen, and how often the experiment was woken.
fn drive(running: &mut Running, until: Option<&Seen>) -> (Vec<Seen>, usize) {
    let (mut seen, mut wakes) = (Vec::new(), 0);
    while !running.go_on(&mut |_, what| seen.push(what)) && until.is_none_or(|until| !seen.contains(until)) {
        wakes += 1;
        let due = Timespec { tv_sec: 0, tv_nsec: running.due().min(999_999_999) as _ };
        let interest = running.interest();
        let mut ready = Vec::new();
        if !interest.is_empty() {
            ready.push(PollFd::from_borrowed_fd(running.socket(), interest));
        }
        poll(&mut ready, Some(&due)).expect("poll(2)");
    }
    (seen, wakes)
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

fn wait_for(bytes: &[u8]) -> Step {
    Step::Await(bytes.to_vec())
}

fn got(bytes: &[u8]) -> Seen {
    Seen::Got(bytes.to_vec())
}

#[test]
fn steps_follow_one_another_and_what_was_found_is_not_found_again() {
    let (mut running, mut server) =
        begin(vec![send(b"a"), wait_for(b"x"), send(b"b"), wait_for(b"x"), Step::Fin], LONGEST);
    server.write_all(b"wx").expect("it fits");
    let (seen, _) = drive(&mut running, Some(&Seen::Did(2)));
    assert_eq!(seen, [Seen::Did(0), got(b"wx"), Seen::Did(1), Seen::Did(2)]);
    let mut sent = [0; 2];
    server.read_exact(&mut sent).expect("both were sent");
    assert_eq!(&sent, b"ab");
    server.write_all(b"yx").expect("it fits");
    let (seen, _) = drive(&mut running, Some(&Seen::Did(4)));
    assert_eq!(seen, [got(b"yx"), Seen::Did(3), Seen::Did(4)]);
    assert_eq!(server.read(&mut sent).expect("FIN"), 0);
    drop(server);
    assert_eq!(drive(&mut running, None).0, [Seen::Fin, Seen::Ended(End::Closed)]);
}

#[test]
fn a_pause_lasts_and_reads() {
    let (mut running, mut server) = begin(vec![Step::Pause(SHORT), send(b"a")], LONGEST);
    server.write_all(b"meanwhile").expect("it fits");
    let begun = Clock::start();
    let (seen, wakes) = drive(&mut running, Some(&Seen::Did(1)));
    assert_eq!(seen, [got(b"meanwhile"), Seen::Did(0), Seen::Did(1)]);
    assert!(begun.nanos() >= SHORT.as_nanos() as u64 && wakes < 10, "{wakes} wakes");
}

#[test]
fn when_the_server_has_closed_the_rest_of_the_steps_fails() {
    let (mut running, mut server) = begin(vec![wait_for(b"never"), send(b"a")], LONGEST);
    server.write_all(b"bye").expect("it fits");
    drop(server);
    let (seen, _) = drive(&mut running, None);
    assert_eq!(seen, [got(b"bye"), Seen::Fin, Seen::Failed(0), Seen::Ended(End::Closed)]);
    let (mut running, server) = begin(vec![Step::Deaf, send(b"a"), Step::Fin], LONGEST);
    drop(server);
    let (seen, _) = drive(&mut running, Some(&Seen::Failed(1)));
    assert_eq!(seen, [Seen::Did(0), Seen::Failed(1)]);
}

#[test]
fn a_close_with_unread_bytes_is_a_reset_and_any_other_is_not() {
    for is_deaf in [false, true] {
        let first = if is_deaf { Step::Deaf } else { Step::Hear };
        let (mut running, mut server) = begin(vec![first, Step::Pause(SHORT), Step::Close], LONGEST);
        server.write_all(b"unread?").expect("it fits");
        let (seen, _) = drive(&mut running, None);
        assert_eq!(seen.last(), Some(&Seen::Ended(End::Left)));
        drop(running);
        let end = server.read(&mut [0; 8]).map_err(|error| error.kind());
        // Other systems send FIN in both cases.
        let expected = if is_deaf && cfg!(target_os = "linux") { Err(ErrorKind::ConnectionReset) } else { Ok(0) };
        assert_eq!(end, expected, "deaf: {is_deaf}");
    }
}

#[test]
fn a_deaf_experiment_takes_no_time_even_if_the_server_has_gone() {
    let (mut running, server) = begin(vec![Step::Deaf], SHORT);
    drop(server);
    let (seen, wakes) = drive(&mut running, None);
    assert_eq!(seen, [Seen::Did(0), Seen::Ended(End::Time)]);
    assert!(wakes < 10, "{wakes} wakes");
}

#[test]
fn a_server_that_does_not_read_or_says_nothing_is_left_when_the_time_is_up() {
    let (mut running, _server) = begin(vec![send(&vec![0; MOST_BYTES]), send(&[])], SHORT);
    let (seen, wakes) = drive(&mut running, None);
    assert!(seen == [Seen::Ended(End::Time)] || seen.len() == 3, "the kernel takes all, or not: {seen:?}");
    assert!(wakes < 10, "{wakes} wakes");
    let (mut running, _server) = begin(vec![wait_for(b"x")], SHORT);
    assert_eq!(drive(&mut running, None).0, [Seen::Ended(End::Time)]);
    let (mut running, _server) = begin(vec![Step::Pause(LONGEST)], Duration::ZERO);
    assert_eq!(drive(&mut running, None).0, [Seen::Ended(End::Time)]);
}

#[test]
fn a_server_that_says_too_much_is_left_and_the_rest_is_not_kept() {
    let (mut running, mut server) = begin(vec![], LONGEST);
    let writer = std::thread::spawn(move || {
        // It fails when the experiment has gone.
        let _ = server.write_all(&vec![7; 4 * MOST_BYTES]);
    });
    let (seen, _) = drive(&mut running, None);
    drop(running);
    writer.join().expect("it has not panicked");
    let received: usize = seen.iter().map(|seen| if let Seen::Got(bytes) = seen { bytes.len() } else { 0 }).sum();
    assert_eq!((received, seen.last()), (MOST_BYTES, Some(&Seen::Ended(End::Size))));
}
