//! What a page sees of a tick, in bytes.
//!
//! | byte | type | meaning |
//! |--:|---|---|
//! | 0 | u32 | tick |
//! | 4 | u16 | the number of the last wish that was followed |
//! | 6 | u16 | the ticks for which it has been followed |
//! | 8 | 4 × f32 | the rider's own place (x, y) and speed (x, y) |
//! | 24 | u16 | the side of the pasture |
//! | 26 | u16 | the own points |
//! | 28 | u16 | the own rank |
//! | 30 | u16 | all riders |
//! | 32 | u8 | the seconds until the round ends |
//! | 33 | u8 | *r*, the riders that follow, the own one first |
//! | 34 | u8 | *s*, the strays that follow |
//!
//! For each of the *r* riders:
//!
//! | byte | type | meaning |
//! |--:|---|---|
//! | 0 | u16 | id |
//! | 2 | 2 × u16 | place, in quarters of a unit |
//! | 6 | u8 | the ticks for which the rope goes back |
//! | 7 | u8 | the loops that it has closed, modulo 256 |
//! | 8 | u8 | the ticks for which it is still held |
//!
//! For each of the *s* strays:
//!
//! | byte | type | meaning |
//! |--:|---|---|
//! | 0 | u16 | number |
//! | 2 | 2 × u16 | place, in quarters of a unit |
//!
//! All numbers are little-endian. A snapshot has at most 35 + 64 × 9 + 96 × 6 = 1,187 bytes, and
//! mostly about 300.

use super::plane::Vec2;
use super::rider::Rider;
use super::world::{RATE, World};

/// A page sees what is at most this far away, in each direction.
const SIGHT: f32 = 840.0;

/// The most riders and strays in a snapshot: the nearest ones.
const MAX_RIDERS: usize = 64;
const MAX_STRAYS: usize = 96;

/// Writes what a rider sees into `bytes`.
pub(super) fn write(world: &World, own: &Rider, near: &mut Vec<usize>, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend(world.tick.to_le_bytes());
    bytes.extend(own.wish_number.to_le_bytes());
    bytes.extend(own.wish_age.to_le_bytes());
    for number in [own.place.x, own.place.y, own.speed.x, own.speed.y] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [world.side as u32, own.score, u32::from(own.rank), world.riders.len() as u32] {
        bytes.extend(u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
    }
    bytes.extend([world.rest.div_ceil(RATE) as u8, 0, 0]);
    let counts = bytes.len() - 2;

    let places = |index: usize| world.riders[index].place;
    sort_nearest(near, own.place, world.near_riders.near(own.place, SIGHT), places, MAX_RIDERS);
    bytes[counts] = near.len() as u8;
    for index in near.iter() {
        let rider = &world.riders[*index];
        write_place(bytes, rider.id, rider.place);
        bytes.extend([rider.rope_length() as u8, rider.loops, rider.held]);
    }

    let places = |index: usize| world.strays[index].place;
    sort_nearest(near, own.place, world.near_strays.near(own.place, SIGHT), places, MAX_STRAYS);
    bytes[counts + 1] = near.len() as u8;
    for index in near.iter() {
        write_place(bytes, *index as u16, places(*index));
    }
}

/// Keeps the places in sight, or the nearest of them if there are too many. The nearest one comes
/// first; among riders, this is the own one.
fn sort_nearest(
    near: &mut Vec<usize>,
    place: Vec2,
    found: impl Iterator<Item = usize>,
    places: impl Fn(usize) -> Vec2,
    most: usize,
) {
    let distance = |index: &usize| {
        let way = places(*index) - place;
        way.dot(way)
    };
    let is_in_sight = |index: &usize| {
        let way = places(*index) - place;
        way.x.abs() <= SIGHT && way.y.abs() <= SIGHT
    };
    near.clear();
    near.extend(found.filter(is_in_sight));
    if near.len() > most {
        near.select_nth_unstable_by(most, |one, other| distance(one).total_cmp(&distance(other)));
        near.truncate(most);
    }
    let first = (0..near.len()).min_by(|one, other| distance(&near[*one]).total_cmp(&distance(&near[*other])));
    if let Some(first) = first {
        near.swap(0, first);
    }
}

fn write_place(bytes: &mut Vec<u8>, which: u16, place: Vec2) {
    let [[a, b], [c, d], [e, f]] = [which, (place.x * 4.0) as u16, (place.y * 4.0) as u16].map(u16::to_le_bytes);
    bytes.extend_from_slice(&[a, b, c, d, e, f]);
}
