//! What one rider sees of a tick, in bytes.
//!
//! | bytes | of all | |
//! |--:|---|---|
//! | 0 | u32 | tick |
//! | 4 | u16 | number of the last wish that has been obeyed |
//! | 6 | u16 | for how many ticks it has been obeyed |
//! | 8 | 4 × f32 | the rider's own place (x, y) and speed (x, y) |
//! | 24 | u16 | side of the pasture |
//! | 26 | u16 | own points |
//! | 28 | u16 | own rank |
//! | 30 | u16 | riders in all |
//! | 32 | u8 | seconds until the round ends |
//! | 33 | u8 | *r*, riders that follow, the rider itself first |
//! | 34 | u8 | *s*, strays that follow |
//!
//! | bytes | of each of the *r* riders | |
//! |--:|---|---|
//! | 0 | u16 | id |
//! | 2 | 2 × u16 | place, in quarters of a unit |
//! | 6 | u8 | how many ticks the rope goes back |
//! | 7 | u8 | loops that it has closed, modulo 256 |
//! | 8 | u8 | ticks for which it is held |
//!
//! | bytes | of each of the *s* strays | |
//! |--:|---|---|
//! | 0 | u16 | which |
//! | 2 | 2 × u16 | place, in quarters of a unit |
//!
//! All numbers are little-endian. At most 35 + 64 × 9 + 96 × 6 = 1,187 bytes, mostly some 300.

use super::plane::Vec2;
use super::rider::Rider;
use super::world::{RATE, World};

/// What is farther away than this, in either direction, is not told.
const SIGHT: f32 = 840.0;

/// So many riders and strays are told; the nearest.
const MAX_RIDERS: usize = 64;
const MAX_STRAYS: usize = 96;

/// What somebody sees, written into `bytes`.
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

/// Those in sight; if there are too many, the nearest. The nearest of all comes first: oneself,
/// among riders.
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
