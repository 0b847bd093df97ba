//! Chapter 11, many receivers.

use lariat::{ClientId, Clients, Handler, Message};

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. Rooms.
///
/// * The text "/join NAME" moves a client into the room NAME. A client is in one room at most.
/// * The text "/who" is answered with the number of clients in the sender's room, as text.
/// * Any other text goes to all other clients in the sender's room.
///
/// A client that is in no room gets the answer "0" to "/who", and its other texts go to nobody.
/// [`Clients::topics`] lists the topics of a client.
#[derive(Debug, Default)]
pub struct Rooms;

impl Handler for Rooms {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        todo!()
    }
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. A message is published to a topic with so many subscribers, and nothing else
/// happens. In how many turns does the loop write it?
pub fn turns_that_write(subscribers: usize) -> usize {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// The length of a side of a cell.
pub const CELL: i32 = 100;

/// Exercise 3. A game in which one hears only what is near.
///
/// The world is divided into square cells, [`CELL`] units long. The text "at X Y" moves a player
/// there. X and Y are whole numbers, and may be negative. The text "say WORDS" reaches, as "WORDS",
/// all other players whose cell is that of the speaker or touches it, also at a corner. A player
/// that was nowhere yet hears nothing, and nobody hears it.
///
/// Do not look at all players for each text: use topics.
#[derive(Debug, Default)]
pub struct World;

impl Handler for World {
    /// The player's cell, if it is somewhere.
    type Data = Option<(i32, i32)>;

    fn on_message(&mut self, clients: &mut Clients<Self::Data>, id: ClientId, message: Message<'_>) {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch11: Rooms, turns_that_write, World);
    use super::CELL;
    use lariat::sim::{Peer, Simulation};
    use lariat::{ClientId, Clients, Config, Handler};

    #[test]
    fn ex1_rooms_have_walls() {
        let mut sim = Simulation::new(1, Config::default(), Rooms);
        let (ada, ben, cleo) = (sim.connect("/"), sim.connect("/"), sim.connect("/"));
        let mut say = |peer: &Peer, text: &str| {
            peer.send(text);
            sim.run_until_idle();
            [&ada, &ben, &cleo].map(|peer| peer.received_text().join("|"))
        };
        assert_eq!(say(&ada, "is anybody there?"), ["", "", ""]);
        assert_eq!(say(&ada, "/who"), ["0", "", ""]);
        assert_eq!(say(&ada, "/join red"), ["", "", ""]);
        assert_eq!(say(&ben, "/join red"), ["", "", ""]);
        assert_eq!(say(&cleo, "/join blue"), ["", "", ""]);
        assert_eq!(say(&ada, "hello red"), ["", "hello red", ""]);
        assert_eq!(say(&cleo, "hello blue"), ["", "", ""]);
        assert_eq!(say(&ben, "/who"), ["", "2", ""]);
        assert_eq!(say(&ben, "/join blue"), ["", "", ""]);
        assert_eq!(say(&ben, "/join blue"), ["", "", ""]);
        assert_eq!(say(&cleo, "welcome"), ["", "welcome", ""]);
        assert_eq!(say(&ada, "and now?"), ["", "", ""]);
        assert_eq!(say(&ada, "/who"), ["1", "", ""]);
        assert_eq!(say(&ben, "/who"), ["", "2", ""]);
    }

    struct Subscribed;

    impl Handler for Subscribed {
        type Data = ();

        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            clients.subscribe(id, "news");
        }
    }

    #[test]
    fn ex2_many_writes_are_spread_over_turns() {
        for subscribers in [0, 1, 1_000, 1_024, 1_025, 2_048, 2_500] {
            let mut sim = Simulation::new(1, Config::default(), Subscribed);
            let peers: Vec<_> = (0..subscribers).map(|_| sim.connect("/")).collect();
            sim.run_until_idle();
            assert_eq!(sim.clients().publish("news", "it rains"), subscribers);
            let mut turns = 0;
            loop {
                let before = sim.clients().stats().writes;
                sim.step_at_once();
                if sim.clients().stats().writes == before {
                    break;
                }
                turns += 1;
            }
            assert!(peers.iter().all(|peer| peer.received_text() == ["it rains"]));
            assert_eq!(turns_that_write(subscribers), turns, "with {subscribers} subscribers");
        }
    }

    #[test]
    fn ex3_players_hear_what_is_near() {
        const PLAYERS: usize = 12;
        let mut sim = Simulation::new(1, Config::default(), World);
        let peers: Vec<_> = (0..PLAYERS).map(|_| sim.connect("/")).collect();
        let mut places = [None; PLAYERS];
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut heard = 0;
        for step in 0..1_500 {
            let who = random(PLAYERS as u64) as usize;
            if random(3) == 0 {
                let place = (random(700) as i32 - 350, random(700) as i32 - 350);
                places[who] = Some(place);
                peers[who].send(&format!("at {} {}", place.0, place.1));
                sim.run_until_idle();
                continue;
            }
            peers[who].send(&format!("say word {step}"));
            sim.run_until_idle();
            let cell = |(x, y): (i32, i32)| (x.div_euclid(CELL), y.div_euclid(CELL));
            for (other, peer) in peers.iter().enumerate() {
                let is_near = match (places[who].map(cell), places[other].map(cell)) {
                    (Some(one), Some(two)) => one.0.abs_diff(two.0) <= 1 && one.1.abs_diff(two.1) <= 1,
                    _ => false,
                };
                let expected = if is_near && other != who { vec![format!("word {step}")] } else { Vec::new() };
                heard += expected.len();
                assert_eq!(peer.received_text(), expected, "{:?} speaks, and {:?} listens", places[who], places[other]);
            }
        }
        assert!(heard > 1_000, "{heard} words");
    }
}
