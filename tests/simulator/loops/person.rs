//! The other end of a connection: what it asks and says, and what it must hear.

use super::app::{Log, TOPICS, number};
use lariat::ReadyState;
use lariat::sim::Peer;
use std::collections::VecDeque;

/// A time in which it was to get messages.
#[derive(Debug)]
pub struct Stay {
    /// All, without one.
    pub topic: Option<usize>,
    pub from: usize,
    pub until: Option<usize>,
    pub heard: Vec<usize>,
}

pub struct Person {
    pub peer: Peer,
    pub connection: u32,
    raw: Vec<u8>,
    /// The requests that are not answered: their numbers, the sizes of their bodies, and whether
    /// they are upgrades.
    pub waiting: VecDeque<(u32, usize, bool)>,
    pub asked: u32,
    pub has_upgraded: bool,
    /// The loop on which it has become a WebSocket.
    pub place: Option<usize>,
    pub said: u32,
    pub heard: u32,
    /// Of letters that have come.
    pub letters: Vec<usize>,
    pub stays: Vec<Stay>,
    /// The last message of each loop.
    last: [Option<usize>; 4],
    pub was_refused: bool,
    pub is_closing: bool,
    /// It has left.
    pub has_left: bool,
    /// It loses messages when its loop is behind, and so may miss any.
    pub loses: bool,
    /// What it has heard then.
    pub found: Vec<usize>,
}

impl Person {
    pub fn new(peer: Peer, connection: u32, loses: bool) -> Person {
        Person {
            peer,
            connection,
            raw: Vec::new(),
            waiting: VecDeque::new(),
            asked: 0,
            has_upgraded: false,
            place: None,
            said: 0,
            heard: 0,
            letters: Vec::new(),
            stays: Vec::new(),
            last: [None; 4],
            was_refused: false,
            is_closing: false,
            has_left: false,
            loses,
            found: Vec::new(),
        }
    }

    // ---- what it says --------------------------------------------------------------------------

    /// Returns the bytes of its next request.
    pub fn ask(&mut self, name: &str, body: usize, is_upgrade: bool) -> Vec<u8> {
        self.asked += 1;
        self.has_upgraded |= is_upgrade;
        self.waiting.push_back((self.asked, body, is_upgrade));
        let headers = match is_upgrade {
            true => {
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                 dGhlIHNhbXBsZSBub25jZQ==\r\n"
            }
            false => "",
        };
        let (method, length) =
            if body > 0 { ("POST", format!("Content-Length: {body}\r\n")) } else { ("GET", String::new()) };
        let path = format!("/{name}/{}/{}", self.connection, self.asked);
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{headers}\r\n");
        [head.into_bytes(), vec![b'b'; body]].concat()
    }

    /// Returns the bytes of its next message.
    pub fn say(&mut self, what: &str) -> Vec<u8> {
        self.said += 1;
        frame(1, format!("{} {what}", self.said).as_bytes())
    }

    pub fn is_over(&self) -> bool {
        self.has_left || self.was_refused || self.peer.has_heard_end() || self.peer.ready_state() == ReadyState::Closed
    }

    // ---- what it hears -------------------------------------------------------------------------

    /// Takes what has come. Returns its lines.
    pub fn hear(&mut self, log: &mut Log) -> Vec<String> {
        self.raw.extend(self.peer.received_raw());
        let mut lines = Vec::new();
        while let Some(line) = if self.place.is_none() { self.response() } else { self.frame() } {
            lines.push(line);
            let words: Vec<&str> = lines[lines.len() - 1].split(' ').collect();
            self.judge(&words, log);
        }
        lines
    }

    /// Takes a response: `response STATUS BODY`.
    fn response(&mut self) -> Option<String> {
        let end = self.raw.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.raw[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.map_or(0, number);
        let body = String::from_utf8_lossy(self.raw.get(end..end + length)?).into_owned();
        self.raw.drain(..end + length);
        let status = head.split(' ').nth(1)?.to_owned();
        if status == "101" {
            self.place = Some(usize::MAX);
        }
        Some(format!("response {status} {body}"))
    }

    /// Takes a message, or `close`.
    fn frame(&mut self) -> Option<String> {
        let (code, length) = (*self.raw.first()?, *self.raw.get(1)?);
        let (begin, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes([*self.raw.get(2)?, *self.raw.get(3)?]))),
            length => (2, usize::from(length)),
        };
        let payload = self.raw.get(begin..begin + length)?.to_vec();
        self.raw.drain(..begin + length);
        if code == 0x88 {
            if !std::mem::replace(&mut self.is_closing, true) {
                self.peer.send_raw(&frame(8, &payload[..2]));
            }
            self.peer.half_close();
            return Some("close".to_owned());
        }
        assert_eq!(code, 0x81, "a message");
        Some(String::from_utf8(payload).expect("text"))
    }

    fn judge(&mut self, words: &[&str], log: &mut Log) {
        let name = self.connection;
        match *words {
            ["response", "503", ..] => self.was_refused = true,
            ["response", status, ..] => self.judge_response(status, words, log),
            ["close"] => {}
            ["open", place, time] => {
                self.place = Some(number(place));
                self.begin(None, number(time));
            }
            ["ok", count, place] => {
                self.heard = if self.loses { number(count) } else { self.heard + 1 };
                let (heard, own) = (self.heard, self.place);
                log.check(heard == number(count), || format!("{name} hears ok {count}, not {heard}"));
                log.check(own == Some(number(place)), || format!("{name} is on {own:?}, but {place} answers"));
                log.count("messages");
            }
            ["joined" | "left", ..] if self.loses => {}
            ["joined", topic, time] => self.begin(Some(number(topic)), number(time)),
            ["left", topic, time] => {
                let topic = number(topic);
                let stay = self.stays.iter_mut().find(|stay| stay.topic == Some(topic) && stay.until.is_none());
                stay.expect("it is a member").until = Some(number(time));
            }
            ["m", message, _] => self.judge_message(number(message), log),
            ["letter", letter] => {
                let letter = number(letter);
                let (is_first, to) = (!self.letters.contains(&letter), log.letters[letter]);
                log.check(is_first && to == name, || format!("{name} gets letter {letter}, which is for {to}"));
                self.letters.push(letter);
                log.count("letters");
            }
            _ => panic!("{words:?}"),
        }
    }

    fn begin(&mut self, topic: Option<usize>, from: usize) {
        self.stays.push(Stay { topic, from, until: None, heard: Vec::new() });
    }

    /// Each request is answered once, in order, by the loop that was named.
    fn judge_response(&mut self, status: &str, words: &[&str], log: &mut Log) {
        let name = self.connection;
        let Some((asked, body, is_upgrade)) = self.waiting.pop_front() else {
            return log.wrongs.push(format!("{name} hears {words:?}, and has asked nothing"));
        };
        let request = log.asked.entry((name, asked)).or_default();
        let (chosen, answered) = (request.chosen.clone(), request.answered.clone());
        let (&[(here, named)], &[place]) = (&chosen[..], &answered[..]) else {
            return log.wrongs.push(format!("{name}: {asked} was chosen {chosen:?}, and answered {answered:?}"));
        };
        let moves = place != here;
        log.check(is_upgrade == (status == "101"), || format!("{name} hears {words:?}"));
        if !is_upgrade {
            let expected = format!("{asked} on {place}, {body}");
            let heard = words[2..].join(" ");
            log.check(heard == expected, || format!("{name} hears {heard:?}, not {expected:?}"));
        }
        log.count(match (is_upgrade, moves) {
            (true, true) => "upgrades that move",
            (true, false) => "upgrades that stay",
            (false, true) => "requests that move",
            (false, false) => "requests that stay",
        });
        if is_upgrade && self.said > 0 && moves {
            log.count("messages behind an upgrade that moves");
        }
        let expected = named.unwrap_or(here);
        log.check(place == expected, || format!("{name}: {asked} is for {expected}, and {place} answers"));
    }

    /// Messages of a loop come in its order, once, and only to members.
    fn judge_message(&mut self, message: usize, log: &mut Log) {
        let name = self.connection;
        let (origin, topic) = (log.published[message].origin, log.published[message].topic);
        let last = self.last[origin].replace(message);
        log.check(last < Some(message), || format!("{name} hears {message} of loop {origin} behind {last:?}"));
        let is_excepted = log.published[message].except == Some(name);
        log.check(!is_excepted, || format!("{name} hears {message}, which is not for it"));
        if self.loses {
            return self.found.push(message);
        }
        let stay = self.stays.iter_mut().find(|stay| stay.topic == topic && stay.until.is_none());
        let Some(stay) = stay else {
            let topic = topic.map(|topic| TOPICS[topic]);
            return log.wrongs.push(format!("{name} hears {message} of {topic:?}, and is no member"));
        };
        stay.heard.push(message);
        let is_own = self.place == Some(origin);
        log.count(match (topic, is_own) {
            (None, true) => "broadcasts on the loop",
            (None, false) => "broadcasts across loops",
            (Some(_), true) => "publications on the loop",
            (Some(_), false) => "publications across loops",
        });
    }
}

/// A frame of a client, with a mask of zeros.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126, "a short one");
    [&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}
