//! The handler of `/learn/class`: learners join, and the teacher sees and steps them.

use super::messages::{FromPage, Said, ToPage};
use super::roll::{MOST_LEARNERS, Roll, is_key, is_word, name};
use crate::site::local::is_local;
#[cfg(unix)]
use lariat::RestoreError;
use lariat::observe::Pace;
use lariat::{Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, TimerId, Upgrade};
use std::collections::BTreeMap;
use std::time::Duration;

/// The path of the class, and of the teacher's page.
pub(in crate::site) const PATH: &str = "/learn/class";

/// The most pages of teachers.
const MOST_TEACHERS: usize = 4;

/// The longest message of a page.
const LONGEST_MESSAGE: usize = 512;

/// The most messages of a learner's page.
const MOST_MESSAGES: u32 = 2_000;

/// A teacher's page for which more bytes wait is closed. It comes back and gets everything again.
const TOO_MUCH: usize = 1 << 20;

/// While the loop is held, learners learn within this time that another page lets it go.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A page of a learner, before it joins and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// The messages that it has sent.
    pub(super) messages: u32,
}

/// The handler of the class.
#[derive(Debug, Default)]
pub struct Class {
    /// Whether there is a class.
    pub(super) is_on: bool,
    /// The client that is about to open, and whether it teaches.
    pub(super) opening: Option<(ClientId, bool)>,
    pub(super) pages: BTreeMap<ClientId, Page>,
    pub(super) teachers: Vec<ClientId>,
    pub(super) roll: Roll,
    /// How often the held loop has turned. `None`: it is not held by a teacher.
    pub(super) held: Option<u32>,
    pub(super) look: Option<TimerId>,
}

impl Class {
    /// Returns a class. Unless it `is_on`, nobody can join.
    pub fn new(is_on: bool) -> Class {
        Class { is_on, ..Class::default() }
    }

    fn refuse(clients: &mut Clients<()>, id: ClientId, why: &str) {
        let _ = clients.close(id, CloseCode::Policy, why);
    }

    fn tell_teachers(&self, clients: &mut Clients<()>, message: &ToPage<'_>) {
        let message = message.to_json();
        for teacher in &self.teachers {
            if clients.buffered_amount(*teacher) > TOO_MUCH {
                let _ = clients.close(*teacher, CloseCode::Again, "behind");
            } else {
                let _ = clients.send(*teacher, &message);
            }
        }
    }

    fn tell_of(&self, clients: &mut Clients<()>, number: u64) {
        if let Some(person) = self.roll.person(number) {
            self.tell_teachers(clients, &ToPage::Learner(person));
        }
    }

    fn pace(&self) -> ToPage<'static> {
        ToPage::Pace { held: self.held.is_some(), steps: self.held.unwrap_or_default() }
    }

    /// Tells everybody whether the loop is held. This turn still writes it.
    fn tell_pace(&self, clients: &mut Clients<()>) {
        let message = self.pace().to_json();
        for id in self.pages.keys().chain(&self.teachers) {
            let _ = clients.send(*id, &message);
        }
    }

    fn hold(&mut self, clients: &mut Clients<()>, teacher: ClientId) {
        clients.exempt(teacher);
        clients.set_pace(Pace::Held);
        if clients.pace() != Pace::Held {
            // Nobody watches turns: the teacher's page is not connected with `/loop`.
            return self.tell_pace(clients);
        }
        self.held = Some(0);
        self.look = self.look.or_else(|| Some(clients.set_interval(LOOK_PERIOD, 0)));
        self.tell_pace(clients);
    }

    fn step(&mut self, clients: &mut Clients<()>) {
        if clients.pace() == Pace::Held {
            self.held = Some(self.held.map_or(1, |steps| steps.saturating_add(1)));
            self.tell_pace(clients);
            clients.step();
        }
    }

    fn free(&mut self, clients: &mut Clients<()>) {
        clients.set_pace(Pace::Free);
        self.let_go(clients);
    }

    /// The loop is not held any more.
    fn let_go(&mut self, clients: &mut Clients<()>) {
        if let Some(look) = self.look.take() {
            clients.cancel_timer(look);
        }
        self.held = None;
        self.tell_pace(clients);
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, name: String, key: String, lesson: String) {
        // A page is one learner.
        let other = self.roll.of_page(id).and_then(|number| self.roll.learners.get(&number));
        if other.is_some_and(|other| other.key != key) {
            return Class::refuse(clients, id, "not understood");
        }
        let Some(joined) = self.roll.join(id, key, name, lesson) else {
            let _ = clients.close(id, CloseCode::Again, "full");
            return;
        };
        if let Some(before) = joined.before {
            let _ = clients.close(before, CloseCode::Normal, "elsewhere");
        }
        if let Some(forgotten) = joined.forgotten {
            self.tell_teachers(clients, &ToPage::Forgotten(forgotten));
        }
        let _ = clients.send(id, &ToPage::Number(joined.number).to_json());
        self.tell_of(clients, joined.number);
    }

    fn note(&mut self, clients: &mut Clients<()>, id: ClientId, said: &Said, is_result: bool) {
        let Some(number) = self.roll.of_page(id) else { return Class::refuse(clients, id, "not understood") };
        if ![&said.lesson, &said.question, &said.choice].iter().all(|word| is_word(word)) {
            return Class::refuse(clients, id, "not understood");
        }
        if !self.roll.note(number, said, is_result) {
            return;
        }
        if let Some(answer) = self.roll.answered(number, &said.lesson, &said.question) {
            self.tell_teachers(clients, &ToPage::Answer(answer));
        }
    }

    fn hear_learner(&mut self, clients: &mut Clients<()>, id: ClientId, message: FromPage) {
        match message {
            FromPage::Join { name: text, key, lesson } => match name(&text) {
                Some(name) if is_key(&key) && is_word(&lesson) => self.join(clients, id, name, key, lesson),
                _ => Class::refuse(clients, id, "not understood"),
            },
            FromPage::Expect(said) => self.note(clients, id, &said, false),
            FromPage::Saw(said) => self.note(clients, id, &said, true),
            FromPage::Hold | FromPage::Step | FromPage::Free => Class::refuse(clients, id, "not here"),
        }
    }

    fn hear_teacher(&mut self, clients: &mut Clients<()>, id: ClientId, message: &FromPage) {
        match message {
            FromPage::Hold => self.hold(clients, id),
            FromPage::Step => self.step(clients),
            FromPage::Free => self.free(clients),
            FromPage::Join { .. } | FromPage::Expect(_) | FromPage::Saw(_) => {
                Class::refuse(clients, id, "not understood");
            }
        }
    }
}

impl Handler for Class {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        let wants_to_teach = request.query_value("teach").is_some();
        let is_admitted = self.is_on && (!wants_to_teach || is_local(clients, id, request));
        self.opening = is_admitted.then_some((id, wants_to_teach));
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        match self.opening.take() {
            Some((opening, true)) if opening == id && self.teachers.len() < MOST_TEACHERS => {
                self.teachers.push(id);
                let everybody = ToPage::Class { learners: self.roll.everybody(), most: MOST_LEARNERS };
                let _ = clients.send(id, &everybody.to_json());
            }
            // As many again may have a page that has not joined.
            Some((opening, false)) if opening == id && self.pages.len() < 2 * MOST_LEARNERS => {
                self.pages.insert(id, Page::default());
            }
            Some((opening, _)) if opening == id => {
                let _ = clients.close(id, CloseCode::Again, "full");
                return;
            }
            _ => return Class::refuse(clients, id, "not here"),
        }
        let _ = clients.send(id, &self.pace().to_json());
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let text = message.as_text().filter(|text| text.len() <= LONGEST_MESSAGE);
        let Some(asked) = text.and_then(|text| serde_json::from_str(text).ok()) else {
            return Class::refuse(clients, id, "not understood");
        };
        if self.teachers.contains(&id) {
            return self.hear_teacher(clients, id, &asked);
        }
        let Some(page) = self.pages.get_mut(&id) else { return };
        page.messages += 1;
        if page.messages > MOST_MESSAGES {
            return Class::refuse(clients, id, "too much");
        }
        self.hear_learner(clients, id, asked);
    }

    /// Another page may have let the loop go, or the last one that held it has gone.
    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        if clients.pace() != Pace::Held {
            self.let_go(clients);
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, clients: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)?;
        // The loop of this process goes on freely.
        self.let_go(clients);
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        if let Some(place) = self.teachers.iter().position(|teacher| *teacher == id) {
            self.teachers.remove(place);
            if self.teachers.is_empty() && self.held.is_some() {
                self.free(clients);
            }
        }
        self.pages.remove(&id);
        if let Some(number) = self.roll.of_page(id) {
            if let Some(learner) = self.roll.learners.get_mut(&number) {
                learner.page = None;
            }
            self.tell_of(clients, number);
        }
    }
}
