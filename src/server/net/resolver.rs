//! Looks up the addresses of a host.
//!
//! A lookup can block for seconds, so it runs on a separate thread.

use crate::protocol::Escaped;
use crate::server::id::ClientId;
use std::net::{SocketAddr, ToSocketAddrs};
#[cfg(feature = "sim")]
use std::sync::mpsc::Sender;
use std::sync::mpsc::{Receiver, channel};

/// A thread that looks up names. It ends when the last sender of requests is dropped.
///
/// What is behind `ask` is only in programs that [start](Self::start) one.
pub(crate) struct Resolver {
    ask: Box<dyn Fn(Question) -> bool + Send>,
}

#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: ClientId,
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Resolver {
    /// Another answers, in a simulation.
    #[cfg(feature = "sim")]
    pub(crate) fn by_hand(questions: Sender<Question>) -> Resolver {
        Resolver { ask: Box::new(move |question| questions.send(question).is_ok()) }
    }

    /// Calls `tell` with the addresses of each name, on that thread. There are none if the name was
    /// not found.
    pub(crate) fn start(tell: impl FnMut(ClientId, Vec<SocketAddr>) + Send + 'static) -> Resolver {
        let (questions, receiver) = channel();
        let name = "lariat-resolver".to_owned();
        if let Err(error) = std::thread::Builder::new().name(name).spawn(move || answer(&receiver, tell)) {
            log::error!("cannot start the thread that looks up names: {error}");
        }
        Resolver { ask: Box::new(move |question| questions.send(question).is_ok()) }
    }

    /// Asks for a lookup. Returns `false` if the thread has ended.
    pub(crate) fn ask(&self, question: Question) -> bool {
        (self.ask)(question)
    }
}

fn answer(questions: &Receiver<Question>, mut tell: impl FnMut(ClientId, Vec<SocketAddr>)) {
    for Question { id, name, port } in questions {
        let addresses: Vec<SocketAddr> = match (name.as_str(), port).to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                log::warn!("{}: {error}", Escaped(name));
                Vec::new()
            }
        };
        tell(id, addresses);
    }
}
