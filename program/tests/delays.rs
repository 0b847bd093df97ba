//! A server with known delays: the report of `lariat load` has these delays. In a program of its
//! own, because other tests would delay it.
#![allow(clippy::disallowed_methods, reason = "the server measures what it does")]

mod common;

use common::program::lariat;
use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Messages per second, and connections: the next message of a connection comes after the longest
/// delay.
const OPTIONS: [&str; 8] = ["-c", "50", "--echo", "-m", "200", "--hold", "3s", "--json"];

/// The share by which a time may differ, or the microseconds, if these are more. A debug build is
/// slower.
const SHARE: f64 = if cfg!(debug_assertions) { 0.1 } else { 0.02 };
const MICROS: f64 = if cfg!(debug_assertions) { 2_000.0 } else { 100.0 };

/// Another program on this host may delay the server or the client.
const TRIES: usize = 10;

/// How long the answer to a message is delayed: most by 10 ms, 3 in 100 by 50 ms, one by 200 ms.
const fn delay(number: usize) -> Duration {
    Duration::from_millis(match number {
        500 => 200,
        _ if number % 100 < 3 => 50,
        _ => 10,
    })
}

/// A server that answers exactly some time after it has read, and notes the times.
#[derive(Clone, Debug, Default)]
struct Delaying {
    messages: Arc<AtomicUsize>,
    times: Arc<Mutex<Vec<Duration>>>,
}

impl Delaying {
    /// Starts it. Each connection has a thread, which ends with it.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("ws://{}/", listener.local_addr().expect("an address"));
        let server = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.answer(stream));
            }
        });
        url
    }

    fn answer(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("a TCP socket");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            let read = Instant::now();
            if !message.is_text() {
                continue;
            }
            wait_until(read + delay(self.messages.fetch_add(1, Ordering::Relaxed)));
            let time = read.elapsed();
            socket.send(message).expect("the client waits for it");
            self.times.lock().expect("nobody has panicked").push(time);
        }
    }

    /// Returns a percentile of the times.
    fn time_us(&self, share: f64) -> f64 {
        let mut times = self.times.lock().expect("nobody has panicked").clone();
        times.sort_unstable();
        let place = (times.len() as f64 * share).ceil() as usize - 1;
        times[place].as_secs_f64() * 1e6
    }
}

/// Sleeps, and spins for the last millisecond: a sleep may end late.
fn wait_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_millis(1)));
    while Instant::now() < time {
        std::hint::spin_loop();
    }
}

/// Returns whether the report's times are those of the server, and both.
fn compare(report: &Value, server: &Delaying) -> (bool, String) {
    let (mut is_right, mut shown) = (true, String::new());
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let told = report["latency"]["round_trip"][format!("{name}_us")].as_f64().expect("a time");
        let injected = server.time_us(share);
        is_right &= (told - injected).abs() <= f64::max(injected * SHARE, MICROS);
        shown += &format!("{name}: {told:.0} us, injected {injected:.0} us; ");
    }
    (is_right, shown)
}

#[test]
fn round_trips_are_the_delays_of_the_server() {
    let mut tries = Vec::new();
    while tries.len() < TRIES {
        let server = Delaying::default();
        let output = lariat(&[&["load", &server.start()], &OPTIONS[..], &["-"]].concat()).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let messages = report["messages"]["right"].as_u64().expect("a number");
        assert_eq!(messages, server.times.lock().expect("nobody has panicked").len() as u64);
        assert!(messages >= 550, "{messages} messages");
        let (is_right, shown) = compare(&report, &server);
        println!("{shown}");
        if is_right {
            return;
        }
        tries.push(shown);
    }
    panic!("{tries:#?}");
}
