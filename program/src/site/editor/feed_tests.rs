//! Servers that read one log at their own pace, and from different places on, have one text.

use super::Operation;
use super::document::{Document, Edit};
use super::feed::{Change, Entry, Feed};
use lariat::backplane::StreamPosition;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The entries of a document, as an engine keeps them.
#[derive(Default)]
struct Log {
    entries: Vec<String>,
    names: Vec<String>,
    states: usize,
}

impl Log {
    fn add(&mut self, entry: &Entry) {
        if let Some(name) = entry.name() {
            if self.names.contains(&name) {
                return;
            }
            self.names.push(name);
            self.states += 1;
        }
        self.entries.push(entry.to_json());
    }
}

/// A server.
struct Server {
    number: u64,
    document: Document,
    feed: Feed,
    read: usize,
    /// Where it has begun to read.
    first: usize,
    refused: usize,
}

impl Server {
    fn new(number: u64, first: usize) -> Server {
        Server { number, document: Document::new(0), feed: Feed::default(), read: first, first, refused: 0 }
    }

    /// Reads so many entries, and adds a state if it is time.
    fn read(&mut self, log: &mut Log, count: usize) {
        let end = log.entries.len().min(self.read + count);
        for at in self.read..end {
            let position = StreamPosition { epoch: 7, offset: at as u64 + 1 };
            let entry = serde_json::from_str(&log.entries[at]).ok();
            let changes = self.feed.hear(&mut self.document, position, entry);
            let is_own = changes.iter().any(|change| matches!(change, Change::Edit { on, .. } if *on == self.number));
            self.refused += changes.iter().filter(|change| matches!(change, Change::Refused { .. })).count();
            self.read = at + 1;
            if let Some(state) = self.feed.state(&self.document, is_own) {
                log.add(&state);
            }
        }
    }

    /// Adds an edit of the text that it has now, or with a revision that is too old.
    fn write(&self, log: &mut Log, random: &mut StdRng, n: u64) {
        let length = self.document.text().len();
        let mut operation = Operation::default();
        let at = random.random_range(0..=length);
        operation.retain(at);
        let text: Vec<u16> = format!("{}.", self.number).encode_utf16().collect();
        operation.insert(&text);
        if random.random_bool(0.3) && length > at {
            operation.delete(1);
            operation.retain(length - at - 1);
        } else {
            operation.retain(length - at);
        }
        let late = u64::from(random.random_bool(0.02)) * 500;
        let revision = self.document.revision().saturating_sub(late);
        let edit = Edit { by: self.number, n, operation };
        let life = self.document.life();
        log.add(&Entry::Edit { edit, life, revision, who: 0, selection: None, on: self.number });
    }
}

fn run(seed: u64) -> (usize, usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut log = Log::default();
    let mut servers = vec![Server::new(1, 0), Server::new(2, 0)];
    let (mut numbers, mut n, mut late_starts) = (2, 0, 0);
    if random.random_bool(0.3) {
        let kept = serde_json::from_str(r#"{"text":"before","authors":[[9,4]],"edits":[]}"#).expect("a copy");
        log.add(&Entry::Restore { life: 5, lineage: vec![(3, 4)], kept });
    }
    for _ in 0..2_000 {
        let place = random.random_range(0..servers.len());
        let server = &mut servers[place];
        match random.random_range(0..100) {
            0..60 if server.feed.is_begun() => {
                n += 1;
                server.write(&mut log, &mut random, n);
            }
            0..95 => {
                let count = random.random_range(0..30);
                server.read(&mut log, count);
            }
            95..97 if servers.len() < 5 => {
                numbers += 1;
                // The engine does not keep more.
                let first = log.entries.len().saturating_sub(random.random_range(500..1_000));
                late_starts += usize::from(first > 0);
                servers.push(Server::new(numbers, first));
            }
            97 if servers.len() > 2 => drop(servers.remove(place)),
            98 => log.entries.push("nonsense".to_owned()),
            _ => {}
        }
        if !servers.iter().any(|server| server.feed.is_begun()) {
            let offset = log.entries.len() as u64;
            for server in &mut servers {
                server.read(&mut log, usize::MAX >> 1);
                server.feed.caught(&mut server.document, StreamPosition { epoch: 7, offset });
            }
        }
    }
    while servers.iter().any(|server| server.read < log.entries.len()) {
        servers.iter_mut().for_each(|server| server.read(&mut log, usize::MAX >> 1));
    }
    for server in &servers {
        assert!(server.feed.is_begun(), "seed {seed}: {} of {}", server.first, log.entries.len());
        let (one, other) = (&servers[0].document, &server.document);
        assert_eq!(String::from_utf16_lossy(one.text()), String::from_utf16_lossy(other.text()), "seed {seed}");
        assert_eq!((one.revision(), one.lineage()), (other.revision(), other.lineage()), "seed {seed}");
    }
    (log.states, late_starts, servers[0].refused)
}

#[test]
fn servers_that_begin_at_different_places_have_one_text() {
    let mut sum = (0, 0, 0);
    for seed in 0..24 {
        let (states, late, refused) = run(seed);
        sum = (sum.0 + states, sum.1 + late, sum.2 + refused);
    }
    println!("states, servers that began late, refused edits: {sum:?}");
    assert!(sum.0 > 100 && sum.1 > 100 && sum.2 > 100, "not all was tested: {sum:?}");
}

#[test]
fn entries_that_make_no_sense_change_nothing() {
    let (mut document, mut feed) = (Document::new(0), Feed::default());
    let entries = [
        "",
        "null",
        "{}",
        r#"{"edit":{}}"#,
        r#"{"edit":{"by":1,"n":1,"operation":["x"],"life":1,"revision":99,"who":1,"selection":[9,9],"on":1}}"#,
        r#"{"edit":{"by":1,"n":1,"operation":[-5],"life":6,"revision":0,"who":1,"selection":[9,9],"on":1}}"#,
        r#"{"edit":{"by":1,"n":1,"operation":[18446744073709551615,18446744073709551615],"life":6,"revision":0,"who":1,"selection":null,"on":1}}"#,
        r#"{"restore":{"life":1,"lineage":[[1,99999999999999999]],"kept":{"text":"x","authors":[],"edits":[]}}}"#,
        r#"{"state":{"at":18446744073709551615,"floor":18446744073709551615,"state":{"text":"x","life":1,"ancestors":[],"revision":18446744073709551615,"edits":[],"authors":[]}}}"#,
    ];
    for (at, entry) in entries.iter().enumerate() {
        let position = StreamPosition { epoch: 7, offset: at as u64 + 1 };
        feed.hear(&mut document, position, serde_json::from_str(entry).ok());
        assert!(document.is_untouched() && document.text().is_empty(), "{entry}");
    }
    // A server that begins there is not harmed either.
    let (mut document, mut feed) = (Document::new(0), Feed::default());
    let huge = serde_json::from_str(entries[entries.len() - 1]).ok();
    feed.hear(&mut document, StreamPosition { epoch: 7, offset: 2 }, huge);
    assert!(!feed.is_begun());
    let reset = feed.caught(&mut document, StreamPosition { epoch: 7, offset: 2 }).expect("an entry that begins anew");
    let changes = feed.hear(&mut document, StreamPosition { epoch: 7, offset: 3 }, Some(reset));
    assert!(matches!(changes[..], [Change::Begun]) && document.is_untouched());
}
