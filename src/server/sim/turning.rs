//! One loop of a simulated server.

use crate::protocol::time::Moment;
use crate::server::app::Handler;
use crate::server::clients::Queue;
use crate::server::config::Config;
use crate::server::event_loop::{EventLoop, Parts};
#[cfg(all(unix, feature = "handover"))]
use crate::server::event_loop::{Handing, Predecession, Recorded};
#[cfg(all(unix, feature = "handover"))]
use crate::server::handover::HandoverError;
use crate::server::net::memory::NetworkRef;
use crate::server::net::{Listener, Poller, Question, Resolver};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A loop of the server.
pub(super) struct Turning<H: Handler> {
    pub(super) event_loop: EventLoop<H>,
    /// Names that it wants to have looked up.
    questions: Receiver<Question>,
    /// For the loop that takes over.
    #[cfg(all(unix, feature = "handover"))]
    config: Config,
}

impl<H: Handler> Turning<H> {
    pub(super) fn new(
        number: u8,
        network: NetworkRef,
        listeners: Vec<Listener>,
        queue: Arc<Queue<H::Data>>,
        config: Config,
        seed: u64,
        handler: H,
    ) -> Turning<H> {
        let (ask, questions) = channel();
        let parts = Parts {
            number: number.into(),
            poller: Poller::Simulated(network.on_loop(number)),
            listeners,
            queue,
            config,
            seed: Some(seed.wrapping_add(number.into())),
            resolver: Some(Resolver::by_hand(ask)),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
            #[cfg(all(unix, feature = "handover"))]
            handing: Handing::default(),
            #[cfg(all(unix, feature = "handover"))]
            taking: None,
        };
        #[cfg(all(unix, feature = "handover"))]
        let config = parts.config.clone();
        let event_loop = EventLoop::new(parts, handler).expect("a simulated loop asks the system for nothing");
        Turning {
            event_loop,
            questions,
            #[cfg(all(unix, feature = "handover"))]
            config,
        }
    }

    /// Returns the loop that takes over from this one.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn take_over(
        &self,
        network: NetworkRef,
        seed: u64,
        handler: H,
        recorded: Recorded,
    ) -> Result<Turning<H>, HandoverError> {
        let (ask, questions) = channel();
        let (config, listeners) = (self.config.clone(), self.event_loop.listeners_again());
        let parts = Parts {
            number: 0,
            poller: Poller::Simulated(network.on_loop(0)),
            queue: Arc::new(Queue::new(None, config.remote_queue)),
            config: config.clone(),
            seed: Some(seed),
            resolver: Some(Resolver::by_hand(ask)),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
            handing: Handing {
                #[cfg(feature = "tls")]
                tls: listeners.iter().find_map(|listener| listener.arrival.tls.clone()),
                ..Handing::default()
            },
            listeners,
            taking: Some(Predecession::Recorded(recorded)),
        };
        let event_loop = EventLoop::new(parts, handler).map_err(|error| {
            let cause = error.downcast::<HandoverError>();
            cause.unwrap_or_else(|error| HandoverError::Unable(error.to_string()))
        })?;
        Ok(Turning { event_loop, questions, config })
    }

    pub(super) fn turn(&mut self, network: NetworkRef, timeout: Option<Duration>) {
        self.answer_questions(network);
        self.event_loop.turn(timeout).expect("a simulated poller does not fail");
        self.answer_questions(network);
    }

    fn answer_questions(&mut self, network: NetworkRef) {
        while let Ok(question) = self.questions.try_recv() {
            let found = network.with(|network| network.names.get(&question.name).copied());
            let addresses = found.map(|ip| SocketAddr::new(ip, question.port)).into_iter().collect();
            self.event_loop.clients_mut().resolved(question.id, addresses);
        }
    }

    /// Whether it has stopped.
    pub(super) const fn has_stopped(&self) -> bool {
        self.event_loop.outcome().is_some()
    }

    /// Returns when it turns at the latest, if it does.
    pub(super) fn next_moment(&self) -> Option<Moment> {
        if self.has_stopped() { None } else { self.event_loop.next_moment() }
    }

    /// Whether it has something to do at a time, without an event.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next_moment().is_some_and(|due| due <= now)
    }
}
