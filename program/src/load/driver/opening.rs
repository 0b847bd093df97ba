//! Connections are begun, and closed to be opened again.

use super::conn::{Conn, Stage};
use super::machine::{Attempt, Driver, NEVER, SHARE, micros};
use super::states::{Ended, RunState};
#[cfg(unix)]
use crate::load::measure::Problem;
use crate::load::plan::Opening;
use lariat::{ClientId, Clients, CloseCode, OpeningError};
#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::time::Duration;

impl Driver {
    /// Begins the connections that are due. Once each attempt has succeeded or failed, the state
    /// becomes [`RunState::Opened`].
    pub(super) fn open_due(&mut self, clients: &mut Clients<Conn>, now: u64) -> Result<(), OpeningError> {
        for _ in 0..SHARE {
            if self.begun == self.plan.connections {
                break;
            }
            let due = match (self.plan.opening, &mut self.opening_pacer) {
                (Opening::AtOnce(most), _) if self.underway < most => now,
                (Opening::Rate(_), Some(pacer)) => match pacer.take(now) {
                    Some(due) => due,
                    None => break,
                },
                _ => break,
            };
            let attempt = Attempt { number: self.plan.first_number + self.begun, due };
            self.begun += 1;
            self.begin(clients, attempt)?;
        }
        if self.begun == self.plan.connections && self.underway == 0 {
            self.measured.connections.opening_s = now as f64 / 1e9;
            self.state = RunState::Opened;
            self.state_ends = NEVER;
            if self.measured.connections.opened == 0 && self.again.is_empty() && self.plan.churn.is_none() {
                self.ended = Ended::NoneOpened;
                self.stop_sending(now);
                self.state = RunState::Held;
            }
        }
        Ok(())
    }

    /// Begins one connection.
    pub(super) fn begin(&mut self, clients: &mut Clients<Conn>, attempt: Attempt) -> Result<(), OpeningError> {
        let routes = &self.plan.routes;
        let route = &routes[attempt.number as usize % routes.len()];
        let who = self.plan.who(attempt.number, 0, attempt.due);
        let url = route.url(&mut self.buffer, &who);
        let resumed = self.plan.follow.as_ref().and_then(|parameter| {
            let follower = self.followers.get((attempt.number - self.plan.first_number) as usize)?;
            Some(resumed(url, parameter, follower.position()?))
        });
        // The plan has tried out the headers of each row.
        let options = route.options(&who).map_err(|_| OpeningError::BadHeader)?;
        let url = resumed.as_deref().unwrap_or(url);
        self.measured.connections.begun += 1;
        self.storms.begins(attempt.number, self.clock.nanos());
        #[cfg(unix)]
        if let Some(path) = &self.plan.unix {
            let begun =
                connect_unix(path, self.plan.timeout).and_then(|stream| clients.connect_over(stream, url, &options));
            self.begun_over_unix(clients, attempt, begun);
            return Ok(());
        }
        let id = clients.connect(url, &options)?;
        if let Some(conn) = clients.data_mut(id) {
            (conn.number, conn.since) = (attempt.number, micros(attempt.due));
        }
        self.underway += 1;
        Ok(())
    }

    /// A connection over a Unix socket has begun, or could not. It is connected already.
    #[cfg(unix)]
    fn begun_over_unix(&mut self, clients: &mut Clients<Conn>, attempt: Attempt, begun: io::Result<ClientId>) {
        let now = self.clock.nanos();
        match begun {
            Ok(id) => {
                self.measured.connect.record(now.saturating_sub(attempt.due));
                self.underway += 1;
                if let Some(conn) = clients.data_mut(id) {
                    (conn.number, conn.since, conn.stage) = (attempt.number, micros(now), Stage::Handshaking);
                }
            }
            Err(error) => {
                self.measured.connections.failed += 1;
                self.measured.problem(Problem::of_connect(error.kind()), 1);
                self.opens_again(attempt.number, Stage::Connecting);
            }
        }
    }

    /// Removes the connection at `place` from the list of open connections. The last one takes its
    /// place.
    pub(super) fn remove_open(&mut self, clients: &mut Clients<Conn>, place: u32) {
        self.open.swap_remove(place as usize);
        if let Some(moved) = self.open.get(place as usize).and_then(|moved| clients.data_mut(*moved)) {
            moved.stage = Stage::Open { place };
        }
    }

    /// Closes a connection that is to be opened again. It must not be in the list of open
    /// connections.
    pub(super) fn churn(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        if let Some(conn) = clients.data_mut(id) {
            conn.stage = Stage::Churning;
        }
        // It may be closing already.
        let _ = clients.close(id, CloseCode::Normal, "");
    }
}

/// The most time for which a full backlog of a Unix socket stops this client.
#[cfg(unix)]
const UNIX_WAIT: Duration = Duration::from_secs(1);

/// Connects to a Unix socket. If its backlog is full, this waits.
#[cfg(unix)]
fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket, sockopt};
    let stream = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    sockopt::set_socket_timeout(&stream, sockopt::Timeout::Send, Some(timeout.min(UNIX_WAIT)))?;
    connect(&stream, &SocketAddrUnix::new(path)?)?;
    Ok(stream.into())
}

/// Returns the URL with which a subscriber comes back: it names the last position.
fn resumed(url: &str, parameter: &str, position: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}={position}")
}
