//! The messages between a page and the server.
//!
//! The server is the authority. It asks where everybody wants to go, moves the world 20 times per
//! second, and sends each rider what is near. A page shows its own rider where it will be when the
//! page's bytes reach the server. It shows the others where they were a tenth of a second ago,
//! between two snapshots. A page that reads too slowly gets the latest snapshot, and no old ones
//! ([`Clients::send_latest`]).
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"join":{"name"}}` | enters, or takes another name |
//! | `{"who":[7,12]}` | asks for the names of riders |
//! | 4 bytes: u16 number, i8 x, i8 y | where the rider wants to go; at least once per second |
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"welcome":7}` | the page has entered, as this rider |
//! | `{"names":[[7,"Ada"]]}` | the names |
//! | `{"scores":[[7,"Ada",31]]}` | the best eight |
//! | `{"caught":{"strays","riders","points"}}` | what the rope of the page's rider has caught |
//! | `{"held":"Ada"}` | the page's rider was caught |
//! | `{"round":["Ada",31]}` | a round is over: the winner, or null |
//! | `"full"` | there is no place |
//! | bytes | a snapshot, as `snapshot.rs` describes it |
//!
//! `x` and `y` are the wanted speed, from -127 to 127. 127 is the top speed. In `"caught"`,
//! `strays` is a number, `riders` are names, and `points` is the number of points for both.

use lariat::{ClientId, Clients};
use serde::{Deserialize, Serialize};

/// A text message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromPage {
    Join { name: String },
    Who(Vec<u16>),
}

/// A text message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    Welcome(u16),
    Names(Vec<(u16, &'a str)>),
    Scores(Vec<(u16, &'a str, u32)>),
    Caught { strays: usize, riders: Vec<&'a str>, points: u32 },
    Held(&'a str),
    Round(Option<(&'a str, u32)>),
    Full,
}

impl ToPage<'_> {
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and lists: JSON can express all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // If this fails, the client is closed. Its page comes back.
        let _ = clients.send(to, &self.to_json());
    }
}
