//! The application's data of a client: always there, or given when the client is accepted.

/// A type that can be the [`Data`](crate::Handler::Data) of a handler's clients.
///
/// Every type with [`Default`] is one: its data exists from the beginning of a connection. A type
/// without `Default` says that its data is given later:
///
/// ```
/// use lariat::http::StatusCode;
/// use lariat::{Answer, ClientData, ClientId, Clients, Handler, Message, Request, Upgrade};
///
/// struct User {
///     name: String,
/// }
///
/// impl ClientData for User {
///     type Stored = Option<User>;
/// }
///
/// struct Chat;
///
/// impl Handler for Chat {
///     type Data = User;
///     fn on_request(&mut self, _: &mut Clients<User>, _: ClientId, request: &Request<'_>) -> Answer {
///         match request.path().strip_prefix("/as/") {
///             Some(name) => Upgrade::new().with_data(User { name: name.to_owned() }).into(),
///             None => StatusCode::NOT_FOUND.into(),
///         }
///     }
///     fn on_message(&mut self, clients: &mut Clients<User>, id: ClientId, message: Message<'_>) {
///         let Some(client) = clients.get(id) else { return };
///         let line = format!("{}: {}", client.data().name, message.as_text().unwrap_or("(bytes)"));
///         clients.broadcast(&line);
///     }
/// }
/// ```
///
/// Until the data is given, [`Clients::data`](crate::Clients::data) and
/// [`Clients::get`](crate::Clients::get) return `None`. Give it in `on_request`
/// ([`Upgrade::with_data`](crate::Upgrade::with_data)), or at any time
/// ([`Clients::set_data`](crate::Clients::set_data)), for example right after
/// [`Clients::connect`](crate::Clients::connect) or [`Clients::adopt`](crate::Clients::adopt). A
/// request that is accepted without data gets 500 instead, and the log has the reason.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the data of clients: it neither has a default nor says that it is given later",
    note = "derive `Default`, or write `impl lariat::ClientData for {Self} {{ type Stored = Option<{Self}>; }}`"
)]
pub trait ClientData: Sized + 'static {
    /// How the data is stored in the client's slab entry: `Option<Self>`.
    type Stored: Stored<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: Default + 'static> ClientData for T {
    type Stored = Always<T>;
}

/// A place for the data of a client.
///
/// `Option` is the one for types without [`Default`]. The other one is [`Always`].
pub trait Stored<T>: Default + 'static + sealed::Sealed {
    /// Returns the data, if it exists.
    fn get(&self) -> Option<&T>;
    /// Returns the data, mutably, if it exists.
    fn get_mut(&mut self) -> Option<&mut T>;
    /// Replaces the data.
    fn set(&mut self, data: T);
}

/// Data that exists from the beginning. It takes no more memory than the data itself.
#[derive(Debug, Default)]
pub struct Always<T>(T);

impl<T: Default + 'static> Stored<T> for Always<T> {
    #[inline]
    fn get(&self) -> Option<&T> {
        Some(&self.0)
    }

    #[inline]
    fn get_mut(&mut self) -> Option<&mut T> {
        Some(&mut self.0)
    }

    fn set(&mut self, data: T) {
        self.0 = data;
    }
}

impl<T: 'static> Stored<T> for Option<T> {
    #[inline]
    fn get(&self) -> Option<&T> {
        self.as_ref()
    }

    #[inline]
    fn get_mut(&mut self) -> Option<&mut T> {
        self.as_mut()
    }

    fn set(&mut self, data: T) {
        *self = Some(data);
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Always<T> {}
    impl<T> Sealed for Option<T> {}
}
