//! The rules: what happens in a tick.
//!
//! Each rider has a rope behind it: its places of the last three seconds. A rider that crosses its
//! own rope closes a loop, and catches the strays inside: the first counts one point, the second
//! two, each further one three. Riders inside are held for two seconds and lose up to three points
//! to the catcher. When two riders collide, the slower one drops its rope.

use super::plane::{Grid, Vec2, area, crosses, is_within};
use super::rider::{Rider, Steering};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::f32::consts::TAU;

/// Ticks per second.
pub(super) const RATE: u32 = 20;

/// The top speed in units per second.
const SPEED: f32 = 260.0;

/// The share of the difference to the wanted speed that a rider gains in a tick.
const RESPONSE: f32 = 0.3;

/// The speed of a rider that is held, as a share of the top speed.
const HELD_SPEED: f32 = 0.3;

/// The radius of a rider.
pub(super) const RADIUS: f32 = 16.0;

/// A rope goes back for so many ticks.
pub(super) const ROPE: usize = 3 * RATE as usize;

/// A rider that was caught is held for so many ticks.
const HELD: u8 = 2 * RATE as u8;

/// A rider that was caught loses at most so many points.
const LOSS: u32 = 3;

/// A stray counts at most so many points.
const MOST_POINTS: u32 = 3;

/// A smaller area does not count as a loop.
const SMALLEST_LOOP: f32 = 1_500.0;

/// In a collision, a rider drops its rope if the other one is this much faster, in units per
/// second.
const BUMP: f32 = 60.0;

/// Bots fill the arena up to so many riders.
pub(super) const FULL: usize = 8;

/// A bot that has closed a loop is slow for so many ticks.
const BOT_REST: u32 = 4 * RATE;

/// The side of the square for each rider.
const SPACE: f32 = 320.0;

/// The least side of the pasture, and the most by which it shrinks in a tick.
pub(super) const LEAST_SIDE: f32 = 1_200.0;
const SHRINKAGE: f32 = 10.0;

/// The strays for each rider, and in each herd.
pub(super) const STRAYS: usize = 4;
pub(super) const HERD: usize = 6;

/// The ticks of a round.
pub(super) const ROUND: u32 = 90 * RATE;

/// An event that pages learn of.
pub(super) enum Event {
    /// A loop was closed: by whom, how many strays were in it, which riders it holds, and the
    /// points.
    Caught { by: u16, strays: usize, held: Vec<u16>, points: u32 },
    /// A round is over. There is a winner if anybody has a point.
    Round { winner: Option<(String, u32)> },
}

pub(super) struct Stray {
    pub(super) place: Vec2,
    pub(super) herd: usize,
    /// Its wanted place in the herd.
    pub(super) offset: Vec2,
}

/// A group of strays that moves slowly to a goal.
pub(super) struct Herd {
    pub(super) place: Vec2,
    pub(super) goal: Vec2,
}

/// The pasture, with riders and strays.
pub(super) struct World {
    pub(super) tick: u32,
    /// The pasture is a square with this side.
    pub(super) side: f32,
    pub(super) riders: Vec<Rider>,
    pub(super) strays: Vec<Stray>,
    pub(super) herds: Vec<Herd>,
    /// The ticks until the round ends.
    pub(super) rest: u32,
    pub(super) near_riders: Grid,
    pub(super) near_strays: Grid,
    pub(super) next_id: u16,
    pub(super) random: StdRng,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            tick: 0,
            side: LEAST_SIDE,
            riders: Vec::new(),
            strays: Vec::new(),
            herds: Vec::new(),
            rest: ROUND,
            near_riders: Grid::default(),
            near_strays: Grid::default(),
            next_id: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Adds a person or a bot, and returns its id, which no other rider has.
    pub(super) fn add(&mut self, name: String, steering: Steering) -> u16 {
        while self.next_id == 0 || self.riders.iter().any(|rider| rider.id == self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        self.side = self.side.max(World::wanted_side(self.riders.len() + 1));
        let place = self.somewhere();
        self.riders.push(Rider::new(self.next_id, name, place, steering));
        self.next_id
    }

    /// Returns the side of a pasture for so many riders.
    fn wanted_side(riders: usize) -> f32 {
        (SPACE * (riders as f32).sqrt()).max(LEAST_SIDE)
    }

    fn somewhere(&mut self) -> Vec2 {
        let mut coordinate = || self.random.random_range(0.1..0.9) * self.side;
        Vec2::new(coordinate(), coordinate())
    }

    // ---- a tick --------------------------------------------------------------------------------

    /// Moves the world on by one tick.
    pub(super) fn step(&mut self) -> Vec<Event> {
        self.tick += 1;
        self.populate();
        self.steer_bots();
        for rider in &mut self.riders {
            ride(rider, self.side);
        }
        self.near_riders.fill(self.side, self.riders.iter().map(|rider| rider.place));
        self.bump();
        self.wander();
        self.near_strays.fill(self.side, self.strays.iter().map(|stray| stray.place));
        let mut events = Vec::new();
        for index in 0..self.riders.len() {
            if let Some(line) = self.riders[index].draw_rope() {
                events.extend(self.catch(index, &line));
            }
        }
        self.rest -= 1;
        if self.rest == 0 {
            events.push(self.end_round());
        }
        if self.tick % (RATE / 2) == 0 {
            self.rank();
        }
        events
    }

    /// Adds or removes bots, strays and space, as the riders need them.
    fn populate(&mut self) {
        let people = self.riders.iter().filter(|rider| !rider.is_bot()).count();
        let bots = self.riders.len() - people;
        if people + bots < FULL {
            let name = format!("{} (bot)", Rider::bot_name(bots));
            let seed = self.random.random();
            self.add(name, Steering::bot(seed));
        } else if people + bots > FULL && bots > 0 {
            let bot = self.riders.iter().rposition(Rider::is_bot);
            bot.map(|index| self.riders.swap_remove(index));
        }
        self.side = World::wanted_side(self.riders.len()).max(self.side - SHRINKAGE);
        let strays = self.riders.len() * STRAYS;
        let herds = strays.div_ceil(HERD);
        while self.herds.len() < herds {
            let (place, goal) = (self.somewhere(), self.somewhere());
            self.herds.push(Herd { place, goal });
        }
        self.herds.truncate(herds);
        self.strays.truncate(strays);
        while self.strays.len() < strays {
            let stray = self.stray();
            self.strays.push(stray);
        }
    }

    /// Returns a new stray of a random herd.
    fn stray(&mut self) -> Stray {
        let herd = self.random.random_range(0..self.herds.len());
        let (angle, distance) = (self.random.random_range(0.0..TAU), self.random.random_range(5.0..45.0));
        let offset = Vec2::new(angle.cos(), angle.sin()) * distance;
        Stray { place: self.herds[herd].place + offset * 2.0, herd, offset }
    }

    fn steer_bots(&mut self) {
        let herds: Vec<Vec2> = self.herds.iter().map(|herd| herd.place).collect();
        for rider in &mut self.riders {
            rider.steer(&herds, self.tick);
        }
    }

    /// Handles collisions: two riders swap their speeds along the line between them.
    fn bump(&mut self) {
        for one in 0..self.riders.len() {
            let place = self.riders[one].place;
            for other in self.near_riders.near(place, 2.0 * RADIUS).filter(|other| *other > one) {
                let way = self.riders[other].place - self.riders[one].place;
                let gap = way.length() - 2.0 * RADIUS;
                if gap >= 0.0 {
                    continue;
                }
                let towards = if way == Vec2::default() { Vec2::new(1.0, 0.0) } else { way.direction() };
                let (ours, theirs) = (self.riders[one].speed.dot(towards), self.riders[other].speed.dot(towards));
                let push = towards * (gap / 2.0);
                let swap = towards * (theirs - ours).min(0.0);
                for (index, sign) in [(one, 1.0), (other, -1.0)] {
                    let rider = &mut self.riders[index];
                    rider.place = (rider.place + push * sign).clamp(RADIUS, self.side - RADIUS);
                    rider.speed += swap * sign;
                }
                // If they ride towards each other, `theirs` is negative, and both may be fast.
                let faster = ours.abs() - theirs.abs();
                if ours - theirs > BUMP && faster.abs() > BUMP {
                    self.riders[if faster > 0.0 { other } else { one }].drop_rope();
                }
            }
        }
    }

    fn wander(&mut self) {
        let per_tick = |speed: f32| speed / RATE as f32;
        for herd in &mut self.herds {
            let way = herd.goal - herd.place;
            herd.place += way.direction() * per_tick(25.0);
            if way.length() < 30.0 || herd.goal.x.max(herd.goal.y) > self.side {
                herd.goal = Vec2::new(self.random.random(), self.random.random()) * (self.side * 0.8)
                    + Vec2::new(0.1, 0.1) * self.side;
            }
        }
        for stray in &mut self.strays {
            stray.herd %= self.herds.len().max(1);
            let way = self.herds[stray.herd].place + stray.offset - stray.place;
            let length = way.length().min(per_tick(45.0));
            stray.place += way.direction() * length;
            if self.random.random_bool(0.01) {
                let angle = self.random.random_range(0.0..TAU);
                stray.offset = Vec2::new(angle.cos(), angle.sin()) * self.random.random_range(5.0..45.0);
            }
            stray.place = stray.place.clamp(0.0, self.side);
        }
    }

    /// Catches what is inside the line that a rider has closed.
    fn catch(&mut self, by: usize, line: &[Vec2]) -> Option<Event> {
        if area(line) < SMALLEST_LOOP {
            return None;
        }
        let low = line.iter().copied().reduce(|a, b| Vec2::new(a.x.min(b.x), a.y.min(b.y)))?;
        let high = line.iter().copied().reduce(|a, b| Vec2::new(a.x.max(b.x), a.y.max(b.y)))?;
        let (middle, reach) = ((low + high) * 0.5, (high - low).x.max((high - low).y) * 0.5);
        let within = |place: Vec2| is_within(line, place);
        let strays = self.near_strays.near(middle, reach).filter(|index| within(self.strays[*index].place));
        let strays: Vec<usize> = strays.collect();
        let riders = self.near_riders.near(middle, reach);
        let riders = riders.filter(|index| *index != by && within(self.riders[*index].place));
        let riders: Vec<usize> = riders.filter(|index| self.riders[*index].held == 0).collect();
        let mut points = (1..=strays.len() as u32).map(|number| number.min(MOST_POINTS)).sum::<u32>();
        for stray in &strays {
            self.strays[*stray] = self.stray();
        }
        for index in &riders {
            let rider = &mut self.riders[*index];
            let loss = rider.score.min(LOSS);
            (rider.held, rider.score, points) = (HELD, rider.score - loss, points + loss);
            rider.drop_rope();
        }
        let held = riders.iter().map(|index| self.riders[*index].id).collect();
        let rider = &mut self.riders[by];
        rider.loops = rider.loops.wrapping_add(1);
        rider.score += points;
        rider.steering.rest_until(self.tick + BOT_REST);
        Some(Event::Caught { by: rider.id, strays: strays.len(), held, points })
    }

    /// Ranks the riders by points, from 1 on.
    fn rank(&mut self) {
        let mut order: Vec<usize> = (0..self.riders.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(self.riders[*index].score));
        for (place, index) in order.into_iter().enumerate() {
            self.riders[index].rank = place as u16 + 1;
        }
    }

    fn end_round(&mut self) -> Event {
        let best = self.riders.iter().max_by_key(|rider| rider.score).filter(|rider| rider.score > 0);
        let winner = best.map(|rider| (rider.name.clone(), rider.score));
        self.riders.iter_mut().for_each(|rider| rider.score = 0);
        self.rest = ROUND;
        Event::Round { winner }
    }
}

/// Moves a rider by one tick. `pages/arena.js` does the same, to show its own rider before the
/// answer of the server.
fn ride(rider: &mut Rider, side: f32) {
    let share = if rider.held > 0 { HELD_SPEED } else { 1.0 };
    rider.held = rider.held.saturating_sub(1);
    let wanted = rider.wanted() * (SPEED * share);
    rider.speed += (wanted - rider.speed) * RESPONSE;
    let place = rider.place + rider.speed * (1.0 / RATE as f32);
    rider.place = place.clamp(RADIUS, side - RADIUS);
    // The fence stops the rider.
    if rider.place.x != place.x {
        rider.speed.x = 0.0;
    }
    if rider.place.y != place.y {
        rider.speed.y = 0.0;
    }
}

/// Returns the line that the last piece of a rope closes, if this piece crosses the rope.
pub(super) fn closed_line(rope: &[Vec2]) -> Option<&[Vec2]> {
    let [.., before, now] = rope else { return None };
    let pieces = rope.windows(2).take(rope.len().saturating_sub(3));
    let first = pieces.into_iter().position(|piece| crosses(*before, *now, piece[0], piece[1]))?;
    Some(&rope[first + 1..])
}
