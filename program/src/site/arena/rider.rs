//! A rider, which is a person or a bot: its place, its wish and its rope.

use super::plane::Vec2;
use super::world::{RATE, ROPE, closed_line};
use lariat::ClientId;

/// A person who sends nothing for so many ticks stops.
const PATIENCE: u32 = 2 * RATE;

/// Bots ride around their herd at this distance, with this share of the top speed.
const AROUND: f32 = 62.0;
const BOT_SPEED: f32 = 0.75;

/// A bot chooses its next herd among so many.
const NEAREST: usize = 4;

/// A bot chooses another herd after so many ticks.
const BOT_PATIENCE: u32 = 12 * RATE;

const BOT_NAMES: [&str; 8] = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gum", "Hazel"];

/// Who steers a rider.
pub(super) enum Steering {
    Person {
        client: ClientId,
        /// The tick of the last message.
        heard_at: u32,
    },
    Bot {
        /// A random number.
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
    /// In units per second.
    pub(super) speed: Vec2,
    /// The wanted direction and speed, as a share of the top speed. Its length is at most 1.
    pub(super) wish: Vec2,
    /// The number of that wish.
    pub(super) wish_number: u16,
    /// The ticks for which it has been followed.
    pub(super) wish_age: u16,
    /// Its past places, the latest last.
    pub(super) rope: Vec<Vec2>,
    /// The loops that it has closed.
    pub(super) loops: u8,
    /// The ticks for which it is still held.
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

    /// Sets the wish of a person.
    pub(super) fn wish(&mut self, number: u16, wish: Vec2, tick: u32) {
        if let Steering::Person { heard_at, .. } = &mut self.steering {
            *heard_at = tick;
        }
        let length = wish.length();
        self.wish = if length > 1.0 { wish * (1.0 / length) } else { wish };
        (self.wish_number, self.wish_age) = (number, 0);
    }

    /// Returns the wish, and counts a tick for which it is followed.
    pub(super) fn wanted(&mut self) -> Vec2 {
        self.wish_age = self.wish_age.saturating_add(1);
        self.wish
    }

    /// Lets a bot choose its way, and stops a person who has sent nothing for long.
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
                    // One of the nearest: so not all bots ride around the same herd, and none
                    // crosses the whole pasture.
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

    /// Extends the rope to the present place. If this closes a loop, the rope starts again, and the
    /// loop is returned.
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

    /// Returns how many ticks the rope goes back.
    pub(super) fn rope_length(&self) -> usize {
        self.rope.len().saturating_sub(1)
    }
}
