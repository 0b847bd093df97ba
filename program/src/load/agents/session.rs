//! An agent does its part of a run: it starts the workers, and passes on what they say.

use super::folder::Folder;
use super::protocol::{BEAT, FromAgent, Request, SHORT_LINE, ToAgent, VERSION, part_line};
use super::travel::{allowed, allowed_file};
use super::wire::{Lines, Wire};
use crate::clock::Clock;
use crate::load::run::{ChildWorker, Link, thread};
use crate::terminal::Failure;
use data_encoding::BASE64;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

/// The most workers of one agent, and of all together.
const WORKERS: u32 = 1_024;
const PARTS: u32 = 1 << 20;

/// A request that an agent can do.
pub(super) struct Order {
    arguments: Vec<String>,
    /// The contents of files, with their options.
    files: Vec<(String, Vec<u8>)>,
    workers: Range<u32>,
    parts: u32,
}

impl Order {
    /// Reads a request. Says why the agent refuses it.
    pub(super) fn read(request: &[u8]) -> Result<Order, String> {
        // Another version may have another form.
        #[derive(serde::Deserialize)]
        struct Version {
            lariat: String,
        }
        let unreadable = |error: serde_json::Error| format!("cannot read the request: {error}");
        let Version { lariat } = serde_json::from_slice(request).map_err(unreadable)?;
        if lariat != VERSION {
            return Err(format!(
                "this agent has lariat {VERSION}, and not {lariat}: use the same version on all hosts"
            ));
        }
        let Request { arguments, files, first, workers, parts, .. } =
            serde_json::from_slice(request).map_err(unreadable)?;
        let end = first.checked_add(workers).filter(|end| *end <= parts && parts <= PARTS);
        let end = end.filter(|_| (1..=WORKERS).contains(&workers));
        let end = end.ok_or_else(|| format!("{workers} workers from {first} of {parts} make no sense"))?;
        let files = files.iter().map(|file| {
            let content = BASE64.decode(file.content.as_bytes()).map_err(|error| format!("a file: {error}"))?;
            Ok((allowed_file(file)?.to_owned(), content))
        });
        let files = files.collect::<Result<_, String>>()?;
        Ok(Order { arguments: allowed(&arguments)?, files, workers: first..end, parts })
    }

    /// Writes the files.
    pub(super) fn unpack(self) -> Result<Unpacked, String> {
        let written = self.arguments_with_files();
        let (folder, arguments) = written.map_err(|error| {
            let folder = std::env::temp_dir();
            format!(
                "cannot write the files of the run below {}: {error}. TMPDIR names another folder",
                folder.display()
            )
        })?;
        Ok(Unpacked { arguments, workers: self.workers, parts: self.parts, folder })
    }

    fn arguments_with_files(&self) -> io::Result<(Option<Folder>, Vec<OsString>)> {
        let folder = if self.files.is_empty() { None } else { Some(Folder::create()?) };
        let mut arguments = Vec::new();
        for (folder, (number, (option, content))) in folder.iter().cycle().zip(self.files.iter().enumerate()) {
            let mut argument = OsString::from(format!("--{option}="));
            argument.push(folder.write(number, content)?);
            arguments.push(argument);
        }
        arguments.extend(self.arguments.iter().map(OsString::from));
        Ok((folder, arguments))
    }
}

/// A request whose files are written.
pub(super) struct Unpacked {
    arguments: Vec<OsString>,
    workers: Range<u32>,
    parts: u32,
    folder: Option<Folder>,
}

impl Unpacked {
    pub(super) const fn workers(&self) -> u32 {
        self.workers.end - self.workers.start
    }

    /// Starts the workers, and serves until all have ended and the controller has gone. Says why it
    /// ended earlier.
    pub(super) fn carry_out(self, wire: &Wire, lines: Lines) -> Result<(), String> {
        let (sender, events) = channel();
        let started = self.start(&sender).and_then(|workers| follow(lines, sender).map(|()| workers));
        let workers = started.map_err(|Failure(why)| why).inspect_err(|why| {
            // If the controller has gone, nobody needs to know.
            let _ = wire.send(&FromAgent::Refused(why.clone()));
        })?;
        let outcome = Session { wire, first: self.workers.start, left: workers.len(), workers }.serve(&events);
        // The workers have gone. Nobody reads the files any more.
        drop(self.folder);
        outcome
    }

    fn start(&self, sender: &Sender<Event>) -> Result<Vec<LocalWorker>, Failure> {
        let mut workers = Vec::new();
        for part in self.workers.clone() {
            let mut child = ChildWorker::start(&self.arguments, part, self.parts)?;
            // The receiver has gone if the run has ended.
            let (said, logged) = (sender.clone(), sender.clone());
            child.listen(move |line| {
                drop(said.send(line.map_or(Event::Silent(part), |line| Event::Said(part, line))))
            })?;
            child.listen_to_log(move |line| drop(logged.send(line.map_or(Event::Silent(part), Event::Logged))))?;
            workers.push(LocalWorker { child, streams: 2 });
        }
        Ok(workers)
    }
}

/// What an agent hears while its workers run.
enum Event {
    /// A line of a worker.
    Said(u32, String),
    Logged(String),
    /// The end of what a worker says, or of its log.
    Silent(u32),
    Controller(ToAgent),
    ControllerGone(String),
}

/// Passes on what the controller says, in a thread that ends with the connection.
fn follow(mut lines: Lines, sender: Sender<Event>) -> Result<(), Failure> {
    let started = thread("controller", move || {
        lines.stay();
        loop {
            let next = lines.next(SHORT_LINE);
            let is_last = next.is_err();
            let event = next.map_or_else(Event::ControllerGone, Event::Controller);
            if sender.send(event).is_err() || is_last {
                break;
            }
        }
    });
    started.map(drop)
}

/// A worker on the agent's host.
struct LocalWorker {
    child: ChildWorker,
    /// What it says, and its log, as long as they have not ended.
    streams: u8,
}

/// A run of which this host does a part.
struct Session<'a> {
    wire: &'a Wire,
    first: u32,
    /// They are killed when this is dropped.
    workers: Vec<LocalWorker>,
    /// The workers that have not ended.
    left: usize,
}

impl Session<'_> {
    fn serve(mut self, events: &Receiver<Event>) -> Result<(), String> {
        let (clock, mut next_beat) = (Clock::start(), 0);
        loop {
            let outcome = if clock.nanos() >= next_beat {
                next_beat = clock.nanos() + BEAT.as_nanos() as u64;
                self.send(&FromAgent::Alive)
            } else {
                match events.recv_timeout(BEAT / 4) {
                    Ok(event) => self.hear(event),
                    Err(RecvTimeoutError::Timeout) => Ok(()),
                    Err(RecvTimeoutError::Disconnected) => Err("its threads have ended".to_owned()),
                }
            };
            match outcome {
                Ok(()) => {}
                // The controller closes when it has heard of all ends.
                Err(_) if self.left == 0 => return Ok(()),
                Err(why) => return Err(why),
            }
        }
    }

    fn hear(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Said(part, line) => self.wire.send_line(part_line(part, &line)).map_err(gone),
            Event::Silent(part) => {
                let Some(worker) = self.worker(part) else { return Ok(()) };
                worker.streams -= 1;
                if worker.streams > 0 {
                    return Ok(());
                }
                let how = worker.child.ended();
                self.left -= 1;
                self.send(&FromAgent::Ended(part, how))
            }
            Event::Logged(line) => self.send(&FromAgent::Log(line)),
            Event::Controller(ToAgent::Go(part)) => {
                self.worker(part).into_iter().for_each(|worker| worker.child.go());
                Ok(())
            }
            Event::Controller(ToAgent::Interrupt(part)) => {
                self.worker(part).into_iter().for_each(|worker| worker.child.interrupt());
                Ok(())
            }
            Event::Controller(ToAgent::Alive) => Ok(()),
            Event::ControllerGone(why) => Err(why),
            Event::Controller(ToAgent::Offer(_) | ToAgent::Start) => Err("it says something out of order".to_owned()),
        }
    }

    fn worker(&mut self, part: u32) -> Option<&mut LocalWorker> {
        self.workers.get_mut(part.checked_sub(self.first)? as usize)
    }

    fn send(&self, message: &FromAgent) -> Result<(), String> {
        self.wire.send(message).map_err(gone)
    }
}

fn gone(error: io::Error) -> String {
    format!("the connection is broken: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::agents::protocol::SentFile;

    fn request(change: impl FnOnce(&mut Request<'_>)) -> Result<Order, String> {
        let mut request = Request {
            lariat: VERSION.to_owned(),
            arguments: vec!["--echo".to_owned(), "ws://a/".to_owned()].into(),
            files: vec![SentFile { option: "message".to_owned(), content: BASE64.encode(b"hello") }].into(),
            first: 2,
            workers: 2,
            parts: 4,
        };
        change(&mut request);
        Order::read(&serde_json::to_vec(&request).expect("JSON"))
    }

    #[test]
    fn a_request_is_read_or_refused() {
        let order = request(|_| {}).unwrap_or_else(|why| panic!("{why}"));
        let unpacked = order.unpack().expect("a folder");
        assert_eq!(unpacked.workers(), 2);
        let Unpacked { folder, arguments, .. } = unpacked;
        let path = folder.as_ref().expect("there is a file").path().join("0");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"hello");
        let expected = [format!("--message={}", path.display()), "--echo".into(), "--".into(), "ws://a/".into()];
        assert_eq!(arguments, expected.map(OsString::from));
        drop(folder);
        assert!(!path.exists());
        let why = |change: fn(&mut Request<'_>)| request(change).map(|_| ()).unwrap_err();
        assert!(why(|request| request.lariat = "0.0.1".to_owned()).contains("and not 0.0.1"));
        assert!(why(|request| request.arguments.to_mut().push("--json=x".to_owned())).contains("--json"));
        assert!(why(|request| request.files.to_mut()[0].option = "json".to_owned()).contains("--json"));
        assert!(why(|request| request.files.to_mut()[0].content = "?".to_owned()).contains("a file"));
        assert!(why(|request| request.parts = 3).contains("make no sense"));
        assert!(why(|request| request.workers = 0).contains("make no sense"));
        assert!(why(|request| request.first = u32::MAX).contains("make no sense"));
        assert!(why(|request| (request.workers, request.parts) = (2_000, 3_000)).contains("make no sense"));
        assert!(Order::read(b"{}").is_err_and(|why| why.contains("cannot read")));
    }
}
