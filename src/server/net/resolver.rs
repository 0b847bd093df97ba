//! At which addresses is a host?
//!
//! A name is looked up on a thread of its own, since that can block for seconds.

use crate::server::id::ClientId;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A thread that looks up names. It ends with the last sender of questions.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: Sender<Question>,
}

#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: ClientId,
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Resolver {
    /// Somebody else answers.
    #[cfg(feature = "sim")]
    pub(crate) const fn by_hand(questions: Sender<Question>) -> Resolver {
        Resolver { questions }
    }

    /// `tell` is told the addresses of each name, on that thread; there are none if it was not found.
    pub(crate) fn start(tell: impl FnMut(ClientId, Vec<SocketAddr>) + Send + 'static) -> Resolver {
        let (questions, receiver) = channel();
        let name = "lariat-resolver".to_owned();
        if let Err(error) = std::thread::Builder::new().name(name).spawn(move || answer(&receiver, tell)) {
            log::error!("cannot start the thread that looks up names: {error}");
        }
        Resolver { questions }
    }

    /// Has a name looked up. `false`: there is nobody to do it.
    pub(crate) fn ask(&self, question: Question) -> bool {
        self.questions.send(question).is_ok()
    }
}

fn answer(questions: &Receiver<Question>, mut tell: impl FnMut(ClientId, Vec<SocketAddr>)) {
    for Question { id, name, port } in questions {
        let addresses: Vec<SocketAddr> = match (name.as_str(), port).to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                log::warn!("{name}: {error}");
                Vec::new()
            }
        };
        tell(id, addresses);
    }
}
