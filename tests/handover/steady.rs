//! A server with clients that notice everything.

use crate::common::{Folder, Wire, text, until};
use crate::kit::{Running, serve, try_taking_over};
use lariat::{ClientId, Clients, Config, Handler, Message, RestoreError, TimerId};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two ticks.
const PERIOD: Duration = Duration::from_millis(10);

/// What a handler does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    SavesNothing,
    PanicsInSave,
    SavesNoClient,
    PanicsInSaveClient,
    CannotRestore,
    PanicsInRestore,
    CannotRestoreClient,
    PanicsInRestoreClient,
}

/// What the handlers of a test do wrong at the moment, and how many ticks they have counted.
#[derive(Default)]
pub struct Control {
    pub fault: Mutex<Option<Fault>>,
    ticks: AtomicU32,
}

/// Counts the messages of each client and of all, and ticks.
#[derive(Default)]
pub struct App {
    all: u32,
    ticks: u32,
    control: Arc<Control>,
}

impl App {
    pub fn with(control: &Arc<Control>) -> App {
        App { control: Arc::clone(control), ..App::default() }
    }

    fn fault(&self) -> Option<Fault> {
        *self.control.fault.lock().expect("no panic")
    }
}

impl Handler for App {
    type Data = u32;

    fn on_start(&mut self, clients: &mut Clients<u32>) {
        clients.set_interval(PERIOD, 0);
    }

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        clients.subscribe(id, "all");
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        self.all += 1;
        let Some(count) = clients.data_mut(id) else { return };
        *count += 1;
        let said = message.as_text().expect("text");
        let answer = format!("{said} {count}");
        if said.starts_with("all") {
            clients.publish("all", &answer);
        } else {
            let _ = clients.send(id, &answer);
        }
    }

    fn on_timer(&mut self, _: &mut Clients<u32>, _: TimerId, _: u64) {
        self.ticks += 1;
        self.control.ticks.store(self.ticks, Ordering::Relaxed);
    }

    fn save(&mut self, _: &mut Clients<u32>) -> Option<Vec<u8>> {
        match self.fault() {
            Some(Fault::SavesNothing) => None,
            Some(Fault::PanicsInSave) => panic!("it is meant to"),
            _ => Some([self.all.to_be_bytes(), self.ticks.to_be_bytes()].concat()),
        }
    }

    fn save_client(&mut self, clients: &mut Clients<u32>, id: ClientId) -> Option<Vec<u8>> {
        match self.fault() {
            Some(Fault::SavesNoClient) => None,
            Some(Fault::PanicsInSaveClient) => panic!("it is meant to"),
            _ => Some(clients.data(id)?.to_be_bytes().to_vec()),
        }
    }

    fn restore(&mut self, _: &mut Clients<u32>, saved: &[u8]) -> Result<(), RestoreError> {
        match self.fault() {
            Some(Fault::CannotRestore) => return Err("it is meant to".into()),
            Some(Fault::PanicsInRestore) => panic!("it is meant to"),
            _ => {}
        }
        let (all, ticks) = saved.split_at_checked(4).ok_or("too short")?;
        (self.all, self.ticks) = (u32::from_be_bytes(all.try_into()?), u32::from_be_bytes(ticks.try_into()?));
        Ok(())
    }

    fn restore_client(&mut self, clients: &mut Clients<u32>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        match self.fault() {
            Some(Fault::CannotRestoreClient) => return Err("it is meant to".into()),
            Some(Fault::PanicsInRestoreClient) => panic!("it is meant to"),
            _ => {}
        }
        *clients.data_mut(id).ok_or("no client")? = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }
}

/// A client that knows what it will hear.
struct Client {
    wire: Wire,
    sent: u32,
    expected: VecDeque<String>,
}

impl Client {
    fn say(&mut self, words: &str) {
        self.wire.send(&text(words));
        self.counts(words);
    }

    fn counts(&mut self, words: &str) {
        self.sent += 1;
        self.expected.push_back(format!("{words} {}", self.sent));
    }

    #[track_caller]
    fn hear(&mut self) {
        while let Some(expected) = self.expected.pop_front() {
            self.wire.expect_text(&expected);
        }
    }
}

/// A server with a client that talks, one that is always in the middle of a frame, and one that is
/// silent. All are members of a topic.
pub struct Steady {
    pub folder: Folder,
    pub path: PathBuf,
    pub control: Arc<Control>,
    server: Option<Running<App>>,
    talker: Client,
    halfway: Client,
    silent: Client,
    begun: Instant,
}

const HALFWAY: &str = "the second half comes later";

impl Steady {
    pub fn new() -> Steady {
        let folder = Folder::new();
        let path = folder.path("handover");
        let (control, begun) = (Arc::<Control>::default(), Instant::now());
        let made = Arc::clone(&control);
        let server = serve(&path, move || App::with(&made));
        let client = || Client { wire: Wire::open(server.addr), sent: 0, expected: VecDeque::new() };
        let (talker, mut halfway, silent) = (client(), client(), client());
        halfway.wire.send(&text(HALFWAY)[..10]);
        let mut steady = Steady { folder, path, control, server: Some(server), talker, halfway, silent, begun };
        steady.check();
        steady
    }

    pub fn server(&self) -> &Running<App> {
        self.server.as_ref().expect("it runs")
    }

    /// Sends what must be answered later, once and in order.
    pub fn talk(&mut self) {
        for words in ["a", "b", "c"] {
            self.talker.say(words);
        }
    }

    fn ticks(&self) -> u32 {
        self.control.ticks.load(Ordering::Relaxed)
    }

    /// Checks that everybody is served.
    #[track_caller]
    pub fn check(&mut self) {
        self.talk();
        self.talker.hear();
        self.halfway.wire.send(&text(HALFWAY)[10..]);
        self.halfway.counts(HALFWAY);
        self.halfway.hear();
        self.halfway.wire.send(&text(HALFWAY)[..10]);
        self.talker.wire.send(&text("all"));
        self.talker.sent += 1;
        let all = format!("all {}", self.talker.sent);
        for client in [&mut self.talker, &mut self.halfway, &mut self.silent] {
            client.wire.expect_text(&all);
        }
        let mut new = Wire::open(self.server().addr);
        new.send(&text("new"));
        new.expect_text("new 1");
        let before = self.ticks();
        until(|| self.ticks() > before);
        let most = self.begun.elapsed().as_millis() / PERIOD.as_millis();
        assert!(u128::from(self.ticks()) <= most + 1, "{} ticks in {most} periods", self.ticks());
    }

    /// Another server takes over as it should.
    #[track_caller]
    pub fn take_over(&mut self) {
        let mut server = None;
        // The old one may not know yet that the process before is gone.
        until(|| match try_taking_over(Config::default(), &self.path) {
            Ok(new) => {
                server = Some(new);
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("another process is about to take over"), "{error}");
                false
            }
        });
        let control = Arc::clone(&self.control);
        let server = server.expect("it may take over").listen("127.0.0.1:0").expect("the socket of the old one");
        let next = crate::kit::run(server, move || App::with(&control));
        let old = self.server.replace(next).expect("it ran");
        assert_eq!(old.addr, self.server().addr);
        assert!(old.handed_over() >= 3);
        self.check();
    }

    /// The server that runs.
    pub fn take_server(&mut self) -> Running<App> {
        self.server.take().expect("it ran")
    }

    /// A message of the client that talks, without the answer.
    pub fn last_word(&mut self) -> Vec<u8> {
        let word = text("last");
        self.talker.wire.send(&word);
        word
    }
}
