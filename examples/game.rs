//! A game at 30 Hz: players run after a coin. The first one with five coins wins.
//!
//! ```text
//! cargo run --example game [ADDRESS]
//! cargo test --example game
//! ```
//!
//! Type this into the consoles of two browser windows:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("right")
//! ```
//!
//! The server alone decides what happens. Players send the direction in which they run. The server
//! moves them 30 times a second and sends the state of the game to all of them. A player with a
//! slow connection gets fewer states, but always the latest: see `publish_latest`.
//!
//! The tests at the end play whole matches in the simulator. The same seed gives the same match.

use lariat::{ClientId, Clients, CloseCode, CloseReason, Config, Handler, Message, Server, TimerId};
use std::collections::BTreeMap;
use std::time::Duration;

const TICKS_PER_SECOND: u32 = 30;

const MAX_PLAYERS: usize = 16;

/// The field, in steps. A player makes one step in a tick.
const WIDTH: u32 = 120;
const HEIGHT: u32 = 60;

/// A player takes a coin at this distance or less.
const REACH: u32 = 3;

const COINS_TO_WIN: u32 = 5;

/// The topic of which all players are members.
const PLAYERS: &str = "players";

/// The key of the state: a new state replaces one that has not been sent yet.
const STATE: u64 = 0;

type Place = (u32, u32);

struct Player {
    number: u32,
    place: Place,
    /// -1, 0 or 1 for each axis.
    direction: (i32, i32),
    coins: u32,
}

/// The game. It has no clock and no other source of chance than its seed, so it can be repeated.
struct Game {
    /// In the order of their ids, so that a match can be repeated.
    players: BTreeMap<ClientId, Player>,
    coin: Place,
    ticks: u64,
    joined: u32,
    random: u64,
    /// The timer runs only while somebody plays.
    timer: Option<TimerId>,
}

impl Game {
    fn new(seed: u64) -> Game {
        let mut game =
            Game { players: BTreeMap::new(), coin: (0, 0), ticks: 0, joined: 0, random: seed | 1, timer: None };
        game.coin = game.random_place();
        game
    }

    /// Returns a place on the field, from a generator of Marsaglia's (xorshift).
    fn random_place(&mut self) -> Place {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let random = (self.random >> 32) as u32;
        (random % WIDTH, random / WIDTH % HEIGHT)
    }

    /// Moves all players by one tick. Returns the number of a player who has won.
    fn tick(&mut self) -> Option<u32> {
        self.ticks += 1;
        let mut winner = None;
        let mut is_taken = false;
        for player in self.players.values_mut() {
            let (x, y) = player.place;
            player.place = (step(x, player.direction.0, WIDTH), step(y, player.direction.1, HEIGHT));
            let distance = player.place.0.abs_diff(self.coin.0).max(player.place.1.abs_diff(self.coin.1));
            // Of two players who reach the coin in one tick, the first in the map takes it.
            if distance <= REACH && !is_taken {
                is_taken = true;
                player.coins += 1;
                winner = (player.coins == COINS_TO_WIN).then_some(player.number);
            }
        }
        if is_taken {
            self.coin = self.random_place();
        }
        if winner.is_some() {
            self.players.values_mut().for_each(|player| player.coins = 0);
        }
        winner
    }

    /// Returns the state as JSON. It contains only numbers, so nothing must be escaped.
    fn state(&self) -> String {
        let player = |player: &Player| {
            let Player { number, place: (x, y), coins, .. } = player;
            format!("[{number},{x},{y},{coins}]")
        };
        let players: Vec<String> = self.players.values().map(player).collect();
        let ((x, y), tick) = (self.coin, self.ticks);
        format!(r#"{{"tick":{tick},"coin":[{x},{y}],"players":[{}]}}"#, players.join(","))
    }
}

/// Moves a coordinate by one step, but not off the field.
fn step(at: u32, by: i32, size: u32) -> u32 {
    at.saturating_add_signed(by).min(size - 1)
}

impl Handler for Game {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.joined += 1;
        let (number, place) = (self.joined, self.random_place());
        self.players.insert(id, Player { number, place, direction: (0, 0), coins: 0 });
        clients.subscribe(id, PLAYERS);
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(id, &format!(r#"{{"you":{number},"width":{WIDTH},"height":{HEIGHT}}}"#));
        // An interval keeps its rate exactly. If the server is late by more than 20 ms, the ticks
        // that it has missed are not made up: the game pauses, and goes on.
        self.timer.get_or_insert_with(|| clients.set_interval(Duration::from_secs(1) / TICKS_PER_SECOND, 0));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let direction = match message.as_text() {
            Some("left") => (-1, 0),
            Some("right") => (1, 0),
            Some("up") => (0, -1),
            Some("down") => (0, 1),
            Some("stop") => (0, 0),
            _ => {
                let _ = clients.close(id, CloseCode::Policy, "left, right, up, down or stop");
                return;
            }
        };
        // It counts from the next tick on. However often a player sends, nobody moves faster.
        if let Some(player) = self.players.get_mut(&id) {
            player.direction = direction;
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        let winner = self.tick();
        // While a player's connection is slow, this state replaces the one that waits for it. So
        // the server holds one state for a slow player, beside what the kernel has taken.
        clients.publish_latest(PLAYERS, STATE, &self.state());
        if let Some(number) = winner {
            // Nobody must miss this, so it does not replace anything.
            clients.publish(PLAYERS, &format!(r#"{{"winner":{number}}}"#));
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.players.remove(&id);
        if self.players.is_empty() {
            self.timer.take().map(|timer| clients.cancel_timer(timer));
        }
    }
}

/// The limits, which the tests use as well.
fn config() -> Config {
    let mut config = Config::default();
    // Further players get 503.
    config.max_connections = Some(MAX_PLAYERS);
    config.limits.max_message = 16;
    // A player who sends more is delayed.
    config.rates.messages_per_second = Some(60);
    config
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::new(config())?.listen(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Game::new(rand::random()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lariat::sim::{Faults, Peer, Simulation};

    /// Ada runs after the coin, and Ben runs up and down, until Ada has won. Returns what both have
    /// received.
    fn play(seed: u64, faults: Faults) -> (Vec<String>, Vec<String>) {
        let mut sim = Simulation::new(seed, config(), Game::new(seed));
        sim.set_faults(faults);
        let (ada, ben) = (sim.connect("/"), sim.connect("/"));
        let (mut seen_by_ada, mut seen_by_ben) = (Vec::new(), Vec::new());
        for round in 0..600 {
            // A player decides ten times a second, and knows only what has arrived.
            sim.run_for(Duration::from_millis(100));
            seen_by_ada.extend(ada.received_text());
            seen_by_ben.extend(ben.received_text());
            if seen_by_ada.iter().any(|text| text.contains("winner")) {
                return (seen_by_ada, seen_by_ben);
            }
            if let Some(direction) = seen_by_ada.iter().rev().find_map(|state| towards_the_coin(state, 1)) {
                ada.send(direction);
            }
            ben.send(if round % 20 < 10 { "up" } else { "down" });
        }
        panic!("nobody has won in a minute: {:?}", seen_by_ada.last());
    }

    /// Returns the direction in which a player must run. `None` if this is not a state.
    fn towards_the_coin(state: &str, number: u32) -> Option<&'static str> {
        let state: serde_json::Value = serde_json::from_str(state).ok()?;
        let (coin, players) = (&state["coin"], state["players"].as_array()?);
        let me = players.iter().find(|player| player[0] == number)?;
        let (x, y) = (coin[0].as_i64()? - me[1].as_i64()?, coin[1].as_i64()? - me[2].as_i64()?);
        // Between two decisions, a player makes three steps.
        Some(match (x, y) {
            (4.., _) => "right",
            (..=-4, _) => "left",
            (_, 1..) => "down",
            _ => "up",
        })
    }

    fn winner(seen: &[String]) -> Option<&String> {
        seen.iter().find(|text| text.contains("winner"))
    }

    #[test]
    fn the_same_seed_gives_the_same_match() {
        for seed in [1, 7, 2_026] {
            assert_eq!(play(seed, Faults::none()), play(seed, Faults::none()), "seed {seed}");
        }
        assert_ne!(play(1, Faults::none()), play(7, Faults::none()));
    }

    #[test]
    fn who_runs_after_the_coin_wins_and_everybody_learns_it() {
        for seed in 0..20 {
            let (seen_by_ada, seen_by_ben) = play(seed, Faults::none());
            assert_eq!(winner(&seen_by_ada).map(String::as_str), Some(r#"{"winner":1}"#), "seed {seed}");
            assert_eq!(winner(&seen_by_ben), winner(&seen_by_ada), "seed {seed}");
        }
    }

    #[test]
    fn a_player_gets_thirty_states_a_second() {
        let mut sim = Simulation::new(1, config(), Game::new(1));
        let ada = sim.connect("/");
        sim.run_until_idle();
        assert_eq!(ada.received_text(), [r#"{"you":1,"width":120,"height":60}"#]);
        sim.run_for(Duration::from_secs(10));
        assert_eq!(ada.received_text().len(), 300);
    }

    /// A slow player misses states, but then gets the latest, and no old ones.
    #[test]
    fn a_slow_player_gets_the_latest_state() {
        let mut sim = Simulation::new(1, config(), Game::new(1));
        // The kernels hold little.
        let mut faults = Faults::none();
        faults.window = 512;
        sim.set_faults(faults);
        let ada = sim.connect("/");
        ada.stop_reading();
        sim.run_for(Duration::from_secs(20));
        ada.resume_reading();
        sim.run_until_idle();
        let seen = ada.received_text();
        assert!(seen.len() < 100, "{} states", seen.len());
        let last = seen.last().expect("a state");
        assert!(last.starts_with(r#"{"tick":600,"#) || last.starts_with(r#"{"tick":599,"#), "{last}");
        assert!(sim.clients().stats().conflated > 400);
    }

    #[test]
    fn rules_hold_for_everybody() {
        let mut sim = Simulation::new(1, config(), Game::new(1));
        let players: Vec<Peer> = (0..MAX_PLAYERS).map(|_| sim.connect("/")).collect();
        sim.run_until_idle();
        let late = sim.connect("/");
        players[0].send("fly");
        players[1].send("LEFT LEFT LEFT LEFT");
        sim.run_until_idle();
        assert!(!late.is_open());
        assert_eq!(players[0].close_reason().map(|reason| reason.code()), Some(CloseCode::Policy));
        assert_eq!(players[1].close_reason().map(|reason| reason.code()), Some(CloseCode::Size));
        assert_eq!(sim.handler().players.len(), MAX_PLAYERS - 2);
        // When all have left, the game sleeps.
        drop(players);
        sim.run_until_idle();
        let ticks = sim.handler().ticks;
        sim.run_for(Duration::from_secs(60));
        assert_eq!(sim.handler().ticks, ticks);
    }
}
