//! The server of the game. It ticks while a page is open, is the authority, and sends each rider
//! what is near, without delay.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{Config, OwnedMessage};
use lariat_cli::site::Arena;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// The most bytes of a snapshot, as documented.
const LONGEST: usize = 1_187;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rider {
    id: u16,
    /// In quarters of a unit.
    place: (u16, u16),
    rope: u8,
    loops: u8,
    held: u8,
}

/// A snapshot, as `game.js` reads it.
#[derive(Clone, Debug)]
struct Snapshot {
    tick: u32,
    wish_number: u16,
    wish_age: u16,
    place: (f32, f32),
    side: u16,
    points: u16,
    count: u16,
    seconds: u8,
    riders: Vec<Rider>,
    strays: Vec<(u16, (u16, u16))>,
}

impl Snapshot {
    fn read(bytes: &[u8]) -> Snapshot {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let place_at = |at: usize| (u16_at(at), u16_at(at + 2));
        let (riders, strays) = (usize::from(bytes[33]), usize::from(bytes[34]));
        assert_eq!(bytes.len(), 35 + riders * 9 + strays * 6);
        let rider = |at: usize| Rider {
            id: u16_at(at),
            place: place_at(at + 2),
            rope: bytes[at + 6],
            loops: bytes[at + 7],
            held: bytes[at + 8],
        };
        Snapshot {
            tick: u32_at(0),
            wish_number: u16_at(4),
            wish_age: u16_at(6),
            place: (f32::from_bits(u32_at(8)), f32::from_bits(u32_at(12))),
            side: u16_at(24),
            points: u16_at(26),
            count: u16_at(30),
            seconds: bytes[32],
            riders: (0..riders).map(|index| rider(35 + index * 9)).collect(),
            strays: (0..strays)
                .map(|index| 35 + riders * 9 + index * 6)
                .map(|at| (u16_at(at), place_at(at + 2)))
                .collect(),
        }
    }
}

/// A player.
struct Page {
    peer: Peer,
    number: u16,
    id: u16,
    snapshots: Vec<Snapshot>,
    longest: usize,
    told: Vec<Value>,
}

impl Page {
    fn new(sim: &mut Simulation<Arena>, name: &str) -> Page {
        let peer = sim.connect("/arena");
        peer.send(&json!({"join": {"name": name}}).to_string());
        Page { peer, number: 0, id: 0, snapshots: Vec::new(), longest: 0, told: Vec::new() }
    }

    fn wish(&mut self, x: i8, y: i8) {
        self.number = self.number.wrapping_add(1);
        let [low, high] = self.number.to_le_bytes();
        self.peer.send(&[low, high, x as u8, y as u8]);
    }

    /// Handles the received messages.
    fn listen(&mut self) {
        for message in self.peer.received() {
            match message {
                OwnedMessage::Binary(bytes) => {
                    self.longest = self.longest.max(bytes.len());
                    self.snapshots.push(Snapshot::read(&bytes));
                }
                OwnedMessage::Text(text) => {
                    let told: Value = serde_json::from_str(&text).expect("JSON");
                    if let Some(id) = told["welcome"].as_u64() {
                        self.id = id as u16;
                    }
                    self.told.push(told);
                }
            }
        }
    }

    fn last(&self) -> &Snapshot {
        self.snapshots.last().expect("a snapshot")
    }
}

fn simulation(seed: u64) -> Simulation<Arena> {
    Simulation::new(seed, Config::default(), Arena::new(seed))
}

#[test]
fn a_thousand_riders_see_what_is_near_and_agree() {
    let mut random = StdRng::seed_from_u64(1);
    let mut sim = simulation(1);
    let mut pages: Vec<Page> = (0..1_000).map(|number| Page::new(&mut sim, &format!("rider {number}"))).collect();
    sim.run_for(2 * SECOND);
    pages.iter_mut().for_each(Page::listen);
    for page in &mut pages {
        page.snapshots.clear();
    }
    for _ in 0..2 {
        for page in &mut pages {
            page.wish(random.random_range(-127..=127), random.random_range(-127..=127));
        }
        sim.run_for(SECOND / 2);
    }
    pages.iter_mut().for_each(Page::listen);
    let mut places: HashMap<(u32, u16), Rider> = HashMap::new();
    let mut seen = 0;
    for page in &pages {
        assert!((19..=21).contains(&page.snapshots.len()), "{} snapshots in a second", page.snapshots.len());
        assert!(page.longest <= LONGEST, "{}", page.longest);
        for snapshot in &page.snapshots {
            assert_eq!((snapshot.riders[0].id, snapshot.count), (page.id, 1_000), "oneself is the first");
            let quarters = |place: f32| (place * 4.0) as u16;
            let own = snapshot.riders[0].place;
            assert_eq!(own, (quarters(snapshot.place.0), quarters(snapshot.place.1)));
            let within = |place: (u16, u16)| place.0.max(place.1) <= snapshot.side * 4;
            let near = |place: (u16, u16)| own.0.abs_diff(place.0).max(own.1.abs_diff(place.1)) <= 840 * 4 + 4;
            for rider in &snapshot.riders {
                assert!(within(rider.place) && near(rider.place) && rider.rope <= 60, "{rider:?} from {own:?}");
                let other = places.entry((snapshot.tick, rider.id)).or_insert(*rider);
                assert_eq!(other, rider, "two see the same in tick {}", snapshot.tick);
                seen += 1;
            }
            assert!(snapshot.strays.iter().all(|(_, place)| within(*place) && near(*place)));
        }
    }
    assert!(seen > 5 * 20 * 1_000, "{seen}: one is not alone");
    assert!((10_000..10_300).contains(&pages[0].last().side), "{}: room for all", pages[0].last().side);
    // The memory for connections does not grow with time.
    let before = sim.footprint();
    sim.run_for(SECOND);
    pages.iter().for_each(|page| drop(page.peer.received()));
    assert!(sim.footprint().buffers <= before.buffers + (1 << 20), "{:?} before {before:?}", sim.footprint());
    // Without players, nothing ticks.
    pages.clear();
    sim.run_for(SECOND);
    let turns = sim.turns();
    sim.run_for(60 * SECOND);
    assert!(sim.turns() - turns < 10, "{} turns for nobody", sim.turns() - turns);
}

#[test]
fn a_slow_page_gets_the_latest_snapshot_and_no_old_ones() {
    let mut sim = simulation(2);
    sim.set_faults({
        let mut faults = Faults::none();
        faults.window = 4 << 10;
        faults
    });
    let (mut slow, mut other) = (Page::new(&mut sim, "slow"), Page::new(&mut sim, "other"));
    sim.run_for(SECOND);
    slow.listen();
    slow.peer.stop_reading();
    sim.run_for(20 * SECOND);
    assert!(sim.footprint().buffers < 64 << 10, "{:?}", sim.footprint());
    let before = slow.last().tick;
    slow.peer.resume_reading();
    sim.run_for(TICK * 4);
    slow.listen();
    other.listen();
    let ticks: Vec<u32> = slow.snapshots.iter().map(|snapshot| snapshot.tick).filter(|tick| *tick > before).collect();
    assert!(ticks.is_sorted() && other.last().tick - ticks.last().expect("some") <= 1, "{ticks:?}");
    assert!(ticks.len() < 60, "{} snapshots of 400 ticks", ticks.len());
    let jump = ticks.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(jump > Some(300), "{jump:?}: those between were never sent");
    assert!(sim.handler_mut().people() == 2, "and nobody was closed");
}

#[test]
fn a_wish_is_followed_and_confirmed_until_the_page_falls_silent() {
    let mut sim = simulation(3);
    let mut page = Page::new(&mut sim, "Ada");
    sim.run_for(SECOND);
    page.listen();
    let start = page.last().place;
    // Away from the fence.
    let right = if start.0 < 600.0 { 127 } else { -127 };
    page.wish(right, 0);
    sim.run_for(SECOND / 2);
    page.wish(right, 0);
    sim.run_for(SECOND / 2);
    page.listen();
    let way = (page.last().place.0 - start.0) * f32::from(right.signum());
    assert!((180.0..=260.0).contains(&way), "{way} units in a second");
    assert_eq!(page.last().wish_number, 2);
    let ages: Vec<u16> = page.snapshots.iter().filter(|s| s.wish_number == 2).map(|s| s.wish_age).collect();
    assert_eq!(ages, (1..=ages.len() as u16).collect::<Vec<_>>(), "each tick is counted");
    // A wish above full speed counts as full speed.
    page.wish(-127, -128);
    sim.run_for(SECOND);
    page.listen();
    let fastest = page.snapshots.windows(2).map(|two| {
        let (from, to) = (two[0].place, two[1].place);
        (from.0 - to.0).hypot(from.1 - to.1)
    });
    let fastest = fastest.fold(0.0, f32::max);
    assert!((11.0..=20.0).contains(&fastest), "{fastest} units in a tick");
    // The page sends nothing for more than two seconds.
    sim.run_for(4 * SECOND);
    page.listen();
    page.snapshots.clear();
    sim.run_for(SECOND);
    page.listen();
    let (first, last) = (page.snapshots[0].clone(), page.last().clone());
    let way = (first.place.0 - last.place.0).hypot(first.place.1 - last.place.1);
    assert!(way < 40.0, "{way} units; others may have pushed it");
}

#[test]
fn a_closed_loop_catches_what_is_inside() {
    // A circle of a second and a half, at any place: what is inside is caught, even if others catch
    // at the same time.
    let mut caught = 0;
    for seed in 0..12 {
        let mut sim = simulation(seed);
        let mut page = Page::new(&mut sim, "Ada");
        sim.run_for(SECOND);
        for step in 0..80 {
            page.listen();
            // In the middle, away from the fence.
            let (x, y) = page.last().place;
            let (dx, dy) = (600.0 - x, 600.0 - y);
            let way = dx.hypot(dy).max(1.0);
            match step < 20 {
                true => page.wish((dx / way * 127.0) as i8, (dy / way * 127.0) as i8),
                false => {
                    let angle = step as f32 * std::f32::consts::TAU / 30.0;
                    page.wish((angle.cos() * 127.0) as i8, (angle.sin() * 127.0) as i8);
                }
            }
            sim.run_for(TICK);
        }
        page.listen();
        let loops = page.last().riders[0].loops;
        let told: Vec<&Value> = page.told.iter().filter(|told| told["caught"].is_object()).collect();
        assert_eq!(told.len(), usize::from(loops), "seed {seed}");
        for told in told {
            let strays = told["caught"]["strays"].as_u64().expect("a number");
            let points = told["caught"]["points"].as_u64().expect("a number");
            let riders = told["caught"]["riders"].as_array().expect("a list").len() as u64;
            let worth: u64 = (1..=strays).map(|number| number.min(3)).sum();
            assert!((worth..=worth + 3 * riders).contains(&points), "{told}");
            caught += 1;
        }
    }
    assert!(caught >= 8, "{caught} loops in 12 runs");
}

#[test]
fn bots_fill_the_arena_and_play() {
    let mut sim = simulation(4);
    let mut page = Page::new(&mut sim, " Ada\n\tthe first whose name is far too long ");
    sim.run_for(60 * SECOND);
    page.listen();
    assert_eq!(page.last().count, 8);
    let scores = page.told.iter().rev().find_map(|told| told["scores"].as_array()).expect("scores");
    assert_eq!(scores.len(), 8);
    let names: Vec<&str> = scores.iter().map(|score| score[1].as_str().expect("a name")).collect();
    assert!(names.contains(&"Ada the first whose "), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with("(bot)")).count(), 7, "{names:?}");
    let points: Vec<u64> = scores.iter().map(|score| score[2].as_u64().expect("points")).collect();
    assert!(points.is_sorted_by(|one, other| one >= other) && points[0] > 0, "{points:?}");
    // The names of riders in sight come on request.
    let ids: Vec<u16> = page.last().riders.iter().map(|rider| rider.id).collect();
    page.peer.send(&json!({"who": ids}).to_string());
    page.peer.send(&json!({"join": {"name": "Zoë"}}).to_string());
    page.peer.send(&json!({"who": [page.id, 65_535]}).to_string());
    sim.run_for(TICK);
    page.listen();
    let names: Vec<&Value> = page.told.iter().filter(|told| told["names"].is_array()).collect();
    assert_eq!(names[0]["names"].as_array().map(Vec::len), Some(ids.len()));
    assert_eq!(*names[1], json!({"names": [[page.id, "Zoë"]]}));
    // With enough people, bots leave.
    let mut others: Vec<Page> = (0..10).map(|number| Page::new(&mut sim, &number.to_string())).collect();
    sim.run_for(2 * SECOND);
    page.listen();
    assert_eq!(page.last().count, 11);
    others.truncate(2);
    sim.run_for(2 * SECOND);
    page.listen();
    assert_eq!(page.last().count, 8);
}

#[test]
fn a_round_ends_with_a_winner_and_the_next_one_starts_at_zero() {
    let mut sim = simulation(5);
    let mut page = Page::new(&mut sim, "Ada");
    sim.run_for(85 * SECOND);
    page.listen();
    assert!((4..=7).contains(&page.last().seconds), "{}", page.last().seconds);
    assert!(page.told.iter().all(|told| told.get("round").is_none()));
    // Until the round ends, and one tick more.
    while page.last().seconds < 80 {
        sim.run_for(TICK);
        page.listen();
    }
    let rounds: Vec<&Value> = page.told.iter().filter_map(|told| told.get("round")).collect();
    assert_eq!(rounds.len(), 1, "{rounds:?}");
    assert!(rounds[0][1].as_u64() > Some(0), "{rounds:?}");
    assert_eq!((page.last().seconds, page.last().points), (90, 0));
}

#[test]
fn nonsense_is_refused_and_network_faults_do_no_harm() {
    let mut sim = simulation(6);
    for nonsense in ["", "{}", "[]", "{\"who\":[70000]}", "{\"join\":{}}", "{\"leap\":1}"] {
        let peer = sim.connect("/arena");
        peer.send(nonsense);
        sim.run_for(SECOND);
        assert!(!peer.is_open(), "{nonsense}");
    }
    for nonsense in [&[][..], &[1, 2, 3], &[0; 5]] {
        let peer = sim.connect("/arena");
        peer.send(nonsense);
        sim.run_for(SECOND);
        assert!(!peer.is_open(), "{nonsense:?}");
    }
    let greedy = sim.connect("/arena");
    greedy.send(&json!({"who": vec![1; 65]}).to_string());
    let early = sim.connect("/arena");
    early.send(&[1, 0, 127, 0]);
    sim.run_for(SECOND);
    assert!(!greedy.is_open() && early.is_open(), "a wish before coming in is none");
    drop(early);
    for seed in 0..10 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = simulation(seed);
        let mut pages: BTreeMap<usize, Page> = BTreeMap::new();
        let mut faults = Faults::rough();
        faults.reset = 0.005;
        sim.set_faults(faults);
        for round in 0..60 {
            for number in 0..12 {
                if pages.get(&number).is_none_or(|page| !page.peer.is_open() && round % 5 == 0) {
                    pages.insert(number, Page::new(&mut sim, &number.to_string()));
                }
            }
            for page in pages.values_mut() {
                page.wish(random.random(), random.random());
            }
            sim.run_for(TICK * 2);
            pages.values_mut().for_each(Page::listen);
        }
        let still: Vec<&Page> = pages.values().filter(|page| page.peer.is_open() && page.id != 0).collect();
        assert!(still.len() >= 3, "seed {seed}: {}", still.len());
        for page in still {
            assert!(page.snapshots.windows(2).all(|two| two[0].tick < two[1].tick), "seed {seed}: in order");
        }
    }
}
