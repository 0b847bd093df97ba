//! Points, lines and areas in the plane, and a grid to find near points.

use std::ops::{Add, AddAssign, Mul, Sub};

/// A place, or the way from one place to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Vec2 {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Vec2 {
    pub(super) const fn new(x: f32, y: f32) -> Vec2 {
        Vec2 { x, y }
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub(super) fn dot(self, other: Vec2) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Returns twice the area of the triangle that the two span. It is negative if `other` points
    /// to the other side.
    pub(super) fn cross(self, other: Vec2) -> f32 {
        self.x * other.y - self.y * other.x
    }

    /// Returns this way with length 1, or 0 if its length is 0.
    pub(super) fn direction(self) -> Vec2 {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    pub(super) fn clamp(self, low: f32, high: f32) -> Vec2 {
        Vec2::new(self.x.clamp(low, high), self.y.clamp(low, high))
    }
}

impl Add for Vec2 {
    type Output = Vec2;
    fn add(self, other: Vec2) -> Vec2 {
        Vec2::new(self.x + other.x, self.y + other.y)
    }
}

impl AddAssign for Vec2 {
    fn add_assign(&mut self, other: Vec2) {
        *self = *self + other;
    }
}

impl Sub for Vec2 {
    type Output = Vec2;
    fn sub(self, other: Vec2) -> Vec2 {
        Vec2::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Vec2 {
    type Output = Vec2;
    fn mul(self, factor: f32) -> Vec2 {
        Vec2::new(self.x * factor, self.y * factor)
    }
}

/// Returns whether the way from `a` to `b` crosses the one from `c` to `d`.
pub(super) fn crosses(a: Vec2, b: Vec2, c: Vec2, d: Vec2) -> bool {
    let sides = |a: Vec2, b: Vec2, c: Vec2, d: Vec2| (b - a).cross(c - a) * (b - a).cross(d - a);
    sides(a, b, c, d) < 0.0 && sides(c, d, a, b) < 0.0
}

/// Returns the area within a closed line.
pub(super) fn area(line: &[Vec2]) -> f32 {
    let next = line.iter().cycle().skip(1);
    (line.iter().zip(next).map(|(one, next)| one.cross(*next)).sum::<f32>() / 2.0).abs()
}

/// Returns whether a place is within a closed line.
pub(super) fn is_within(line: &[Vec2], place: Vec2) -> bool {
    let next = line.iter().cycle().skip(1);
    let is_passed = |(one, next): (&Vec2, &Vec2)| {
        (one.y > place.y) != (next.y > place.y)
            && place.x < (next.x - one.x) * (place.y - one.y) / (next.y - one.y) + one.x
    };
    line.iter().zip(next).filter(|ends| is_passed(*ends)).count() % 2 == 1
}

/// The side of a cell.
const CELL: f32 = 200.0;

/// Many places, sorted into cells, so that a search for near places does not look at all of them.
/// It is filled again for each tick, in the same memory.
#[derive(Default)]
pub(super) struct Grid {
    columns: usize,
    /// The start of each cell in `entries`, row by row.
    starts: Vec<u32>,
    entries: Vec<u32>,
}

impl Grid {
    fn cell(&self, at: f32) -> usize {
        ((at / CELL).max(0.0) as usize).min(self.columns - 1)
    }

    /// Sorts these places in a square with this side into cells.
    pub(super) fn fill(&mut self, side: f32, places: impl Iterator<Item = Vec2> + Clone) {
        self.columns = (side / CELL).ceil().max(1.0) as usize;
        self.starts.clear();
        self.starts.resize(self.columns * self.columns + 1, 0);
        let cell = |grid: &Grid, place: Vec2| grid.cell(place.y) * grid.columns + grid.cell(place.x);
        let mut count = 0;
        for place in places.clone() {
            let cell = cell(self, place);
            self.starts[cell] += 1;
            count += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.entries.resize(count, 0);
        for (index, place) in places.enumerate() {
            let cell = cell(self, place);
            self.starts[cell] -= 1;
            self.entries[self.starts[cell] as usize] = index as u32;
        }
    }

    /// Returns the numbers of the places in all cells that the square around a place touches. Some
    /// of them are a little outside the square.
    pub(super) fn near(&self, place: Vec2, reach: f32) -> impl Iterator<Item = usize> + '_ {
        let columns = self.cell(place.x - reach)..=self.cell(place.x + reach);
        let rows = self.cell(place.y - reach)..=self.cell(place.y + reach);
        rows.flat_map(move |row| {
            let first = self.starts[row * self.columns + columns.start()] as usize;
            let end = self.starts[row * self.columns + columns.end() + 1] as usize;
            self.entries[first..end].iter().map(|index| *index as usize)
        })
    }
}
