//! A client for the Autobahn test suite: echoes every message of its fuzzing server, case by case.
//!
//! ```text
//! wstest -m fuzzingserver -s spec.json
//! cargo run --release --example autobahn -- ws://127.0.0.1:9001
//! ```
//!
//! Two optional arguments set the compression that it offers: the window in bits, and `contexts`
//! for context takeover.

use lariat::{ClientId, Clients, CloseReason, Config, ConnectOptions, Drain, Handler, Message, Server, Takeover};

/// The current step of the suite.
enum Step {
    Counting,
    Case(u32),
    Reporting,
}

struct Testee {
    url: String,
    step: Step,
    count: u32,
}

impl Testee {
    fn connect(&self, clients: &mut Clients<()>) {
        let target = match self.step {
            Step::Counting => "getCaseCount".to_owned(),
            Step::Case(case) => format!("runCase?case={case}&agent=lariat-client"),
            Step::Reporting => "updateReports?agent=lariat-client".to_owned(),
        };
        if let Err(error) = clients.connect(&format!("{}/{target}", self.url), &ConnectOptions::new()) {
            eprintln!("{}: {error}", self.url);
            clients.shutdown(Drain::default());
        }
    }
}

impl Handler for Testee {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        self.connect(clients);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match (&self.step, message.as_text()) {
            (Step::Counting, Some(text)) => self.count = text.parse().unwrap_or(0),
            (Step::Case(_), _) => {
                // An error says that the connection is closing. `on_close` then starts the next
                // case.
                let _ = clients.send(id, message);
            }
            (Step::Counting | Step::Reporting, _) => {}
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.step = match self.step {
            Step::Counting if self.count == 0 => {
                eprintln!("no cases: {reason}");
                return clients.shutdown(Drain::default());
            }
            Step::Counting => Step::Case(1),
            Step::Case(case) if case < self.count => Step::Case(case + 1),
            Step::Case(_) => Step::Reporting,
            Step::Reporting => {
                println!("{} cases", self.count);
                return clients.shutdown(Drain::default());
            }
        };
        self.connect(clients);
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let mut config = Config::default();
    if let Some(deflate) = &mut config.deflate {
        deflate.max_window_bits = arguments.next().map_or(15, |bits| bits.parse().expect("bits of a window"));
        if arguments.next().is_some_and(|word| word == "contexts") {
            deflate.context_takeover = Takeover::Both;
        }
    }
    config.limits.max_message = 16 << 20;
    config.limits.max_unsent = 20 << 20;
    Server::new(config)?.run(Testee { url, step: Step::Counting, count: 0 })
}
