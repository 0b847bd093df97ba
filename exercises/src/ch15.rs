//! Chapter 15, handover.

use lariat::{ClientId, Clients, Handler, Message, RestoreError};
use std::io::{self, Read};

// ---- 1 ------------------------------------------------------------------------------------------

/// What a connection is doing when the server hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It has sent half of the head of its request.
    HalfAHead,
    /// The application has its request, and will answer later.
    Unanswered,
    /// It is being sent an HTTP response, piece by piece.
    Response,
    /// It is an open WebSocket, and silent.
    Silent,
    /// It has sent half a frame.
    HalfAFrame,
    /// It does not read, and bytes wait for it.
    NotReading,
    /// We have sent a Close, and it has not answered yet.
    Closing,
}

/// Exercise 1. Does it move to the new process?
///
/// The other connections stay behind: the old process serves them to their end.
pub fn moves(doing: Doing) -> bool {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Who has it?
///
/// A pipe contains one byte. Both processes have its reading end, which does not block. Whoever
/// reads the byte serves. Return whether that is this process.
///
/// Whoever comes too late finds the pipe empty, or at its end if the writer is gone. A read that
/// was interrupted says nothing.
///
/// # Errors
///
/// Every other error of a read: it is not known who serves.
pub fn have_it(token: &mut impl Read) -> io::Result<bool> {
    todo!()
}

// ---- 3 ------------------------------------------------------------------------------------------

/// A client of [`Greeter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// How many messages it has sent.
    pub messages: u64,
    /// The text of its first message. Version 1 does not keep it.
    pub name: String,
}

/// Exercise 3. Version 2 of a handler takes over from version 1.
///
/// This handler keeps the number of all messages, and a [`Visitor`] for each client. Its
/// `on_message` is there already. Write what is saved and restored.
///
/// Version 1 has saved 9 bytes, for the handler and for each client: the number 1, which is the
/// format, and the count of messages (`u64::to_le_bytes`). Version 2 must understand that. A client
/// of version 1 has no name: its name is empty, and stays so. For what version 2 saves itself,
/// choose a format of your own that begins with the number 2. Bytes that are neither must be
/// refused with an error, and must not panic.
#[derive(Debug, Default)]
pub struct Greeter {
    /// The number of all messages.
    pub messages: u64,
}

impl Handler for Greeter {
    type Data = Visitor;

    fn on_message(&mut self, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
        greet(&mut self.messages, clients, id, message);
    }

    fn save(&mut self, _: &mut Clients<Visitor>) -> Option<Vec<u8>> {
        todo!()
    }

    fn save_client(&mut self, clients: &mut Clients<Visitor>, id: ClientId) -> Option<Vec<u8>> {
        todo!()
    }

    fn restore(&mut self, _: &mut Clients<Visitor>, bytes: &[u8]) -> Result<(), RestoreError> {
        todo!()
    }

    fn restore_client(
        &mut self,
        clients: &mut Clients<Visitor>,
        id: ClientId,
        bytes: &[u8],
    ) -> Result<(), RestoreError> {
        todo!()
    }
}

/// What [`Greeter`] does with a message: counts it, and answers "NAME: OWN of ALL".
pub fn greet(all: &mut u64, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
    let (Some(visitor), Some(text)) = (clients.data_mut(id), message.as_text()) else { return };
    if visitor.messages == 0 {
        visitor.name = text.to_owned();
    }
    *all += 1;
    visitor.messages += 1;
    let answer = format!("{}: {} of {all}", visitor.name, visitor.messages);
    let _ = clients.send(id, &answer);
}

#[cfg(test)]
mod tests {
    answers!(ch15: moves, have_it, Greeter);
    use super::{Doing, Visitor, greet};
    use crate::kit::{FIN, REQUEST, TEXT, frame};
    use lariat::http::Response;
    use lariat::sim::Simulation;
    use lariat::{
        Answer, ClientId, Clients, CloseCode, Config, Handler, Http, HttpResponse, Message, Request, RestoreError,
        Upgrade,
    };
    use std::io::{self, ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    struct Host;

    impl Handler for Host {
        type Data = ();

        fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
            match request.path() {
                "/later" => Answer::Later,
                "/response" => HttpResponse::streamed(Response::new(())).into(),
                _ => Upgrade::new().into(),
            }
        }

        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
            match message.as_text() {
                Some("close") => clients.close(id, CloseCode::Normal, "").expect("it is open"),
                Some("much") => clients.send(id, &vec![0; 1 << 20]).expect("room for it"),
                _ => clients.send(id, message).expect("room for it"),
            }
        }
    }

    #[test]
    fn ex1_most_connections_move() {
        use Doing::{Closing, HalfAFrame, HalfAHead, NotReading, Response, Silent, Unanswered};
        for doing in [HalfAHead, Unanswered, Response, Silent, HalfAFrame, NotReading, Closing] {
            let mut config = Config::default();
            config.limits.http = Some(Http::default());
            let mut sim = Simulation::new(1, config, Host);
            let peer = sim.connect_raw();
            let hello = frame(FIN | TEXT, "hello");
            match doing {
                HalfAHead => peer.send_raw(&REQUEST[..30]),
                Unanswered => peer.send_raw(&[b"GET /later", &REQUEST[9..]].concat()),
                Response => peer.send_raw(b"GET /response HTTP/1.1\r\nHost: h\r\n\r\n"),
                Silent => peer.send_raw(REQUEST),
                HalfAFrame => peer.send_raw(&[REQUEST, &hello[..8]].concat()),
                NotReading => {
                    peer.send_raw(REQUEST);
                    sim.run_until_idle();
                    peer.stop_reading();
                    peer.send_raw(&frame(FIN | TEXT, "much"));
                }
                Closing => peer.send_raw(&[REQUEST, &frame(FIN | TEXT, "close")].concat()),
            }
            sim.run_until_idle();
            let has_moved = sim.hand_over(|_| Host).is_ok();
            assert_eq!(moves(doing), has_moved, "{doing:?}");

            // In the new process, it goes on where it was.
            if doing == HalfAHead {
                peer.send_raw(&REQUEST[30..]);
                sim.run_until_idle();
                assert!(peer.received_raw().starts_with(b"HTTP/1.1 101 "));
            } else if doing == HalfAFrame {
                peer.send_raw(&hello[8..]);
                sim.run_until_idle();
                assert!(peer.received_raw().ends_with(b"\x81\x05hello"));
            }
        }
    }

    struct Broken(ErrorKind);

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match std::mem::replace(&mut self.0, ErrorKind::ConnectionReset) {
                ErrorKind::Other => Ok(0),
                kind => Err(kind.into()),
            }
        }
    }

    #[test]
    fn ex2_exactly_one_serves() {
        let pair = || {
            let (mut writer, token) = UnixStream::pair().expect("a pair");
            token.set_nonblocking(true).expect("a socket that does not block");
            writer.write_all(&[1]).expect("room for a byte");
            (writer, token.try_clone().expect("a copy"), token)
        };
        let (writer, mut one, mut two) = pair();
        assert!(have_it(&mut one).expect("no error"));
        assert!(!have_it(&mut two).expect("no error"));
        drop(writer);
        assert!(!have_it(&mut two).expect("no error"), "the end of the stream is not the byte");

        // The one that sent everything may be killed at any time.
        let (writer, mut one, two) = pair();
        drop((writer, two));
        assert!(have_it(&mut one).expect("no error"));

        for _ in 0..300 {
            let (_writer, one, two) = pair();
            let threads =
                [one, two].map(|mut token| std::thread::spawn(move || have_it(&mut token).expect("no error")));
            let serving = threads.map(|thread| thread.join().expect("a thread"));
            assert_eq!(serving.iter().filter(|serves| **serves).count(), 1, "{serving:?}");
        }

        let error = |kind| have_it(&mut Broken(kind)).map_err(|error| error.kind());
        assert_eq!(error(ErrorKind::Interrupted), Err(ErrorKind::ConnectionReset), "it is tried again");
        assert_eq!(error(ErrorKind::BrokenPipe), Err(ErrorKind::BrokenPipe));
        assert_eq!(error(ErrorKind::WouldBlock), Ok(false));
        assert_eq!(error(ErrorKind::Other), Ok(false), "the end");
    }

    /// Version 1 of the server, or the reader's version 2.
    enum Version {
        One(u64),
        Two(Greeter),
    }

    fn bytes_of_one(count: u64) -> Vec<u8> {
        [&[1][..], &count.to_le_bytes()].concat()
    }

    impl Handler for Version {
        type Data = Visitor;

        fn on_message(&mut self, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
            match self {
                Version::One(all) => {
                    greet(all, clients, id, message);
                    clients.data_mut(id).expect("a client").name.clear();
                }
                Version::Two(greeter) => greeter.on_message(clients, id, message),
            }
        }

        fn save(&mut self, clients: &mut Clients<Visitor>) -> Option<Vec<u8>> {
            match self {
                Version::One(all) => Some(bytes_of_one(*all)),
                Version::Two(greeter) => greeter.save(clients),
            }
        }

        fn save_client(&mut self, clients: &mut Clients<Visitor>, id: ClientId) -> Option<Vec<u8>> {
            match self {
                Version::One(_) => Some(bytes_of_one(clients.data(id)?.messages)),
                Version::Two(greeter) => greeter.save_client(clients, id),
            }
        }

        fn restore(&mut self, clients: &mut Clients<Visitor>, bytes: &[u8]) -> Result<(), RestoreError> {
            let Version::Two(greeter) = self else { return Err("it is old".into()) };
            greeter.restore(clients, bytes)
        }

        fn restore_client(
            &mut self,
            clients: &mut Clients<Visitor>,
            id: ClientId,
            bytes: &[u8],
        ) -> Result<(), RestoreError> {
            let Version::Two(greeter) = self else { return Err("it is old".into()) };
            greeter.restore_client(clients, id, bytes)
        }
    }

    #[test]
    fn ex3_a_new_version_reads_what_the_old_one_has_saved() {
        let two = |_: &mut Version| Version::Two(Greeter::default());
        let mut sim = Simulation::new(1, Config::default(), Version::One(0));
        let ada = sim.connect("/");
        ada.send("Ada");
        ada.send("hello");
        sim.run_until_idle();
        assert_eq!(ada.received_text(), ["Ada: 1 of 1", ": 2 of 2"]);

        sim.hand_over(two).expect("version 2 takes over from version 1");
        let ben = sim.connect("/");
        ben.send("Ben 😀");
        sim.run_until_idle();
        ada.send("again");
        sim.run_until_idle();
        assert_eq!(
            (ada.received_text(), ben.received_text()),
            (vec![": 3 of 4".into()], vec!["Ben 😀: 1 of 3".into()])
        );

        sim.hand_over(two).expect("version 2 takes over from version 2");
        ben.send("still here");
        sim.run_until_idle();
        ada.send("so am I");
        sim.run_until_idle();
        assert_eq!(
            (ada.received_text(), ben.received_text()),
            (vec![": 4 of 6".into()], vec!["Ben 😀: 2 of 5".into()])
        );

        // Bytes of nobody.
        let id = sim.clients().iter().next().expect("a client");
        let saved = Greeter { messages: 7 }.save(sim.clients()).expect("bytes");
        let saved_client = Greeter::default().save_client(sim.clients(), id).expect("bytes");
        assert_eq!((saved[0], saved_client[0]), (2, 2), "the number of the format");
        let bad: [&[u8]; 7] = [&[], &[0], &[1], &[1; 8], &[1; 10], &[2], &[3; 9]];
        for bytes in bad {
            let mut greeter = Greeter::default();
            assert!(greeter.restore(sim.clients(), bytes).is_err(), "restore accepts {bytes:?}");
            assert!(greeter.restore_client(sim.clients(), id, bytes).is_err(), "restore_client accepts {bytes:?}");
        }
        assert!(Greeter::default().restore(sim.clients(), &saved[..saved.len() - 1]).is_err());
        let mut restored = Greeter::default();
        restored.restore(sim.clients(), &saved).expect("its own bytes");
        assert_eq!(restored.messages, 7);
    }
}
