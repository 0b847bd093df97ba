//! Somebody on the pasture: a person or a bot.

use super::plane::Vec2;
use super::world::{RATE, ROPE, closed_line};
use lariat::ClientId;

/// Someone of whom nothing is heard for so many ticks stops.
const PATIENCE: u32 = 2 * RATE;

/// Bots ride around their herd at this distance, and never as fast as people.
const AROUND: f32 = 62.0;
const BOT_SPEED: f32 = 0.75;

/// The next herd of a bot is one of so many.
const NEAREST: usize = 4;

/// A bot looks for another herd after so many ticks.
const BOT_PATIENCE: u32 = 12 * RATE;

const BOT_NAMES: [&str; 8] = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gum", "Hazel"];

/// Who says where it goes.
pub(super) enum Steering {
    Person {
        client: ClientId,
        /// When something was heard of it.
        heard_at: u32,
    },
    Bot {
        /// A number by chance.
        seed: u32,
        herd: usize,
        since: u32,
        rests_until: u32,
    },
}

impl Steering {
    pub(super) const fn bot(seed: u32) -> Steering {
        Steering::Bot { seed, herd: 0, since: 0, rests_until: 0 }
    }

    pub(super) const fn rest_until(&mut self, tick: u32) {
        if let Steering::Bot { rests_until, .. } = self {
            *rests_until = tick;
        }
    }
}

pub(super) struct Rider {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) steering: Steering,
    pub(super) place: Vec2,
    /// Units in a second.
    pub(super) speed: Vec2,
    /// Where it wants to go, as a share of the greatest speed; at most of length 1.
    wish: Vec2,
    /// The number of that wish, and for how many ticks it has been obeyed.
    pub(super) wish_number: u16,
    pub(super) wish_age: u16,
    /// Where it was, the latest last.
    rope: Vec<Vec2>,
    /// Loops that it has closed.
    pub(super) loops: u8,
    /// Ticks for which it is held.
    pub(super) held: u8,
    pub(super) score: u32,
    pub(super) rank: u16,
}

impl Rider {
    pub(super) fn new(id: u16, name: String, place: Vec2, steering: Steering) -> Rider {
        Rider {
            id,
            name,
            steering,
            place,
            speed: Vec2::default(),
            wish: Vec2::default(),
            wish_number: 0,
            wish_age: 0,
            rope: Vec::with_capacity(ROPE + 1),
            loops: 0,
            held: 0,
            score: 0,
            rank: 0,
        }
    }

    pub(super) fn bot_name(number: usize) -> &'static str {
        BOT_NAMES[number % BOT_NAMES.len()]
    }

    pub(super) const fn is_bot(&self) -> bool {
        matches!(self.steering, Steering::Bot { .. })
    }

    pub(super) const fn client(&self) -> Option<ClientId> {
        match self.steering {
            Steering::Person { client, .. } => Some(client),
            Steering::Bot { .. } => None,
        }
    }

    /// A person wants to go somewhere else, or still there.
    pub(super) fn wish(&mut self, number: u16, wish: Vec2, tick: u32) {
        if let Steering::Person { heard_at, .. } = &mut self.steering {
            *heard_at = tick;
        }
        let length = wish.length();
        self.wish = if length > 1.0 { wish * (1.0 / length) } else { wish };
        (self.wish_number, self.wish_age) = (number, 0);
    }

    /// Its wish, which is obeyed for another tick.
    pub(super) fn wanted(&mut self) -> Vec2 {
        self.wish_age = self.wish_age.saturating_add(1);
        self.wish
    }

    /// Bots make up their mind; those of whom nothing was heard stop.
    pub(super) fn steer(&mut self, herds: &[Vec2], tick: u32) {
        match &mut self.steering {
            Steering::Person { heard_at, .. } => {
                if tick - *heard_at > PATIENCE {
                    self.wish = Vec2::default();
                }
            }
            Steering::Bot { seed, herd, since, rests_until } => {
                if herds.is_empty() {
                    return;
                }
                if tick - *since > BOT_PATIENCE || *since == 0 || *herd >= herds.len() {
                    *seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                    // One of the nearest, so that not all ride around the same one, nor to the
                    // other end of the pasture.
                    let place = self.place;
                    let distance = |index: &usize| (herds[*index] - place).length();
                    let mut nearest: Vec<usize> = (0..herds.len()).collect();
                    nearest.sort_by(|one, other| distance(one).total_cmp(&distance(other)));
                    *herd = nearest[(*seed >> 16) as usize % herds.len().min(NEAREST)];
                    *since = tick;
                }
                let way = herds[*herd] - self.place;
                let (towards, turn) = (way.direction(), if *seed & 1 == 0 { 1.0 } else { -1.0 });
                let around = Vec2::new(-towards.y, towards.x) * turn;
                let nearer = ((way.length() - AROUND) / AROUND).clamp(-1.0, 1.0);
                self.wish = (around * (1.2 - nearer.abs()) + towards * nearer).direction()
                    * if tick < *rests_until { 0.3 } else { BOT_SPEED };
            }
        }
    }

    /// The rope goes on to where the rider is now. If that closes a loop, the rope begins anew, and
    /// the loop is returned.
    pub(super) fn draw_rope(&mut self) -> Option<Vec<Vec2>> {
        if self.rope.len() > ROPE {
            self.rope.remove(0);
        }
        self.rope.push(self.place);
        let line = closed_line(&self.rope)?.to_vec();
        self.drop_rope();
        Some(line)
    }

    pub(super) fn drop_rope(&mut self) {
        self.rope.clear();
        self.rope.push(self.place);
    }

    /// How many ticks its rope goes back.
    pub(super) fn rope_length(&self) -> usize {
        self.rope.len().saturating_sub(1)
    }
}
