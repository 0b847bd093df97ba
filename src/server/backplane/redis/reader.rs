//! What comes on the subscription connection?

use super::commands::{Packed, array, bytes, explain};
use super::link::Shared;
use super::topics::Order;
use redis::{Connection, Value};
use std::collections::VecDeque;

/// At most so many topics are subscribed by one command, and so many confirmations awaited.
const MOST_ORDERS: usize = 500;

/// A reader lives as long as its session, or until its connection has been silent for too long.
struct Reader<'a> {
    shared: &'a Shared,
    session: u64,
    connection: Connection,
    /// Of the Redis, for the log.
    address: String,
    /// What is not confirmed yet, in order. `None` is its own channel.
    sent: VecDeque<Option<Order>>,
}

/// Reads until the session ends.
pub(super) fn run(shared: &Shared, session: u64, connection: Connection, address: String) {
    let mut reader = Reader { shared, session, connection, address, sent: VecDeque::new() };
    if let Err(reason) = reader.read() {
        shared.lost(session, format!("on the connection for subscriptions: {reason}"));
    }
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), String> {
        let own = self.shared.names.own_channel();
        self.send(b"SUBSCRIBE", &[own.as_bytes()])?;
        self.sent.push_back(None);
        loop {
            let value = self.connection.recv_response().map_err(|error| explain(&error))?;
            if let Value::ServerError(error) = &value {
                return Err(format!("{} {}", error.code(), error.details().unwrap_or_default()));
            }
            let Some([kind, channel, rest]) = array(&value) else { return Err(UNEXPECTED.to_owned()) };
            let is_present = match (bytes(kind), bytes(channel), bytes(rest)) {
                (Some(b"message"), Some(channel), Some(_)) if channel == own.as_bytes() => self.woken()?,
                (Some(b"message"), Some(channel), Some(payload)) => {
                    self.shared.with_topics(|topics| topics.message(self.session, channel, payload))
                }
                (Some(b"subscribe" | b"unsubscribe"), ..) => self.confirmed()?,
                _ => return Err(UNEXPECTED.to_owned()),
            };
            if !is_present {
                return Ok(());
            }
        }
    }

    /// A subscription has begun or ended. Returns whether the session still is the present one.
    fn confirmed(&mut self) -> Result<bool, String> {
        match self.sent.pop_front() {
            None => Err(UNEXPECTED.to_owned()),
            Some(None) => {
                let timeout = Some(self.shared.settings.silence_timeout);
                self.connection.set_read_timeout(timeout).map_err(|error| explain(&error))?;
                let is_present = self.shared.with_topics(|topics| {
                    let is_present = topics.is_present(self.session);
                    if is_present {
                        // First, so that whoever hears of it can publish.
                        self.shared.tell(|queue| queue.is_connected = true);
                        topics.up(&self.address);
                    }
                    is_present
                });
                if is_present { self.woken() } else { Ok(false) }
            }
            Some(Some(order)) => {
                if order.is_subscribe {
                    self.shared.with_topics(|topics| topics.confirmed(self.session, &order));
                }
                if self.sent.is_empty() { self.woken() } else { Ok(true) }
            }
        }
    }

    /// There may be orders. Returns whether the session still is the present one.
    fn woken(&mut self) -> Result<bool, String> {
        while self.sent.len() < MOST_ORDERS {
            let most = MOST_ORDERS - self.sent.len();
            let orders = self.shared.with_topics(|topics| topics.orders(self.session, most));
            let Some(first) = orders.first() else { break };
            let command: &[u8] = if first.is_subscribe { b"SUBSCRIBE" } else { b"UNSUBSCRIBE" };
            let channels: Vec<String> = orders.iter().map(|order| self.shared.names.channel(&order.topic)).collect();
            self.send(command, &channels.iter().map(|channel| channel.as_bytes()).collect::<Vec<_>>())?;
            self.sent.extend(orders.into_iter().map(Some));
        }
        Ok(!self.shared.is_over(self.session))
    }

    fn send(&mut self, command: &[u8], channels: &[&[u8]]) -> Result<(), String> {
        let (mut packed, arguments) = (Packed::default(), std::iter::once(command).chain(channels.iter().copied()));
        packed.command(&arguments.collect::<Vec<_>>());
        self.connection.send_packed_command(&packed.bytes).map_err(|error| explain(&error))
    }
}

const UNEXPECTED: &str = "an unexpected reply";
