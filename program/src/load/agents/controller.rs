//! A controller: it leads the agents on other hosts through a run, and opens no connections to the
//! servers.

use super::protocol::{
    BEAT, FIRST_LINE, FromAgent, LONG_LINE, Offer, PATIENCE, Request, SILENCE, SentFile, ToAgent, VERSION,
};
use super::token::{About, Side, Token, nonce, sha256};
use super::travel::own_options;
use super::wire::{Lines, Wire};
use crate::load::measure::Record;
use crate::load::plan::{InputFile, Options, Usage, input_files};
use crate::load::run::{FromWorker, Heard, Link, Watcher, run_workers, thread};
use crate::terminal::units::bytes;
use crate::terminal::{Failure, Log};
use data_encoding::BASE64;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What the agents are asked for.
pub(crate) struct Campaign {
    token: Token,
    agents: Vec<String>,
    /// The workers on each agent.
    workers: u32,
    arguments: Vec<String>,
    files: Vec<SentFile>,
}

impl Campaign {
    /// Reads the files that the agents are sent.
    pub(crate) fn new(options: &Options) -> Result<Campaign, Usage> {
        let sent = |file: InputFile| SentFile { option: file.option.to_owned(), content: BASE64.encode(&file.content) };
        Ok(Campaign {
            token: Token::of(options)?,
            agents: options.agents.clone(),
            workers: options.processes,
            arguments: own_options()?,
            files: input_files(options)?.into_iter().map(sent).collect(),
        })
    }

    /// Runs to the end. Nothing begins unless all agents have accepted.
    pub(crate) fn run(&self, watcher: &mut impl Watcher, log: &Log) -> Result<Record, Failure> {
        let reached = self.reach_all()?;
        let (sender, heard) = channel();
        let mut links = Vec::<Box<dyn Link>>::new();
        for Reached { name, workers, wire, lines } in reached {
            // If this fails, nothing comes from the agent either.
            let _ = wire.send(&ToAgent::Start);
            let led = Arc::new(Led { name: name.clone(), wire: Arc::clone(&wire), _beats: beat(Arc::clone(&wire))? });
            links.extend(
                workers.clone().map(|part| Box::new(RemoteWorker { part, led: Arc::clone(&led) }) as Box<dyn Link>),
            );
            let reader = Reader { name, workers, wire, sender: sender.clone(), log: log.clone() };
            thread("agent", move || reader.read(lines))?;
        }
        drop(sender);
        run_workers(links, &heard, watcher)
    }

    /// Asks all agents at the same time. Fails if one of them refuses.
    fn reach_all(&self) -> Result<Vec<Reached>, Failure> {
        let outcomes: Vec<Result<Reached, String>> = std::thread::scope(|scope| {
            let asked = (0..).zip(&self.agents).map(|(number, name)| {
                std::thread::Builder::new().spawn_scoped(scope, move || self.reach(number, name))
            });
            let asked: Vec<_> = asked.collect();
            let answers = asked.into_iter().map(|started| match started {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err("a panic".to_owned())),
                Err(error) => Err(format!("cannot start a thread: {error}")),
            });
            answers.collect()
        });
        let (mut reached, mut problems) = (Vec::new(), Vec::new());
        for (outcome, name) in outcomes.into_iter().zip(&self.agents) {
            match outcome {
                Ok(one) => reached.push(one),
                Err(why) => problems.push(format!("agent {name}: {why}")),
            }
        }
        if problems.is_empty() { Ok(reached) } else { Err(Failure(problems.join("; "))) }
    }

    fn reach(&self, number: u32, name: &str) -> Result<Reached, String> {
        let first = number * self.workers;
        let request = self.request(first)?;
        let wire = Arc::new(connect(name)?);
        let mut lines = wire.lines(SILENCE).map_err(lost)?;
        let agent_nonce = match next(&mut lines, SILENCE) {
            Ok(FromAgent::Hello { lariat, nonce }) if lariat == VERSION => nonce,
            Ok(FromAgent::Hello { lariat, .. }) => {
                return Err(format!(
                    "it has lariat {lariat}, and this is {VERSION}: use the same version on all hosts"
                ));
            }
            Ok(_) => return Err("it does not greet".to_owned()),
            Err(why) => return Err(format!("{why}. Is this the address of a `lariat load --agent`?")),
        };
        let (controller_nonce, digest) = (nonce(), sha256(&request));
        let about = About {
            agent_nonce: &agent_nonce,
            controller_nonce: &controller_nonce,
            sha256: &digest,
            length: request.len() as u64,
        };
        let proof = self.token.prove(Side::Controller, &about);
        let (nonce, length, sha256) = (controller_nonce.clone(), about.length, digest.clone());
        wire.send(&ToAgent::Offer(Offer { nonce, length, sha256, proof })).map_err(lost)?;
        match next(&mut lines, SILENCE)? {
            FromAgent::Ready { proof } if self.token.accepts(Side::Agent, &about, &proof) => {}
            FromAgent::Refused(why) => return Err(why),
            _ => return Err("it does not know the token".to_owned()),
        }
        wire.send_line(String::from_utf8(request).map_err(|error| error.to_string())?).map_err(lost)?;
        match next(&mut lines, PATIENCE)? {
            FromAgent::Accepted => {}
            FromAgent::Refused(why) => return Err(why),
            _ => return Err("it says something out of order".to_owned()),
        }
        Ok(Reached { name: name.to_owned(), workers: first..first + self.workers, wire, lines })
    }

    fn request(&self, first: u32) -> Result<Vec<u8>, String> {
        let request = Request {
            lariat: VERSION.to_owned(),
            arguments: Cow::Borrowed(&self.arguments),
            files: Cow::Borrowed(&self.files),
            first,
            workers: self.workers,
            parts: self.workers * self.agents.len() as u32,
        };
        let request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        if request.len() as u64 > LONG_LINE {
            let (length, longest) = (bytes(request.len() as f64), bytes(LONG_LINE as f64));
            return Err(format!("the options and files of this run take {length}, and may take {longest}"));
        }
        Ok(request)
    }
}

/// Receives a message, for which an agent may take so long.
fn next(lines: &mut Lines, patience: Duration) -> Result<FromAgent, String> {
    lines.hurry(patience);
    lines.next(FIRST_LINE)
}

fn lost(error: std::io::Error) -> String {
    format!("the connection is broken: {error}")
}

fn connect(name: &str) -> Result<Wire, String> {
    let addresses = name.to_socket_addrs().map_err(|error| {
        format!("this is no address ({error}): write the one of its `lariat load --agent`, like 10.0.0.5:7000")
    })?;
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, SILENCE / 2).and_then(Wire::new) {
            Ok(wire) => return Ok(wire),
            Err(error) => last = format!("cannot connect: {error}. Does `lariat load --agent` run there?"),
        }
    }
    Err(last)
}

/// An agent that has accepted.
struct Reached {
    name: String,
    workers: Range<u32>,
    wire: Arc<Wire>,
    lines: Lines,
}

/// Says once in a second that the controller is there, until what this returns is dropped.
fn beat(wire: Arc<Wire>) -> Result<Sender<()>, Failure> {
    let (sender, ended) = channel();
    thread("beat", move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) && wire.send(&ToAgent::Alive).is_ok() {}
    })?;
    Ok(sender)
}

/// An agent while the run goes on. The connection ends when this is dropped, and with it the
/// agent's workers.
struct Led {
    name: String,
    wire: Arc<Wire>,
    _beats: Sender<()>,
}

impl Drop for Led {
    fn drop(&mut self) {
        self.wire.end();
    }
}

/// A worker of an agent.
struct RemoteWorker {
    part: u32,
    led: Arc<Led>,
}

impl Link for RemoteWorker {
    fn go(&mut self) {
        // If this fails, the agent is lost, and its reader says so.
        let _ = self.led.wire.send(&ToAgent::Go(self.part));
    }

    fn interrupt(&mut self) {
        let _ = self.led.wire.send(&ToAgent::Interrupt(self.part));
    }

    fn ended(&mut self) -> String {
        format!("agent {}: no reason is known", self.led.name)
    }
}

/// Hears what an agent says while the run goes on.
struct Reader {
    name: String,
    workers: Range<u32>,
    wire: Arc<Wire>,
    sender: Sender<Heard>,
    log: Log,
}

impl Reader {
    /// Reads until all workers have ended, or the agent is lost.
    fn read(self, mut lines: Lines) {
        lines.stay();
        let mut running: BTreeSet<u32> = self.workers.clone().collect();
        while !running.is_empty() {
            let why = match lines.next(LONG_LINE) {
                Ok(message) => match self.hear(message, &mut running) {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                Err(why) => why,
            };
            running.iter().for_each(|part| self.failed(*part, &why));
            break;
        }
        self.wire.end();
    }

    fn hear(&self, message: FromAgent, running: &mut BTreeSet<u32>) -> Result<(), String> {
        match message {
            FromAgent::Part(part, message) if running.contains(&part) => match *message {
                FromWorker::Failed(why) => self.failed(part, &why),
                message => self.tell(part, message),
            },
            FromAgent::Ended(part, how) if running.remove(&part) => self.failed(part, &how),
            FromAgent::Log(line) => {
                let line = line.strip_prefix("lariat: ").unwrap_or(&line);
                self.log.say(&format!("lariat: agent {}: {line}\n", self.name));
            }
            FromAgent::Alive => {}
            FromAgent::Refused(why) => return Err(why),
            _ => return Err("it says something out of order".to_owned()),
        }
        Ok(())
    }

    /// Says how a worker has ended. This counts only if it has sent no report.
    fn failed(&self, part: u32, how: &str) {
        self.tell(part, FromWorker::Failed(format!("agent {}: {how}", self.name)));
    }

    fn tell(&self, part: u32, message: FromWorker) {
        // The receiver has gone if the run has failed.
        let _ = self.sender.send((part as usize, Some(message)));
    }
}
