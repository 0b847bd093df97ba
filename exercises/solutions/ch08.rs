//! Chapter 8, one turn of the loop.
//!
//! The question of the chapter: the loop reads from all clients that are ready, and then it writes.
//! So all 50 get their echo after 5 seconds, the first one included.

use crate::ch08::{Job, Load, SHARE};
use lariat::{ClientId, Clients, Handler, Message, TimerId};
use std::collections::VecDeque;
use std::time::Duration;

/// The time between two turns with work.
const PAUSE: Duration = Duration::from_millis(1);

/// Exercise 1. One read for each client that has sent, one write for each that gets something. The
/// number of messages does not matter.
pub fn reads_and_writes(load: Load) -> (u64, u64) {
    let writes = if load.to_all && load.senders > 0 { load.clients } else { load.senders };
    (load.senders, right!(writes, not writes * load.messages))
}

/// Exercise 2. `send` says whether an id is that of a client.
#[derive(Debug, Default)]
pub struct Elders {
    ids: Vec<ClientId>,
}

impl Handler for Elders {
    type Data = ();

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        self.ids.push(id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.ids.retain(|id| right!(clients.data(*id).is_some(), not true));
        let oldest = self.ids.iter().find(|other| **other != id);
        if let Some(oldest) = oldest {
            let _ = clients.send(*oldest, message);
        }
    }
}

/// Exercise 3: a queue of jobs. The first one makes some steps, and goes to the back.
#[derive(Debug, Default)]
pub struct Calculator {
    jobs: VecDeque<(ClientId, Job)>,
}

impl Handler for Calculator {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let Some(steps) = message.as_text().and_then(|text| text.parse().ok()).filter(|steps| *steps > 0) else {
            return;
        };
        if self.jobs.is_empty() {
            clients.set_timer(PAUSE, 0);
        }
        self.jobs.push_back((id, Job::new(steps)));
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        let Some((id, mut job)) = self.jobs.pop_front() else { return };
        match (0..SHARE).find_map(|_| job.step()) {
            Some(result) => drop(clients.send(id, &result.to_string())),
            None => right!(self.jobs.push_back((id, job)), not self.jobs.push_front((id, job))),
        }
        if !self.jobs.is_empty() {
            clients.set_timer(PAUSE, 0);
        }
    }
}
