//! `/`: shows how many clients each app has.

use lariat::{ClientId, Clients, Handler, TimerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the counts are compared with the last ones, while a page is open.
const PERIOD: Duration = Duration::from_millis(500);

/// The topic of the open pages.
const COUNTS: &str = "counts";

/// Sends each page the number of clients per route, at once and when it changes.
#[derive(Debug)]
pub struct Index {
    paths: Vec<&'static str>,
    /// The last counts that were sent.
    counts: String,
    timer: Option<TimerId>,
}

impl Index {
    /// Counts the clients on these routes.
    pub fn new(paths: impl IntoIterator<Item = &'static str>) -> Index {
        Index { paths: paths.into_iter().collect(), counts: String::new(), timer: None }
    }

    /// Returns the counts as `{"/chat":3,"/echo":0}`.
    fn count(&self, clients: &mut Clients<()>) -> String {
        let count = |path: &&'static str| Some((*path, clients.on_route(path, |clients| clients.len())?));
        let counts: BTreeMap<&str, usize> = self.paths.iter().filter_map(count).collect();
        serde_json::to_string(&counts).unwrap_or_default()
    }
}

impl Handler for Index {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, COUNTS);
        if self.timer.is_none() {
            self.counts = self.count(clients);
            self.timer = Some(clients.set_interval(PERIOD, 0));
        }
        let _ = clients.send(id, &self.counts);
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        if clients.subscribers(COUNTS) == 0 {
            clients.cancel_timer(timer);
            self.timer = None;
            return;
        }
        let counts = self.count(clients);
        if counts != self.counts {
            clients.publish(COUNTS, &counts);
            self.counts = counts;
        }
    }
}
