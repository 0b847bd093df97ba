//! Chapter 12, an application.

use lariat::{Answer, ClientId, Clients, Handler, Message, Request};

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. A name for each, and each for one.
///
/// A client asks for `/?name=Ada`. A request without a name gets 400 (`StatusCode::BAD_REQUEST`).
/// If another client has this name now, the answer is 409 (`StatusCode::CONFLICT`). The name is
/// free again when that client has gone. Each text goes to all clients, as "Ada: TEXT".
///
/// [`Request::query_value`] has the name, and [`Clients::iter`] the other clients.
#[derive(Debug, Default)]
pub struct Names;

impl Handler for Names {
    /// The name.
    type Data = String;

    fn on_request(&mut self, clients: &mut Clients<String>, id: ClientId, request: &Request<'_>) -> Answer {
        todo!()
    }

    fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, message: Message<'_>) {
        todo!()
    }
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. The path is the room.
///
/// A client that asks for `/room/tea` is in the room "tea". All other paths get 404
/// (`StatusCode::NOT_FOUND`), and so do `/room/` and names with a `/`. A message goes to all other
/// clients in the room of its sender. A client that leaves tells the others in its room: "somebody
/// has left".
#[derive(Debug, Default)]
pub struct Paths;

impl Handler for Paths {
    /// The room.
    type Data = String;

    fn on_request(&mut self, clients: &mut Clients<String>, id: ClientId, request: &Request<'_>) -> Answer {
        todo!()
    }

    fn on_open(&mut self, clients: &mut Clients<String>, id: ClientId) {
        todo!()
    }

    fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, message: Message<'_>) {
        todo!()
    }

    fn on_close(&mut self, clients: &mut Clients<String>, id: ClientId, reason: &lariat::CloseReason) {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. A test that finds bugs.
///
/// `make` makes a handler that promises this: each message goes to all clients except its sender,
/// unchanged and in order. A client whose connection breaks has received the first messages,
/// without a gap.
///
/// Run the handler in a [`Simulation`](lariat::sim::Simulation) on a bad network
/// ([`Faults::rough`](lariat::sim::Faults::rough)), with the seeds from 0 to 99. For each seed, let
/// a client send at least 50 different texts to two others. Return the first seed with which the
/// promise is broken.
pub fn first_broken<H: Handler<Data = ()>>(make: impl Fn() -> H) -> Option<u64> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch12: Names, Paths, first_broken);
    use lariat::sim::{Peer, Simulation};
    use lariat::{ClientId, Clients, CloseReason, Config, Handler, Message, Unaccepted};

    /// Returns the status with which a peer was refused.
    fn status(peer: &Peer) -> Option<u16> {
        match peer.close_reason() {
            Some(CloseReason::Unaccepted(Unaccepted::Status(status))) => Some(status.as_u16()),
            _ => None,
        }
    }

    #[test]
    fn ex1_a_name_belongs_to_one_client() {
        let mut sim = Simulation::new(1, Config::default(), Names);
        // Two at once, and one later.
        let (ada, twin, ben) = (sim.connect("/?name=Ada"), sim.connect("/?name=Ada"), sim.connect("/?name=Ben"));
        sim.run_until_idle();
        let (late, nameless, empty) = (sim.connect("/?name=Ada"), sim.connect("/"), sim.connect("/?name="));
        sim.run_until_idle();
        assert!(ada.is_open() && ben.is_open());
        assert_eq!([&twin, &late, &nameless, &empty].map(status), [Some(409), Some(409), Some(400), Some(400)]);

        ben.send("hello");
        sim.run_until_idle();
        assert_eq!((ada.received_text(), ben.received_text()), (vec!["Ben: hello".into()], vec!["Ben: hello".into()]));

        ada.hang_up();
        sim.run_until_idle();
        let next = sim.connect("/?name=Ada");
        sim.run_until_idle();
        assert!(next.is_open(), "{:?}", next.close_reason());
        next.send("I am the new one");
        sim.run_until_idle();
        assert_eq!(ben.received_text(), ["Ada: I am the new one"]);
    }

    #[test]
    fn ex2_each_path_is_a_room() {
        let mut sim = Simulation::new(1, Config::default(), Paths);
        let lost = ["/", "/room", "/room/", "/room/a/b", "/other/tea"].map(|path| sim.connect(path));
        let [ada, ben, cleo] = ["/room/tea", "/room/tea", "/room/te"].map(|path| sim.connect(path));
        sim.run_until_idle();
        assert_eq!(lost.each_ref().map(status), [Some(404); 5]);
        ada.send("two cups");
        cleo.send("hello?");
        sim.run_until_idle();
        assert_eq!([&ada, &ben, &cleo].map(Peer::received_text), [vec![], vec!["two cups".to_owned()], vec![]]);
        ada.send(b"a picture");
        sim.run_until_idle();
        assert_eq!(ben.received(), [lariat::OwnedMessage::from(b"a picture".to_vec())]);

        ben.reset();
        sim.run_until_idle();
        assert_eq!([&ada, &cleo].map(Peer::received_text), [vec!["somebody has left".to_owned()], vec![]]);
    }

    /// A handler that does something wrong with every 40th message.
    struct Relay {
        fault: Fault,
        count: u64,
        held: Option<String>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Fault {
        None,
        Forget,
        SendBack,
        Change,
        Swap,
        LeaveOneOut,
    }

    impl Handler for Relay {
        type Data = ();

        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
            let Some(text) = message.as_text() else { return };
            let others: Vec<ClientId> = clients.iter().filter(|other| *other != id).collect();
            self.count += 1;
            let (mut receivers, mut texts) = (others.as_slice(), vec![text.to_owned()]);
            match self.fault {
                _ if self.count % 40 != 0 => {}
                Fault::None => {}
                Fault::Forget => texts.clear(),
                Fault::SendBack => _ = clients.send(id, text),
                Fault::Change => texts[0].push('!'),
                Fault::Swap => return self.held = texts.pop(),
                Fault::LeaveOneOut => receivers = &others[..others.len().min(1)],
            }
            texts.extend(self.held.take());
            for text in texts {
                receivers.iter().for_each(|receiver| _ = clients.send(*receiver, &text));
            }
        }
    }

    #[test]
    fn ex3_broken_handlers_are_found() {
        let first = |fault| first_broken(|| Relay { fault, count: 0, held: None });
        assert_eq!(first(Fault::None), None, "this handler keeps the promise");
        for fault in [Fault::Forget, Fault::SendBack, Fault::Change, Fault::Swap, Fault::LeaveOneOut] {
            assert!(first(fault).is_some(), "the handler with the fault {fault:?} was not found");
        }
    }
}
