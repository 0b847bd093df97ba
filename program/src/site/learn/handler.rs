//! The handler of `/learn`: runs the experiments of pages, and sends them the reports.

use super::messages::{FromPage, Refusal, ToPage, milliseconds};
use crate::clock::Clock;
use crate::lab::{Experiment, Lab, MOST_BYTES, MOST_RUNNING, Report, Seen};
use crate::site::traced::{LastFrame, hex};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::{
    Answer, Cause, ClientId, Clients, CloseCode, CloseReason, Event, Handler, Message, ReadyState, Request, Trace,
    Upgrade,
};
#[cfg(unix)]
use std::collections::BTreeSet;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

/// The path of the lessons.
pub(in crate::site) const PATH: &str = "/learn";

/// The path of the echo with which most experiments talk: pages learn why its connections end.
pub(in crate::site) const ECHO: &str = "/learn/echo";

/// The most experiments of a page at a time.
const MOST_OF_PAGE: usize = 4;

/// The longest message of a page: what an experiment sends, in digits, and the rest of its steps.
const LONGEST_MESSAGE: usize = 2 * MOST_BYTES + (64 << 10);

/// While more bytes than this wait for a page, it gets no reports, only their number afterwards.
const TOO_MUCH: usize = 1 << 20;

/// A page.
#[derive(Default)]
pub(super) struct Page {
    /// Its experiments, by the numbers that it gave them, and the server's end of each.
    pub(super) running: BTreeMap<u32, ClientId>,
    /// The reports that it did not get.
    pub(super) missed: u32,
}

/// An experiment, by the server's end of its connection.
struct Running {
    page: ClientId,
    on: u32,
    clock: Clock,
    last: LastFrame,
    /// Whether `on_close` is still to come.
    is_open: bool,
    /// When and how the experiment's end has ended.
    ended: Option<(u64, &'static str)>,
    /// Whether the server's end has ended.
    is_gone: bool,
}

/// The handler of `/learn`: runs experiments for pages, and echoes at `/learn/echo`.
#[derive(Default)]
pub struct Learn {
    /// The thread that runs experiments. The first one starts it.
    lab: Option<Lab>,
    pub(super) pages: HashMap<ClientId, Page>,
    running: HashMap<ClientId, Running>,
    /// The client that is about to open, and whether it is a page.
    pub(super) opening: Option<(ClientId, bool)>,
    /// The experiments that have ended with the process before this one, of pages that do not know
    /// it yet.
    #[cfg(unix)]
    pub(super) left_behind: HashMap<ClientId, BTreeSet<u32>>,
}

impl Learn {
    /// Sends a report, unless too much waits for the page. A page always learns that an experiment
    /// is over.
    fn send(&mut self, clients: &mut Clients<()>, to: ClientId, message: &ToPage) {
        let Some(page) = self.pages.get_mut(&to) else { return };
        let is_last = matches!(message, ToPage::Ended { .. } | ToPage::Refused { .. });
        if !is_last && clients.buffered_amount(to) > TOO_MUCH {
            page.missed += 1;
            return;
        }
        let missed = std::mem::take(&mut page.missed);
        for message in [&ToPage::Missed(missed), message].into_iter().skip(usize::from(missed == 0)) {
            let _ = clients.send(to, &serde_json::to_string(message).unwrap_or_default());
        }
    }

    fn run(&mut self, clients: &mut Clients<()>, page: ClientId, asked: FromPage) {
        let FromPage::Run { on, steps, within } = asked;
        let steps = steps.into_iter().map(Into::into).collect();
        let begun = Experiment::new(steps, Duration::from_millis(within.into()))
            .map_err(Refusal::from)
            .and_then(|experiment| self.begin(clients, page, on, experiment));
        if let Err(why) = begun {
            self.send(clients, page, &ToPage::Refused { on, why });
        }
    }

    fn begin(
        &mut self,
        clients: &mut Clients<()>,
        page: ClientId,
        on: u32,
        experiment: Experiment,
    ) -> Result<(), Refusal> {
        let of_page = self.pages.get(&page).map(|page| &page.running).ok_or(Refusal::Failed)?;
        if of_page.contains_key(&on) {
            return Err(Refusal::Twice);
        }
        if of_page.len() >= MOST_OF_PAGE {
            return Err(Refusal::Busy);
        }
        if self.running.len() >= MOST_RUNNING {
            return Err(Refusal::Full);
        }
        let clock = Clock::start();
        let client = self.connect(clients, experiment, clock).map_err(|error| {
            log::warn!("an experiment of a lesson cannot be run: {error}");
            Refusal::Failed
        })?;
        let last = LastFrame::default();
        self.running.insert(client, Running { page, on, clock, last, is_open: false, ended: None, is_gone: false });
        if let Some(page) = self.pages.get_mut(&page) {
            page.running.insert(on, client);
        }
        Ok(())
    }

    /// Makes the connection of an experiment, and begins it. Returns the server's end.
    fn connect(&mut self, clients: &mut Clients<()>, experiment: Experiment, clock: Clock) -> io::Result<ClientId> {
        let lab = match &self.lab {
            Some(lab) => lab,
            None => self.lab.insert(Lab::start(clients.remote())?),
        };
        let (own, servers) = Lab::connection()?;
        let client = clients.adopt(servers)?;
        clients.trace(client);
        let begun = lab.run(client, own, experiment, clock);
        if begun.is_err() {
            // The thread has ended, and all experiments with it. The next one starts another.
            self.lab = None;
            for client in self.running.keys().copied().collect::<Vec<_>>() {
                self.note_end(clients, client, clock.nanos(), "failed");
            }
        }
        begun.map(|()| client)
    }

    /// Tells a page what has happened at the experiment's end.
    fn report(&mut self, clients: &mut Clients<()>, report: Report) {
        let Report { client, nanos, seen } = report;
        let Some(Running { page, on, .. }) = self.running.get(&client) else { return };
        let (page, on, at) = (*page, *on, milliseconds(nanos));
        let message = match seen {
            Seen::Did(step) => ToPage::Did { on, at, step },
            Seen::Failed(step) => ToPage::Failed { on, at, step },
            Seen::Got(bytes) => ToPage::Got { on, at, hex: hex(&bytes) },
            Seen::Fin => ToPage::Fin { on, at },
            Seen::Ended(end) => return self.note_end(clients, client, nanos, end.name()),
        };
        self.send(clients, page, &message);
    }

    /// The experiment's end has ended.
    fn note_end(&mut self, clients: &mut Clients<()>, client: ClientId, nanos: u64, how: &'static str) {
        if let Some(running) = self.running.get_mut(&client) {
            running.ended = Some((nanos, how));
            running.is_gone |= clients.ready_state(client) == ReadyState::Closed;
            self.end(clients, client);
        }
    }

    /// Ends an experiment if both ends of its connection have ended.
    fn end(&mut self, clients: &mut Clients<()>, client: ClientId) {
        let Some(Running { page, on, ended: Some((nanos, how)), is_gone: true, is_open: false, .. }) =
            self.running.get(&client)
        else {
            return;
        };
        let (page, on, at, how) = (*page, *on, milliseconds(*nanos), *how);
        self.running.remove(&client);
        if let Some(page) = self.pages.get_mut(&page) {
            page.running.remove(&on);
        }
        self.send(clients, page, &ToPage::Ended { on, at, how });
    }
}

impl Handler for Learn {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        self.opening = Some((id, request.path() == PATH));
        Answer::Upgrade(Upgrade::new())
    }

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        if self.opening.take() == Some((id, true)) {
            self.pages.insert(id, Page::default());
        } else if let Some(running) = self.running.get_mut(&id) {
            running.is_open = true;
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        if !self.pages.contains_key(&id) {
            let _ = clients.send(id, message);
            return;
        }
        let text = message.as_text().filter(|text| text.len() <= LONGEST_MESSAGE);
        match text.and_then(|text| serde_json::from_str(text).ok()) {
            Some(asked) => self.run(clients, id, asked),
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        match event.downcast() {
            Ok(report) => self.report(clients, report),
            Err(unknown) => unknown.log_unhandled(clients),
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        let Some(running) = self.running.get_mut(&id) else {
            clients.untrace(id);
            return;
        };
        let (page, at) = (running.page, milliseconds(running.clock.nanos()));
        let step = running.last.step(running.on, trace);
        running.is_gone |= matches!(trace, Trace::State { to, .. } if to.ready_state() == ReadyState::Closed);
        if let Some(step) = step {
            self.send(clients, page, &ToPage::Trace { at, step });
        }
        self.end(clients, id);
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)
    }

    /// A page learns that its experiments are over.
    #[cfg(unix)]
    fn restore_client(&mut self, clients: &mut Clients<()>, id: ClientId, _: &[u8]) -> Result<(), RestoreError> {
        for on in self.left_behind.remove(&id).unwrap_or_default() {
            self.send(clients, id, &ToPage::Ended { on, at: 0.0, how: "moved" });
        }
        Ok(())
    }

    /// The experiments of a page end with it.
    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        if let Some(page) = self.pages.remove(&id) {
            for client in page.running.into_values() {
                clients.terminate(client);
            }
        }
        let Some(running) = self.running.get_mut(&id) else { return };
        running.is_open = false;
        running.is_gone = true;
        let Cause { reason: kind, detail, .. } = Cause::from(reason);
        let (page, on, at) = (running.page, running.on, milliseconds(running.clock.nanos()));
        let (code, text) = (reason.code().into(), reason.to_string());
        self.send(clients, page, &ToPage::Closed { on, at, reason: kind, detail, code, text });
        self.end(clients, id);
    }
}
