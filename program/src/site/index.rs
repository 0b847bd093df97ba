//! `/`: shows how many clients each app has.

use lariat::{ClientId, Clients, Event, Handler, TimerId};
#[cfg(unix)]
use lariat::{RestoreError, saved};
#[cfg(unix)]
use serde::{Deserialize, Serialize};
#[cfg(unix)]
use std::borrow::Cow;
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
    /// The last counts that were sent to the pages on this loop.
    counts: String,
    timer: Option<TimerId>,
}

impl Index {
    /// Counts the clients on these routes.
    pub fn new(paths: impl IntoIterator<Item = &'static str>) -> Index {
        Index { paths: paths.into_iter().collect(), counts: String::new(), timer: None }
    }

    /// Counts the clients on all loops, and tells the pages if the counts have changed.
    fn count(&self, clients: &mut Clients<()>) {
        let paths = self.paths.clone();
        let count = move |clients: &mut Clients<()>| -> Counts {
            let of = |path: &&'static str| Some((*path, clients.on_route(path, |clients| clients.len())?));
            paths.iter().filter_map(of).collect()
        };
        let remote = clients.remote();
        clients.ask_loops(count, move |_, all| {
            let mut sum = Counts::new();
            all.into_iter().flatten().for_each(|(path, count)| *sum.entry(path).or_default() += count);
            // A server that has stopped has no pages.
            let _ = remote.post(sum);
        });
    }
}

/// The number of clients of each route, as in `{"/chat":3,"/echo":0}`.
type Counts = BTreeMap<&'static str, usize>;

/// What goes along to the process that takes over. The paths are those of that process.
#[cfg(unix)]
#[derive(Deserialize, Serialize)]
struct Saved<'a> {
    counts: Cow<'a, str>,
    timer: Option<TimerId>,
}

#[cfg(unix)]
impl Index {
    fn saved(&self) -> Option<Vec<u8>> {
        saved::to_bytes(&Saved { counts: (&*self.counts).into(), timer: self.timer })
    }

    fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let Saved { counts, timer } = saved::from_bytes(bytes)?;
        (self.counts, self.timer) = (counts.into_owned(), timer);
        Ok(())
    }
}

impl Handler for Index {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, COUNTS);
        if self.timer.is_none() {
            self.timer = Some(clients.set_interval(PERIOD, 0));
            self.counts.clear();
        }
        if self.counts.is_empty() {
            self.count(clients);
        } else {
            let _ = clients.send(id, &self.counts);
        }
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        let counts = match event.downcast::<Counts>() {
            Ok(counts) => serde_json::to_string(&counts).unwrap_or_default(),
            Err(unknown) => return unknown.log_unhandled(clients),
        };
        if counts != self.counts {
            // Those on other loops have a handler of their own.
            for page in clients.members(COUNTS).collect::<Vec<_>>() {
                let _ = clients.send(page, &counts);
            }
            self.counts = counts;
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        if clients.subscribers(COUNTS) == 0 {
            clients.cancel_timer(timer);
            self.timer = None;
        } else {
            self.count(clients);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::Index;
    use crate::site::carried_tests;
    use lariat::TimerId;

    #[test]
    fn what_is_saved_is_restored_and_nothing_else() {
        let mut index = Index::new(["/chat"]);
        (index.counts, index.timer) = (r#"{"/chat":1}"#.to_owned(), TimerId::from_u64(5));
        let bytes = index.saved().expect("it can be saved");
        let restored = carried_tests::check(&bytes, || Index::new(["/", "/chat"]), Index::restore_saved, Index::saved);
        assert_eq!((restored.counts, restored.timer), (index.counts, index.timer));
        carried_tests::damage(&bytes, || Index::new(["/chat"]), Index::restore_saved, drop);
    }
}
