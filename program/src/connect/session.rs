//! What happens at each event of the connection.

use super::ending::{Past, judge};
use super::input::{self, FromInput};
use super::late::{Item, Late};
use super::options::{Farewell, Options};
use super::output::{FromOutput, Output};
use super::shown::Form;
use super::steps::{ANSWER, PATIENCE, WAIT, Watched};
use crate::load::Problem;
use crate::terminal::Log;
use lariat::{ClientId, Clients, CloseReason, Drain, Event, Handler, Message, TimerId, Trace};
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What the options ask for during a session.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) binary: bool,
    pub(super) one: bool,
    pub(super) no_close: bool,
    pub(super) wait: Option<Duration>,
    /// Compression is offered.
    pub(super) deflate: bool,
    pub(super) farewell: Farewell,
    pub(super) timeout: Duration,
    /// The longest line.
    pub(super) most: usize,
    /// Notes are written.
    pub(super) notes: bool,
    /// Pings, pongs and the subprotocol are noted.
    pub(super) verbose: bool,
    /// Standard input is a terminal: somebody has to type first.
    pub(super) is_typed: bool,
    pub(super) form: Form,
}

impl Asked {
    pub(super) fn new(options: &Options) -> Asked {
        let farewell = Farewell { code: lariat::CloseCode::Normal, reason: String::new() };
        Asked {
            url: options.url.clone(),
            binary: options.binary,
            one: options.one,
            no_close: options.no_close,
            wait: options.wait,
            deflate: options.request.deflate,
            farewell: options.close.clone().unwrap_or(farewell),
            timeout: options.timeout,
            most: options.max_message,
            notes: !options.quiet && (options.verbose || io::stderr().is_terminal()),
            verbose: options.verbose,
            is_typed: io::stdin().is_terminal(),
            form: Form { is_terminal: io::stdout().is_terminal(), is_raw: options.binary },
        }
    }
}

/// One connection, from its beginning to its end.
pub(super) struct Session {
    pub(super) asked: Asked,
    pub(super) log: Log,
    pub(super) output: Output,
    /// The connection, once it is open.
    pub(super) id: Option<ClientId>,
    pub(super) past: Past,
    /// Permits the thread of standard input to read on.
    pub(super) permit: Option<Sender<()>>,
    /// The thread waits until the server has read.
    pub(super) owes_permit: bool,
    /// The lines that were sent.
    pub(super) lines: u64,
    /// Messages that were received.
    pub(super) received: u64,
    /// The ping behind the last line has been sent, and the server is watched.
    pub(super) ending: Option<Watched>,
    /// Ends the wait for a message.
    pub(super) answer_timer: Option<TimerId>,
    /// What comes after our Close.
    late: Late,
    /// Nothing more is to be written, or can be.
    pub(super) is_written: bool,
    is_closed: bool,
    /// How it ended.
    pub(super) outcome: Result<(), String>,
}

impl Session {
    pub(super) fn new(asked: Asked, log: Log, output: Output) -> Session {
        Session {
            asked,
            log,
            output,
            id: None,
            past: Past::default(),
            permit: None,
            owes_permit: false,
            lines: 0,
            received: 0,
            ending: None,
            answer_timer: None,
            late: Late::default(),
            is_written: false,
            is_closed: false,
            outcome: Ok(()),
        }
    }

    /// Writes a note, unless they are turned off.
    pub(super) fn note(&self, sentence: &str) {
        if self.asked.notes {
            self.log.say(&format!("lariat: {sentence}\n"));
        }
    }

    /// Writes a note that only --verbose asks for.
    fn detail(&self, sentence: impl FnOnce() -> String) {
        if self.asked.verbose {
            self.note(&sentence());
        }
    }

    /// Notes why the command fails. The first reason counts.
    pub(super) fn fail(&mut self, sentence: String) {
        if self.outcome.is_ok() {
            self.outcome = Err(sentence);
        }
    }

    /// Whether --one has what it wants.
    pub(super) const fn has_its_message(&self) -> bool {
        self.asked.one && self.received > 0
    }

    /// Writes a message to standard output. Pauses the connection if its reader is slow.
    fn received(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        if self.has_its_message() {
            return;
        }
        self.received += 1;
        let bytes = self.asked.form.bytes(message);
        // After our Close, the connection cannot be paused.
        if !self.is_written && self.output.write(bytes) && !clients.pause(id) && self.output.is_too_slow() {
            self.fail("standard output is too slow for what the server sends after our Close".to_owned());
            clients.terminate(id);
        }
        if self.asked.one {
            self.close(clients);
        }
    }

    /// Ends the loop, once the connection has ended and everything has been written.
    fn end_if_done(&self, clients: &mut Clients<()>) {
        if self.is_closed && self.is_written {
            clients.shutdown(Drain::default());
        }
    }

    fn opened(&self, clients: &Clients<()>, id: ClientId) {
        let subprotocol = match clients.subprotocol(id) {
            Some(name) => format!(", subprotocol {name}"),
            None if self.asked.verbose => ", no subprotocol".to_owned(),
            None => String::new(),
        };
        self.note(&format!("connected to {}{subprotocol}", self.asked.url));
    }
}

impl Handler for Session {
    type Data = ();

    fn on_connect(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.past.is_connected = true;
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        (self.id, self.past.is_open) = (Some(id), true);
        self.opened(clients, id);
        // The session always reads, or both sides could wait for each other.
        clients.read_above_high_water(id);
        match input::start(clients.remote(), self.asked.most) {
            Ok(permit) => self.permit = Some(permit),
            Err(error) => self.give_up(clients, format!("cannot start a thread: {error}")),
        }
        if !self.asked.is_typed {
            self.expect_answer(clients);
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.received(clients, id, message);
    }

    fn on_ping(&mut self, _: &mut Clients<()>, _: ClientId, payload: &[u8]) {
        self.detail(|| format!("received a ping of {} bytes, and answered it", payload.len()));
    }

    fn on_pong(&mut self, clients: &mut Clients<()>, _: ClientId, payload: &[u8]) {
        self.detail(|| format!("received a pong of {} bytes", payload.len()));
        self.ponged(clients, payload);
    }

    fn on_drain(&mut self, _: &mut Clients<()>, _: ClientId) {
        if std::mem::take(&mut self.owes_permit) {
            self.read_on();
        }
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        let event = match event.downcast::<FromInput>() {
            Ok(FromInput::Lines(batch)) => return self.send(clients, &batch),
            Ok(FromInput::End) => return self.input_ended(clients),
            Ok(FromInput::Failed(why)) => return self.give_up(clients, why),
            Err(event) => event,
        };
        match event.downcast::<FromOutput>() {
            Ok(FromOutput::Ready) => drop(self.id.map(|id| clients.resume(id))),
            Ok(FromOutput::Done(outcome)) => {
                self.is_written = true;
                match outcome {
                    Ok(()) => {}
                    // The reader has what it wanted.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.close(clients),
                    Err(error) => self.give_up(clients, format!("cannot write to standard output: {error}")),
                }
                self.end_if_done(clients);
            }
            Err(event) => event.log_unhandled(clients),
        }
    }

    fn on_client_timer(&mut self, clients: &mut Clients<()>, id: ClientId, _: TimerId, token: u64) {
        match token {
            ANSWER => self.unanswered(clients),
            PATIENCE => self.watched(clients, id),
            WAIT => self.ask_whether_read(clients),
            _ => {}
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        match self.late.step(trace) {
            Some(Item::Text(text)) => self.received(clients, id, Message::Text(&text)),
            Some(Item::Binary(bytes)) => self.received(clients, id, Message::Binary(&bytes)),
            Some(Item::Close(code)) => {
                self.past.late_code = Some(code);
                self.detail(|| Problem::Closed(code).explanation());
            }
            None => {}
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.past.is_stopped = clients.is_shutting_down();
        match judge(reason, self.past) {
            Ok(sentence) => self.note(&sentence),
            Err(sentence) if self.has_its_message() || self.is_written => self.note(&sentence),
            Err(sentence) => self.fail(sentence),
        }
        if self.asked.one && self.received == 0 && !self.is_written {
            let who = if self.past.is_stopped { "a signal came" } else { "the server closed" };
            self.fail(format!("{who} before there was a message"));
        }
        self.is_closed = true;
        self.permit = None;
        self.output.end();
        self.end_if_done(clients);
    }
}
