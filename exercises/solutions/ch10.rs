//! Chapter 10, slow readers.
//!
//! The question of the chapter: 4 MiB each, 3.9 GiB in all. The memory budget of 64 MiB prevents
//! that: the clients that hold most are not read, and in the end closed.

use crate::ch10::{Done, Download, MOST_WAITING, PART};
use lariat::{ClientId, Clients, Event, Handler, Message};
use std::collections::VecDeque;

/// Exercise 1. The key is the share: a price replaces a price of the same share only.
pub fn tell(clients: &mut Clients<()>, share: u64, price: u64) {
    clients.publish_latest("prices", right!(share, not 0), &format!("{share} {price}"));
}

/// Exercise 2: parts until the mark is passed, and then again when the client has read.
#[derive(Debug, Default)]
pub struct Downloads;

impl Downloads {
    fn go_on(clients: &mut Clients<Download>, id: ClientId) {
        let high_water = clients.limits().high_water;
        while right!(clients.buffered_amount(id) <= high_water, not true) {
            let Some(download) = clients.data_mut(id).filter(|download| download.next < download.size) else { return };
            let end = download.size.min(download.next + PART);
            let part: Vec<u8> = (download.next..end).map(|number| (number % 251) as u8).collect();
            download.next = end;
            if clients.send(id, &part).is_err() {
                return;
            }
        }
    }
}

impl Handler for Downloads {
    type Data = Download;

    fn on_message(&mut self, clients: &mut Clients<Download>, id: ClientId, message: Message<'_>) {
        let Some(size) = message.as_text().and_then(|text| text.parse().ok()) else { return };
        let _ = clients.set_data(id, Download { next: 0, size });
        Downloads::go_on(clients, id);
    }

    fn on_drain(&mut self, clients: &mut Clients<Download>, id: ClientId) {
        Downloads::go_on(clients, id);
    }
}

/// Exercise 3. Who is paused must be resumed by somebody.
#[derive(Debug, Default)]
pub struct Workshop {
    /// The jobs that wait.
    pub waiting: VecDeque<(ClientId, String)>,
}

impl Workshop {
    fn waiting_of(&self, id: ClientId) -> usize {
        self.waiting.iter().filter(|(other, _)| *other == id).count()
    }
}

impl Handler for Workshop {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let Some(job) = message.as_text() else { return };
        self.waiting.push_back((id, job.to_owned()));
        if self.waiting_of(id) >= MOST_WAITING {
            clients.pause(id);
        }
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        if !event.is::<Done>() {
            return;
        }
        let Some((id, job)) = self.waiting.pop_front() else { return };
        let _ = clients.send(id, &format!("done: {job}"));
        // The mistake is to wait until no job of the client is left.
        if self.waiting_of(id) < right!(MOST_WAITING, not 1) {
            clients.resume(id);
        }
    }
}
