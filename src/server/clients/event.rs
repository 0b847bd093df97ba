//! Events that other threads post to the handler.

use crate::server::data::ClientData;
use std::any::{Any, type_name};
use std::fmt;

/// A value that another thread has given to [`Remote::post`](crate::Remote::post), for
/// [`Handler::on_event`](crate::Handler::on_event).
///
/// It may have any type that can be sent between threads. A handler usually has one enum for all of
/// its events. A handler that composes parts asks for several types:
///
/// ```
/// use lariat::{Clients, Event, Handler};
///
/// struct Price(u64);
/// struct Quit;
///
/// struct Market {
///     last: u64,
/// }
///
/// impl Handler for Market {
///     type Data = ();
///     fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
///         let event = match event.downcast::<Price>() {
///             Ok(Price(price)) => {
///                 self.last = price;
///                 clients.broadcast(&price.to_string());
///                 return;
///             }
///             Err(event) => event,
///         };
///         if event.is::<Quit>() {
///             clients.shutdown(lariat::Drain::default());
///         } else {
///             event.log_unhandled(clients);
///         }
///     }
/// }
/// ```
pub struct Event {
    value: Box<dyn Any + Send>,
    type_name: &'static str,
}

impl Event {
    /// Wraps a value. [`Remote::post`](crate::Remote::post) does that. Use it to call
    /// [`Handler::on_event`](crate::Handler::on_event) yourself: in a test, from a host's own loop,
    /// or for a handler that is a part of yours.
    pub fn new<T: Any + Send>(value: T) -> Event {
        Event { value: Box::new(value), type_name: type_name::<T>() }
    }

    /// Returns whether the value has this type.
    pub fn is<T: Any>(&self) -> bool {
        self.value.is::<T>()
    }

    /// Returns a reference to the value, if it has this type.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// Returns the value, if it has this type.
    ///
    /// # Errors
    ///
    /// The value has another type. The event comes back unchanged.
    pub fn downcast<T: Any>(self) -> Result<T, Event> {
        let Event { value, type_name } = self;
        value.downcast().map(|value| *value).map_err(|value| Event { value, type_name })
    }

    /// Returns the name of the value's type, for logs. It is
    /// [not unique](std::any::type_name).
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// Drops the event and logs a warning with the name of its type and the route. The default of
    /// [`Handler::on_event`](crate::Handler::on_event) calls it.
    #[cold]
    pub fn log_unhandled<D: ClientData>(self, clients: &super::Clients<D>) {
        let route = clients.route_pattern().unwrap_or("all paths");
        log::warn!("the handler of {route} has dropped an event that it does not know: {}", self.type_name);
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.type_name).finish()
    }
}
