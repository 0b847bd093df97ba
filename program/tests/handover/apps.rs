//! Pages of each app that check what they get: each message once, in order, without a new start.

use crate::common::Wire;
use crate::kit::{Site, next, open, say, told};
use lariat_cli::site::Operation;
use serde_json::{Value, json};
use std::net::SocketAddr;

// ---- chat --------------------------------------------------------------------------------------

/// A person in a room.
pub struct Talker {
    pub wire: Wire,
    name: &'static str,
    pub server: Value,
    /// The number of the last message.
    pub last: u64,
    said: u32,
}

impl Talker {
    pub fn enter(addr: SocketAddr, name: &'static str) -> (Talker, Value) {
        let mut wire = open(addr, "/chat");
        let join = json!({"room": "lobby", "name": name, "key": name, "server": "", "after": 0});
        say(&mut wire, &json!({"join": join}));
        let welcome = next(&mut wire, "welcome");
        let last = welcome["messages"].as_array().expect("a list").last().map_or(0, |last| number(&last["n"]));
        (Talker { wire, name, server: welcome["server"].clone(), last, said: 0 }, welcome)
    }

    /// Says something new, and returns it.
    pub fn say(&mut self) -> String {
        self.said += 1;
        let text = format!("{} {}", self.name, self.said);
        let id = format!("{:02x}{:08x}", self.name.as_bytes()[0], self.said);
        say(&mut self.wire, &json!({"say": {"id": id, "text": text, "age": 0}}));
        text
    }

    /// Hears the next message, which has the next number.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let message = next(&mut self.wire, "message");
        self.last += 1;
        assert_eq!(message["n"], self.last, "{message}");
        message["text"].as_str().expect("a text").to_owned()
    }
}

/// All say something at once, and hear the same.
pub fn talk(talkers: &mut [Talker]) {
    const EACH: usize = 3;
    let mut said: Vec<String> =
        (0..EACH).flat_map(|_| talkers.iter_mut().map(Talker::say).collect::<Vec<_>>()).collect();
    let count = said.len();
    let mut heard: Vec<Vec<String>> =
        talkers.iter_mut().map(|talker| (0..count).map(|_| talker.hear()).collect()).collect();
    assert!(heard.iter().all(|all| *all == heard[0]), "all hear the same in the same order");
    let mut first = heard.swap_remove(0);
    first.sort_unstable();
    said.sort_unstable();
    assert_eq!(first, said, "each message once");
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

// ---- editor ------------------------------------------------------------------------------------

/// A page with a document.
pub struct Writer {
    pub wire: Wire,
    author: u64,
    n: u64,
    revision: u64,
    text: Vec<u16>,
}

impl Writer {
    pub fn enter(site: &Site, author: u64) -> Writer {
        let mut wire = site.open("/editor");
        let join = json!({"document": "notes", "name": "writer", "author": author, "lineage": []});
        say(&mut wire, &json!({"join": join}));
        let welcome = next(&mut wire, "welcome");
        let lineage = welcome["lineage"].as_array().expect("a list");
        let revision = number(&lineage.last().expect("a life")[1]);
        let text = welcome["text"].as_str().unwrap_or_default().encode_utf16().collect();
        Writer { wire, author, n: 0, revision, text }
    }

    pub fn text(&self) -> String {
        String::from_utf16(&self.text).expect("whole characters")
    }

    /// Replaces the character at the end by two.
    fn write(&mut self) {
        self.n += 1;
        let (length, put) = (self.text.len(), format!("{}é", self.author));
        let kept = length.saturating_sub(usize::from(length > 60));
        let mut operation = Operation::default();
        operation.delete(length - kept);
        operation.retain(kept);
        operation.insert(&put.encode_utf16().collect::<Vec<_>>());
        let (by, n, revision) = (self.author, self.n, self.revision);
        let edit = json!({"by": by, "n": n, "operation": operation, "revision": revision, "selection": [0, 0]});
        say(&mut self.wire, &json!({"edit": edit}));
    }

    #[track_caller]
    fn read(&mut self) {
        let message = next(&mut self.wire, "edit");
        let operation: Operation = serde_json::from_value(message["operation"].clone()).expect("an operation");
        self.text = operation.apply(&self.text).expect("it fits the text that the page has");
        self.revision += 1;
    }
}

/// All write at once, and have the same text afterwards.
pub fn write(writers: &mut [Writer]) {
    writers.iter_mut().for_each(Writer::write);
    let count = writers.len();
    writers.iter_mut().for_each(|writer| (0..count).for_each(|_| writer.read()));
    assert!(writers.iter().all(|writer| (writer.revision, writer.text()) == (writers[0].revision, writers[0].text())));
}

// ---- arena -------------------------------------------------------------------------------------

/// A page of the arena.
pub struct Horse {
    pub wire: Wire,
    pub rider: u64,
    tick: u32,
    place: Option<(f32, f32)>,
}

impl Horse {
    pub fn enter(site: &Site, name: &str) -> Horse {
        let mut wire = site.open("/arena");
        say(&mut wire, &json!({"join": {"name": name}}));
        let rider = number(&next(&mut wire, "welcome"));
        Horse { wire, rider, tick: 0, place: None }
    }

    /// Reads snapshots until one of a later tick than this. The rider is where it can have got to.
    pub fn ride_until(&mut self, tick: u32) -> u32 {
        while self.tick <= tick {
            let frame = self.wire.frame();
            match frame.first {
                0x81 => continue,
                0x82 => self.see(&frame.payload),
                _ => panic!("the connection goes on: {frame:?}"),
            }
        }
        self.tick
    }

    fn see(&mut self, bytes: &[u8]) {
        let part = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        let (tick, place) = (u32::from_le_bytes(part(0)), (f32::from_le_bytes(part(8)), f32::from_le_bytes(part(12))));
        assert!(tick > self.tick && (self.tick == 0 || tick < self.tick + 100), "{tick} follows {}", self.tick);
        if let Some((x, y)) = self.place {
            // A collision moves it as well.
            let most = (tick - self.tick) as f32 * 13.0 + 40.0;
            let (x, y) = (place.0 - x, place.1 - y);
            assert!(x.hypot(y) <= most, "from {:?} to {place:?} in {} ticks", self.place, tick - self.tick);
        }
        (self.tick, self.place) = (tick, Some(place));
    }

    pub fn ask_name(&mut self) -> Value {
        say(&mut self.wire, &json!({"who": [self.rider]}));
        next(&mut self.wire, "names")
    }
}

// ---- ticker ------------------------------------------------------------------------------------

/// A page with one price, which is measured.
pub struct Reader {
    pub wire: Wire,
    last: (u64, u64),
    counted: u64,
}

impl Reader {
    pub fn enter(site: &Site) -> Reader {
        let mut wire = site.open("/ticker?measure");
        say(&mut wire, &json!({"watch": ["ROPE"]}));
        let past = next(&mut wire, "past");
        let price = number(past[2].as_array().expect("a list").last().expect("a price"));
        Reader { wire, last: (number(&past[1]), price), counted: 0 }
    }

    /// Reads so many ticks. None is missing, and no price jumps.
    pub fn read(&mut self, count: usize) {
        let mut read = 0;
        while read < count {
            let message = told(&mut self.wire);
            if let Some(saw) = message.get("saw") {
                let counted = number(&saw["pushed"]["count"]);
                assert!(counted > self.counted, "{message}");
                self.counted = counted;
                continue;
            }
            let tick = message.get("tick").unwrap_or_else(|| panic!("nothing begins anew: {message}"));
            let (number, price) = (number(&tick[1]), number(&tick[2]));
            assert_eq!(number, self.last.0 + 1, "{message}");
            assert!(price.abs_diff(self.last.1) * 20 < price, "{message} follows {:?}", self.last);
            self.last = (number, price);
            read += 1;
        }
    }
}
