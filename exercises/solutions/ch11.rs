//! Chapter 11, many receivers.
//!
//! The question of the chapter: a client masks each frame with a key of its own, so the bytes are
//! different for each connection.

use crate::ch11::CELL;
use lariat::{ClientId, Clients, Handler, Message};

/// Exercise 1. The topics of a client say in which room it is.
#[derive(Debug, Default)]
pub struct Rooms;

impl Handler for Rooms {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let Some(text) = message.as_text() else { return };
        let room = clients.topics(id).next().map(str::to_owned);
        match (text.strip_prefix("/join "), room) {
            (Some(name), room) => {
                if let Some(old) = right!(room, not room.filter(|_| false)) {
                    clients.unsubscribe(id, &old);
                }
                clients.subscribe(id, name);
            }
            (None, room) if text == "/who" => {
                let count = room.map_or(0, |room| clients.subscribers(&room));
                let _ = clients.send(id, &count.to_string());
            }
            (None, Some(room)) => drop(clients.publish_except(&room, id, message)),
            (None, None) => {}
        }
    }
}

/// Exercise 2. A turn writes to at most 1,024 clients. The mistake is to think that it writes to
/// all.
pub fn turns_that_write(subscribers: usize) -> usize {
    right!(subscribers.div_ceil(1_024), not subscribers.min(1))
}

/// Exercise 3. A player subscribes to nine cells, and speaks in its own.
#[derive(Debug, Default)]
pub struct World;

impl World {
    fn topic((x, y): (i32, i32)) -> String {
        format!("cell {x} {y}")
    }

    /// Returns the cells that a player of a cell hears.
    fn near((x, y): (i32, i32)) -> impl Iterator<Item = (i32, i32)> {
        (x - 1..=x + 1).flat_map(move |x| (y - 1..=y + 1).map(move |y| (x, y)))
    }

    fn go(clients: &mut Clients<Option<(i32, i32)>>, id: ClientId, cell: (i32, i32)) {
        let Some(old) = clients.data_mut(id).map(|place| place.replace(cell)) else { return };
        let (left, entered): (Vec<_>, Vec<_>) =
            (old.into_iter().flat_map(World::near).collect(), World::near(cell).collect());
        for cell in left.iter().filter(|cell| !entered.contains(cell)) {
            clients.unsubscribe(id, &World::topic(*cell));
        }
        for cell in entered.iter().filter(|cell| !left.contains(cell)) {
            clients.subscribe(id, &World::topic(*cell));
        }
    }
}

impl Handler for World {
    type Data = Option<(i32, i32)>;

    fn on_message(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, message: Message<'_>) {
        let Some(text) = message.as_text() else { return };
        if let Some(words) = text.strip_prefix("say ") {
            if let Some(Some(cell)) = clients.data(id).copied() {
                clients.publish_except(&World::topic(cell), id, words);
            }
        } else if let Some((x, y)) = text.strip_prefix("at ").and_then(|place| place.split_once(' ')) {
            let (Ok(x), Ok(y)) = (x.parse::<i32>(), y.parse::<i32>()) else { return };
            // `/` rounds towards 0, so cell 0 would be twice as large.
            let cell = right!((x.div_euclid(CELL), y.div_euclid(CELL)), not(x / CELL, y / CELL));
            World::go(clients, id, cell);
        }
    }
}
