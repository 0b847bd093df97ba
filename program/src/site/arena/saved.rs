//! What the arena keeps, for the process that takes over.
//!
//! The world goes on with the random numbers of that process. Which places are near each other is
//! found anew in each tick.

use super::handler::{Arena, MAX_PEOPLE};
use super::plane::Vec2;
use super::rider::{Rider, Steering};
use super::world::{FULL, HERD, Herd, LEAST_SIDE, ROPE, ROUND, STRAYS, Stray, World};
use crate::site::carried::check;
use lariat::{ClientId, RestoreError, TimerId, saved};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;

/// Ticks and points are below this number: years of them.
const MOST: u32 = 1 << 31;

/// The pasture is not larger. It is less than half as large with the most people.
const MOST_SIDE: f32 = 40_000.0;

/// The handler. Which rider a client is follows from the riders.
#[derive(Deserialize, Serialize)]
struct SavedArena<'a> {
    seed: u64,
    timer: Option<TimerId>,
    scores: Cow<'a, str>,
    tick: u32,
    side: f32,
    rest: u32,
    next_id: u16,
    riders: Vec<SavedRider<'a>>,
    strays: Vec<SavedStray>,
    herds: Vec<SavedHerd>,
}

#[derive(Deserialize, Serialize)]
struct SavedRider<'a> {
    id: u16,
    name: Cow<'a, str>,
    steering: SavedSteering,
    place: Point,
    speed: Point,
    wish: Point,
    wish_number: u16,
    wish_age: u16,
    rope: Vec<Point>,
    loops: u8,
    held: u8,
    score: u32,
    rank: u16,
}

#[derive(Deserialize, Serialize)]
enum SavedSteering {
    Person { client: ClientId, heard_at: u32 },
    Bot { seed: u32, herd: u32, since: u32, rests_until: u32 },
}

#[derive(Deserialize, Serialize)]
struct SavedStray {
    place: Point,
    herd: u32,
    offset: Point,
}

#[derive(Deserialize, Serialize)]
struct SavedHerd {
    place: Point,
    goal: Point,
}

/// A place, a way or a speed. A list, because there are many.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Point(f32, f32);

impl From<Vec2> for Point {
    fn from(Vec2 { x, y }: Vec2) -> Point {
        Point(x, y)
    }
}

impl Point {
    fn to_vec(self) -> Result<Vec2, RestoreError> {
        let Point(x, y) = self;
        check(x.abs() <= MOST_SIDE && y.abs() <= MOST_SIDE, "a place")?;
        Ok(Vec2::new(x, y))
    }
}

impl Arena {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let World { tick, side, rest, next_id, .. } = self.world;
        let stray = |stray: &Stray| SavedStray {
            place: stray.place.into(),
            herd: stray.herd as u32,
            offset: stray.offset.into(),
        };
        let herd = |herd: &Herd| SavedHerd { place: herd.place.into(), goal: herd.goal.into() };
        saved::to_bytes(&SavedArena {
            seed: self.seed,
            timer: self.timer,
            scores: (&*self.scores).into(),
            tick,
            side,
            rest,
            next_id,
            riders: self.world.riders.iter().map(Rider::saved).collect(),
            strays: self.world.strays.iter().map(stray).collect(),
            herds: self.world.herds.iter().map(herd).collect(),
        })
    }

    /// Restores what was saved. The random numbers stay.
    pub(super) fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let saved: SavedArena<'_> = saved::from_bytes(bytes)?;
        check(saved.tick < MOST && (1..=ROUND).contains(&saved.rest), "the time of the arena")?;
        check((LEAST_SIDE..=MOST_SIDE).contains(&saved.side), "the pasture")?;
        let most = MAX_PEOPLE + FULL;
        let (strays, herds) = (saved.strays.len(), saved.herds.len());
        check(saved.riders.len() <= most && strays <= most * STRAYS && herds <= most * STRAYS / HERD + 1, "a crowd")?;
        let riders = saved.riders.into_iter().map(|rider| Rider::restored(rider, saved.tick));
        let riders = riders.collect::<Result<Vec<_>, _>>()?;
        let ids: HashSet<u16> = riders.iter().map(|rider| rider.id).collect();
        check(ids.len() == riders.len() && !ids.contains(&0), "the id of a rider")?;
        let people: Vec<_> = riders.iter().filter_map(|rider| Some((rider.client()?, rider.id))).collect();
        let count = people.len();
        self.people = people.into_iter().collect();
        check(self.people.len() == count, "a person who is there twice")?;
        let world = &mut self.world;
        (world.tick, world.side, world.rest, world.next_id) = (saved.tick, saved.side, saved.rest, saved.next_id);
        world.riders = riders;
        world.strays = saved.strays.into_iter().map(Stray::restored).collect::<Result<_, _>>()?;
        world.herds = saved.herds.into_iter().map(Herd::restored).collect::<Result<_, _>>()?;
        (self.seed, self.timer, self.scores) = (saved.seed, saved.timer, saved.scores.into_owned());
        Ok(())
    }
}

impl Rider {
    fn saved(&self) -> SavedRider<'_> {
        let steering = match self.steering {
            Steering::Person { client, heard_at } => SavedSteering::Person { client, heard_at },
            Steering::Bot { seed, herd, since, rests_until } => {
                SavedSteering::Bot { seed, herd: herd as u32, since, rests_until }
            }
        };
        SavedRider {
            id: self.id,
            name: (&*self.name).into(),
            steering,
            place: self.place.into(),
            speed: self.speed.into(),
            wish: self.wish.into(),
            wish_number: self.wish_number,
            wish_age: self.wish_age,
            rope: self.rope.iter().copied().map(Point::from).collect(),
            loops: self.loops,
            held: self.held,
            score: self.score,
            rank: self.rank,
        }
    }

    fn restored(saved: SavedRider<'_>, tick: u32) -> Result<Rider, RestoreError> {
        let steering = match saved.steering {
            SavedSteering::Person { client, heard_at } => {
                check(heard_at <= tick, "the time of a rider")?;
                Steering::Person { client, heard_at }
            }
            SavedSteering::Bot { seed, herd, since, rests_until } => {
                check(since <= tick, "the time of a bot")?;
                Steering::Bot { seed, herd: herd as usize, since, rests_until }
            }
        };
        check(saved.rope.len() <= ROPE + 1, "a rope")?;
        check(saved.score < MOST, "a score")?;
        Ok(Rider {
            id: saved.id,
            name: saved.name.into_owned(),
            steering,
            place: saved.place.to_vec()?,
            speed: saved.speed.to_vec()?,
            wish: saved.wish.to_vec()?.clamp(-1.0, 1.0),
            wish_number: saved.wish_number,
            wish_age: saved.wish_age,
            rope: saved.rope.into_iter().map(Point::to_vec).collect::<Result<_, _>>()?,
            loops: saved.loops,
            held: saved.held,
            score: saved.score,
            rank: saved.rank,
        })
    }
}

impl Stray {
    fn restored(saved: SavedStray) -> Result<Stray, RestoreError> {
        let SavedStray { place, herd, offset } = saved;
        Ok(Stray { place: place.to_vec()?, herd: herd as usize, offset: offset.to_vec()? })
    }
}

impl Herd {
    fn restored(saved: SavedHerd) -> Result<Herd, RestoreError> {
        Ok(Herd { place: saved.place.to_vec()?, goal: saved.goal.to_vec()? })
    }
}
