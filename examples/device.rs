//! A small device: it sends measures to a server and tells programs on the same host how it is.
//!
//! ```text
//! cargo run --example echo
//! cargo run --example device 127.0.0.1:9999 ws://127.0.0.1:9998
//! curl http://127.0.0.1:9999
//! ```
//!
//! Both connections live in one loop:
//!
//! * **To the server.** If the connection ends, or cannot be made, the device tries again: at first
//!   after a second, then after two, four, and so on up to a minute. Chance shortens each pause by
//!   up to a half. So a thousand devices do not return to their server at the same moment.
//! * **To the status socket.** `curl` gets one answer, and a WebSocket gets each change.
//!
//! Measures are conflated: of each sensor, only the latest waits for a slow connection. So a weak
//! link costs no memory and delivers no old values.

use lariat::http::{Response, StatusCode, header};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, ConnectOptions, Drain, Handler, Method, Request, Server, TimerId,
    Upgrade,
};
use std::time::Duration;

/// The tokens of the timers.
const MEASURE: u64 = 1;
const RECONNECT: u64 = 2;
const SETTLED: u64 = 3;

const MEASURE_EVERY: Duration = Duration::from_millis(100);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A connection that has lasted so long was a success. Without this, a server that accepts and
/// closes at once would be asked every second.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// The topic of the programs that watch the status.
const WATCHERS: &str = "watchers";

#[derive(Clone, Copy, PartialEq)]
enum Link {
    Waiting,
    Connecting,
    Open(ClientId),
}

struct Device {
    upstream: String,
    link: Link,
    /// Attempts since a connection has lasted.
    failures: u32,
    settled: Option<TimerId>,
    measures: u64,
}

impl Device {
    fn new(upstream: String) -> Device {
        Device { upstream, link: Link::Waiting, failures: 0, settled: None, measures: 0 }
    }

    fn connect(&mut self, clients: &mut Clients<()>) {
        match clients.connect(&self.upstream, &ConnectOptions::new()) {
            // If nothing answers there, `on_close` reports it.
            Ok(_) => self.change(clients, Link::Connecting),
            // The URL is wrong, and stays so.
            Err(error) => {
                eprintln!("{}: {error}", self.upstream);
                clients.shutdown(Drain::default());
            }
        }
    }

    fn change(&mut self, clients: &mut Clients<()>, link: Link) {
        self.link = link;
        clients.publish(WATCHERS, &self.status());
    }

    /// Returns the status as JSON.
    fn status(&self) -> String {
        let link = match self.link {
            Link::Waiting => "waiting",
            Link::Connecting => "connecting",
            Link::Open(_) => "open",
        };
        format!(r#"{{"link":"{link}","failures":{},"measures":{}}}"#, self.failures, self.measures)
    }
}

/// Returns the pause after this many failures, shortened by chance.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = SHORTEST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

/// Stands for the device's sensors. One that is slow to read belongs on a thread of its own.
fn read_sensors(time: u64) -> [(u64, String); 2] {
    let temperature = 20.0 + (time as f64 / 100.0).sin();
    [(0, format!(r#"{{"temperature":{temperature:.2}}}"#)), (1, format!(r#"{{"time":{time}}}"#))]
}

impl Handler for Device {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        clients.set_interval(MEASURE_EVERY, MEASURE);
        self.connect(clients);
    }

    /// Called for the status socket alone.
    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        // A browser on this host would let any page connect. Its WebSockets have an origin. A page
        // whose name resolves to this host (DNS rebinding) needs none, but names another host.
        if request.origin().is_some() || !request.names_local_host::<&str>(&[]) {
            return StatusCode::FORBIDDEN.into();
        }
        if request.is_upgrade() {
            return Upgrade::new().into();
        }
        if request.method() != Method::GET {
            return StatusCode::METHOD_NOT_ALLOWED.into();
        }
        match Response::builder().header(header::CONTENT_TYPE, "application/json").body(self.status() + "\n") {
            Ok(response) => response.into(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
        }
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        if clients.is_outgoing(id) {
            self.settled = Some(clients.set_timer(SETTLED_AFTER, SETTLED));
            self.change(clients, Link::Open(id));
        } else {
            clients.subscribe(id, WATCHERS);
            // An error says that the client is closing. `on_close` follows.
            let _ = clients.send(id, &self.status());
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        match (token, self.link) {
            (MEASURE, Link::Open(upstream)) => {
                self.measures += 1;
                for (sensor, measure) in read_sensors(self.measures) {
                    // While the link is slow, a measure replaces the last one of its sensor.
                    let _ = clients.send_latest(upstream, sensor, &measure);
                }
            }
            (RECONNECT, _) => self.connect(clients),
            (SETTLED, _) => self.failures = 0,
            _ => {}
        }
    }

    /// Called for each end: also if the connection to the server could not be made.
    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        if !clients.is_outgoing(id) || clients.is_shutting_down() {
            return;
        }
        if let Some(timer) = self.settled.take() {
            clients.cancel_timer(timer);
        }
        self.failures = self.failures.saturating_add(1);
        let pause = pause(self.failures);
        eprintln!("{}: {reason}; next attempt in {:.1} s", self.upstream, pause.as_secs_f64());
        clients.set_timer(pause, RECONNECT);
        self.change(clients, Link::Waiting);
    }
}

/// Limits for a host with little memory. All connections together hold at most 256 KiB.
fn config() -> Config {
    let mut config = Config::default();
    config.max_connections = Some(8);
    config.memory_budget = 256 << 10;
    // One buffer for all connections.
    config.read_buffer = 4 << 10;
    config.events_per_turn = 16;
    config.remote_queue = 16;
    config.deflate = None;
    config.limits.max_head = 2 << 10;
    config.limits.max_message = 4 << 10;
    config.limits.max_unsent = 16 << 10;
    config.limits.high_water = 4 << 10;
    // A lost link is noticed within a minute.
    config.limits.ping_interval = Some(Duration::from_secs(20));
    config.limits.idle_timeout = Some(Duration::from_secs(60));
    config
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let upstream = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9998".to_owned());
    let server = Server::new(config())?.listen(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Device::new(upstream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lariat::sim::{Faults, Simulation};

    fn device() -> Simulation<Device> {
        Simulation::new(1, config(), Device::new("ws://10.0.0.9:80/measures".to_owned()))
    }

    #[test]
    fn pauses_grow_to_a_minute_and_differ() {
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1_000, 60), (u32::MAX, 60)] {
            let pauses: Vec<f64> = (0..100).map(|_| pause(failures).as_secs_f64()).collect();
            let (half, whole) = (f64::from(longest) / 2.0, f64::from(longest));
            assert!(pauses.iter().all(|pause| (half..=whole).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{failures}");
        }
    }

    #[test]
    fn a_server_that_is_away_is_asked_less_and_less() {
        let mut sim = device();
        sim.run_for(Duration::from_secs(300));
        let failures = sim.handler().failures;
        assert!((10..=16).contains(&failures), "{failures} attempts in five minutes");
        // It is found within a minute after its return.
        sim.listen("10.0.0.9", 80);
        let second = |_| {
            sim.run_for(Duration::from_secs(1));
            sim.accept()
        };
        let upstream = (0..61).find_map(second).expect("a connection");
        sim.run_for(Duration::from_secs(1));
        assert!(upstream.is_open() && !upstream.received_text().is_empty());
        // The next pauses are short again only when the connection has lasted.
        assert_eq!(sim.handler().failures, failures);
        sim.run_for(SETTLED_AFTER);
        assert_eq!(sim.handler().failures, 0);
        upstream.reset();
        sim.run_for(Duration::from_secs(2));
        assert!(sim.accept().expect("another connection").is_open());
    }

    #[test]
    fn a_slow_link_gets_the_latest_measures_in_little_memory() {
        let mut sim = device();
        let mut faults = Faults::none();
        faults.window = 1 << 10;
        sim.set_faults(faults);
        sim.listen("10.0.0.9", 80);
        sim.run_for(Duration::from_secs(2));
        let upstream = sim.accept().expect("a connection");
        upstream.stop_reading();
        sim.run_for(Duration::from_secs(20));
        assert!(sim.footprint().held < 16 << 10, "{:?}", sim.footprint());
        upstream.resume_reading();
        sim.run_until_idle();
        let (received, measures) = (upstream.received_text(), sim.handler().measures);
        assert!(received.len() < 200, "{} messages", received.len());
        assert_eq!(received.last(), Some(&format!(r#"{{"time":{measures}}}"#)));
    }

    #[test]
    fn the_limits_are_valid() {
        assert_eq!(config().validate(), Ok(()));
    }
}
