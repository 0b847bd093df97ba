//! An agent: it waits for controllers, and serves one that knows the token at a time.

use super::protocol::{FIRST_LINE, FromAgent, LONG_LINE, Offer, PATIENCE, SHORT_LINE, SILENCE, ToAgent, VERSION};
use super::session::{Order, Unpacked};
use super::token::{About, Side, Token, nonce, sha256};
use super::wire::{Lines, Wire};
use crate::doctor::raise_descriptor_limit;
use crate::load::run::thread;
use crate::terminal::units::counted;
use crate::terminal::{Failure, Log, print};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most connections at a time, and the most from one address. Those without a proof end within
/// [`SILENCE`]; meanwhile they must not keep others out.
const CONNECTIONS: usize = 64;
const FROM_ONE: usize = 16;

/// An agent that waits.
struct Agent {
    token: Token,
    log: Log,
    state: Mutex<State>,
    /// A run has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    run: Option<(SocketAddr, Arc<Wire>)>,
    /// No run begins any more.
    stops: bool,
}

/// Serves controllers until a signal ends it.
pub(crate) fn serve(address: &str, token: Token, log: &Log) -> Result<ExitCode, Failure> {
    raise_descriptor_limit();
    let cannot = |error: io::Error| {
        Failure(format!("cannot listen on {address:?}: {error}. Write an address of this host, like 0.0.0.0:7000"))
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let local = listener.local_addr().map_err(cannot)?;
    let agent = Arc::new(Agent { token, log: log.clone(), state: Mutex::default(), ended: Condvar::new() });
    let stopped = stop_signal().map_err(|error| Failure(format!("cannot wait for signals: {error}")))?;
    print(&format!("Lariat listens on {local}\n"))?;
    let accepting = Arc::clone(&agent);
    thread("accept", move || accept(&listener, &accepting))?;
    stopped();
    agent.stop();
    Ok(ExitCode::SUCCESS)
}

/// Returns a function that returns when a signal asks the process to end.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl FnOnce()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(move || {
        let _writer = writer;
        // Nothing else wakes this but an error, after which nothing would.
        let _ = io::Read::read_exact(&mut reader, &mut [0]);
    })
}

/// Without signals, the process ends when it is killed.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl FnOnce()> {
    Ok(|| {
        loop {
            std::thread::park();
        }
    })
}

fn accept(listener: &TcpListener, agent: &Arc<Agent>) {
    let places = Arc::<Places>::default();
    // Nothing is sent: receiving is only a pause.
    let (_sender, pause) = channel::<()>();
    loop {
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // Without descriptors, the next attempt would fail at once.
                agent.log.say(&format!("lariat: cannot accept a connection: {error}\n"));
                let _ = pause.recv_timeout(Duration::from_millis(100));
                continue;
            }
        };
        let Some(place) = places.take(from.ip()) else {
            agent.log.say(&format!("lariat: no run for {from}: too many connections\n"));
            continue;
        };
        let of_thread = Arc::clone(agent);
        let started = thread("controller", move || {
            let _place = place;
            if let Err(why) = of_thread.meet(stream, from) {
                of_thread.log.say(&format!("lariat: {why}\n"));
            }
        });
        if let Err(Failure(why)) = started {
            agent.log.say(&format!("lariat: no run for {from}: {why}\n"));
        }
    }
}

/// The present connections from each address.
#[derive(Default)]
struct Places(Mutex<BTreeMap<IpAddr, usize>>);

impl Places {
    /// Takes a place until what this returns is dropped, or returns `None` if there is none.
    fn take(self: &Arc<Places>, from: IpAddr) -> Option<Place> {
        let from = from.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, here) = (counts.values().sum::<usize>(), counts.get(&from).copied().unwrap_or(0));
        if all >= CONNECTIONS || here >= FROM_ONE {
            return None;
        }
        counts.insert(from, here + 1);
        Some(Place { places: Arc::clone(self), from })
    }
}

/// The place of a connection.
struct Place {
    places: Arc<Places>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.from)),
        }
    }
}

impl Agent {
    /// Serves one connection. Says what the log should know if nothing has come of it.
    fn meet(&self, stream: TcpStream, from: SocketAddr) -> Result<(), String> {
        let none = |error: String| format!("no run for {from}: {error}");
        let wire = Arc::new(Wire::new(stream).map_err(|error| none(error.to_string()))?);
        self.prepare(from, &wire).map_err(none).map(|(_run, order, lines)| {
            let workers = counted(order.workers().into(), "worker");
            self.log.say(&format!("lariat: a run begins for {from}; {workers} on this host\n"));
            self.log.say(&match order.carry_out(&wire, lines) {
                Ok(()) => format!("lariat: the run for {from} has ended\n"),
                Err(why) => format!("lariat: the run for {from} was stopped: {why}\n"),
            });
            wire.end();
        })
    }

    /// Leads a connection to the beginning of a run. Otherwise, the other side hears why not.
    fn prepare(&self, from: SocketAddr, wire: &Arc<Wire>) -> Result<(Run<'_>, Unpacked, Lines), String> {
        let mut lines = wire.lines(SILENCE).map_err(|error| error.to_string())?;
        let mut prepared = || {
            let known = self.greet(wire, &mut lines)?;
            let run = self.begin(from, wire)?;
            Ok((run, self.receive(wire, &mut lines, &known)?))
        };
        let (run, order) = prepared().inspect_err(|why: &String| {
            // It may have gone.
            let _ = wire.send(&FromAgent::Refused(why.clone()));
        })?;
        Ok((run, order, lines))
    }

    /// Lets a controller prove that it knows the token.
    fn greet(&self, wire: &Wire, lines: &mut Lines) -> Result<Known, String> {
        let agent_nonce = nonce();
        let hello = FromAgent::Hello { lariat: VERSION.to_owned(), nonce: agent_nonce.clone() };
        wire.send(&hello).map_err(|error| error.to_string())?;
        let ToAgent::Offer(offer) = lines.next(FIRST_LINE)? else {
            return Err("it offers no run".to_owned());
        };
        let known = Known { agent_nonce, offer };
        if !self.token.accepts(Side::Controller, &known.about(), &known.offer.proof) {
            return Err("the token is wrong".to_owned());
        }
        if known.offer.length > LONG_LINE {
            return Err(format!("a request of {} bytes is too long", known.offer.length));
        }
        Ok(known)
    }

    /// Receives a request, and waits until the run begins.
    fn receive(&self, wire: &Wire, lines: &mut Lines, known: &Known) -> Result<Unpacked, String> {
        let lost = |error: io::Error| format!("the connection is broken: {error}");
        lines.hurry(PATIENCE);
        let proof = self.token.prove(Side::Agent, &known.about());
        wire.send(&FromAgent::Ready { proof }).map_err(lost)?;
        let request = lines.next_line(known.offer.length)?;
        if request.len() as u64 != known.offer.length || sha256(&request) != known.offer.sha256 {
            return Err("the request is not the one that was offered".to_owned());
        }
        let order = Order::read(&request)?.unpack()?;
        drop(request);
        wire.send(&FromAgent::Accepted).map_err(lost)?;
        match lines.next(SHORT_LINE)? {
            ToAgent::Start => Ok(order),
            _ => Err("it says something out of order".to_owned()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run, unless there is one.
    fn begin(&self, from: SocketAddr, wire: &Arc<Wire>) -> Result<Run<'_>, String> {
        let mut state = self.state();
        match &state.run {
            Some((other, _)) => Err(format!("this agent is busy with a run for {other}")),
            None if state.stops => Err("this agent has been stopped".to_owned()),
            None => {
                state.run = Some((from, Arc::clone(wire)));
                Ok(Run(self))
            }
        }
    }

    /// Ends the present run, and waits until its workers and files have gone.
    fn stop(&self) {
        let mut state = self.state();
        state.stops = true;
        if let Some((_, wire)) = &state.run {
            wire.end();
        }
        let waited = self.ended.wait_timeout_while(state, SILENCE, |state| state.run.is_some());
        drop(waited);
    }
}

/// The present run, until it is dropped.
struct Run<'a>(&'a Agent);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.state().run = None;
        self.0.ended.notify_all();
    }
}

/// A controller that knows the token, and what it offers.
struct Known {
    agent_nonce: String,
    offer: Offer,
}

impl Known {
    fn about(&self) -> About<'_> {
        let Offer { nonce, length, sha256, .. } = &self.offer;
        About { agent_nonce: &self.agent_nonce, controller_nonce: nonce, sha256, length: *length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_from_one_address_leave_places_for_others() {
        let places = Arc::<Places>::default();
        let address = |last: usize| IpAddr::from([10, 0, 0, last as u8]);
        let mut taken: Vec<Place> = std::iter::from_fn(|| places.take(address(1))).collect();
        assert_eq!(taken.len(), FROM_ONE);
        assert!(places.take("::ffff:10.0.0.1".parse().expect("an address")).is_none(), "it is the same one");
        taken.extend((2..).take(CONNECTIONS - FROM_ONE).map(|last| places.take(address(last)).expect("a place")));
        assert!(places.take(address(99)).is_none());
        drop(taken.pop());
        assert!(places.take(address(99)).is_some());
        drop(taken);
        assert!(places.0.lock().expect("nobody panics").is_empty());
    }
}
