//! Hostile clients beside the good ones: what the report says of good and of bad servers.

use crate::common::program::{Program, lariat};
use crate::common::raw::{listen, literal, upgrade};
use crate::{Run, load};
use serde_json::Value;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

/// The entries of the report, with at least one client of each kind.
fn entries(run: &Run) -> &Vec<Value> {
    let entries = run.report["malformed"].as_array().expect("a list");
    assert!(entries.len() >= 25, "{entries:#?}");
    for entry in entries {
        let (tried, right) = (entry["tried"].as_u64(), entry["right"].as_u64());
        assert!(tried >= Some(1) && right <= tried, "{entry:#}");
        let outcomes = entry["outcomes"].as_array().expect("a list").iter();
        assert_eq!(outcomes.filter_map(|outcome| outcome["count"].as_u64()).sum::<u64>(), tried.unwrap_or(0));
    }
    entries
}

/// The names of the entries of which all clients, or none, got what is right.
fn names(run: &Run, are_right: bool) -> Vec<&str> {
    let is = |entry: &&Value| entry["right"] == if are_right { entry["tried"].clone() } else { 0.into() };
    entries(run).iter().filter(is).filter_map(|entry| entry["name"].as_str()).collect()
}

/// Returns what the servers did with a kind.
fn outcomes<'r>(run: &'r Run, name: &str) -> Vec<&'r str> {
    let entry = entries(run).iter().find(|entry| entry["name"] == name).expect("it is in the list");
    entry["outcomes"].as_array().expect("a list").iter().filter_map(|outcome| outcome["text"].as_str()).collect()
}

/// Reads a frame of up to 125 bytes with a mask, or with none as it should not be.
fn frame(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let mut length = [0; 8];
    let length = match header[1] & 0x7f {
        126 => stream.read_exact(&mut length[6..]).map(|()| u64::from_be_bytes(length))?,
        127 => stream.read_exact(&mut length).map(|()| u64::from_be_bytes(length))?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if header[1] & 0x80 != 0 {
        stream.read_exact(&mut mask)?;
    }
    let mut payload = Vec::new();
    stream.take(length).read_to_end(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((header[0], payload))
}

#[test]
fn a_good_server_does_what_is_right_and_the_good_clients_see_none_of_it() {
    let mut program = Program::start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("ws://{}/echo", program.ready());
    let run = load(&url, "-c 20 --echo -m 200 --hold 6s --malformed 10%");
    assert_eq!(names(&run, true).len(), entries(&run).len(), "{:#}", run.report["malformed"]);
    assert_eq!(outcomes(&run, "invalid-utf8"), ["Close with 1007"]);
    assert_eq!(outcomes(&run, "unmasked-frame"), ["Close with 1002"]);
    assert_eq!((run.errors(), run.count("connections opened")), (vec![], 20));
    assert_eq!(run.count("messages right"), run.count("messages sent"));
    assert!(run.stderr.contains("hostile clients") && !run.stderr.contains("should get"), "{}", run.stderr);
    // Several processes share the hostile clients, too.
    let run = load(&url, "-c 4 --processes 3 --hold 6s --malformed 3");
    assert_eq!(names(&run, true).len(), entries(&run).len(), "{:#}", run.report["malformed"]);
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_server_that_accepts_everything_is_never_right() {
    // It upgrades whatever comes, and answers every ping.
    let accepting = literal(|stream| {
        upgrade(stream)?;
        loop {
            let (first, payload) = frame(stream)?;
            if first & 0x0f == 9 {
                stream.get_mut().write_all(&[&[0x8a, payload.len() as u8], &payload[..]].concat())?;
            }
        }
    });
    let run = load(&accepting, "-c 1 --hold 12s --malformed 16");
    // A flood may be answered, and half a frame does not hold up other clients. What waits for a
    // message of 2^40 bytes or the rest of a head is no harm yet.
    let right = ["endless-fragments", "ping-flood", "half-frame-fin", "half-frame-rst", "length-2^40", "slow-head"];
    assert!(names(&run, true).iter().all(|name| right.contains(name)), "{:?}", names(&run, true));
    assert_eq!(outcomes(&run, "unmasked-frame"), ["accepted it"]);
    assert_eq!(outcomes(&run, "no-key"), ["accepted it"]);
    assert_eq!(outcomes(&run, "close-999"), ["nothing"]);
    assert!(run.stderr.contains("accepted it") && run.stderr.contains("should get: Close with 1002"), "{}", run.stderr);
}

#[test]
fn ends_without_a_close_resets_and_silence_are_told_apart() {
    let leaving = literal(|stream| upgrade(stream).and_then(|()| stream.read_exact(&mut [0; 2])));
    let resetting = literal(|stream| {
        upgrade(stream)?;
        stream.read_exact(&mut [0; 2])?;
        socket2::SockRef::from(stream.get_ref()).set_linger(Some(std::time::Duration::ZERO))
    });
    let silent = literal(|stream| upgrade(stream).and_then(|()| listen(stream)));
    for (url, did, others) in [
        (leaving, "closed without a Close frame", "reset"),
        (resetting, "reset", "reset"),
        (silent, "nothing", "nothing"),
    ] {
        let run = load(&url, "-c 1 --hold 12s --malformed 16");
        for name in ["unmasked-frame", "rsv1", "invalid-utf8", "close-1005", "length-2^63", "long-length-form"] {
            // What the server has not read resets the connection when it closes.
            let outcomes = outcomes(&run, name);
            assert!(outcomes.iter().all(|outcome| [did, others].contains(outcome)), "{name}: {outcomes:?}");
            assert!(names(&run, false).contains(&name), "{name}");
        }
    }
}

#[test]
fn a_server_that_refuses_is_not_judged_and_a_wrong_share_is_refused() {
    let busy = literal(|stream| {
        // The first one is the good client.
        upgrade(stream).and_then(|()| listen(stream))
    });
    let run = load(&busy, "-c 1 --hold 100ms --timeout 50ms --malformed 1");
    let tried = run.report["malformed"].as_array().expect("a list").iter().filter_map(|entry| entry["tried"].as_u64());
    // The run ends with the hold, also if most kinds have not had their turn.
    assert!(tried.sum::<u64>() < 10);
    assert!(run.number("elapsed_s") < 5.0);
    let output = lariat(&["load", "ws://127.0.0.1:9/", "--malformed", "200%"]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("like 0.1%"), "{output:?}");
    assert_eq!(output.status.code(), Some(2));
}

/// It answers the ping behind the bad text, and closes then.
#[test]
fn a_server_that_answers_a_ping_first_has_not_accepted_what_came_before() {
    let url = literal(|stream| {
        upgrade(stream)?;
        loop {
            let (first, payload) = frame(stream)?;
            if first == 0x89 {
                let pong = [&[0x8a, payload.len() as u8], &payload[..]].concat();
                stream.get_mut().write_all(&pong)?;
                return stream.get_mut().write_all(&[0x88, 2, 0x03, 0xef]);
            }
        }
    });
    let run = load(&url, "-c 1 --hold 12s --malformed 16");
    assert_eq!(outcomes(&run, "invalid-utf8"), ["Close with 1007"]);
    assert!(names(&run, true).contains(&"invalid-utf8"));
}
