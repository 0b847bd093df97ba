//! A request that is kept.

use super::request::Request;
#[cfg(feature = "tls")]
use crate::protocol::tls::TlsInfo;
use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;

/// A copy of a [`Request`], to be kept, or to be given to another thread. It has the head and the
/// body, and nothing borrowed.
///
/// ```
/// use lariat::{Answer, ClientId, Clients, Handler, OwnedRequest, Request, Upgrade, http::StatusCode};
///
/// /// Asks a database. It may block.
/// fn decide(request: &OwnedRequest) -> Answer {
///     let request = request.get();
///     match request.cookies().find(|(name, _)| *name == "session") {
///         Some(_) => Upgrade::new().into(),
///         None => StatusCode::FORBIDDEN.into(),
///     }
/// }
///
/// struct Gateway;
///
/// impl Handler for Gateway {
///     type Data = ();
///     fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
///         let (remote, request) = (clients.remote(), request.to_owned());
///         std::thread::spawn(move || remote.answer(id, decide(&request)));
///         Answer::Later
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedRequest {
    head: Box<[u8]>,
    body: Box<[u8]>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsInfo>>,
}

impl OwnedRequest {
    /// Returns the request. It parses the head again, so call it once and not for each header.
    pub fn get(&self) -> Request<'_> {
        let mut request = Request::unread(&self.head, &self.body);
        #[cfg(feature = "tls")]
        request.set_tls(self.tls.clone());
        request.read().expect("it was parsed before");
        request
    }
}

impl Request<'_> {
    /// Copies the request.
    pub fn to_owned(&self) -> OwnedRequest {
        OwnedRequest {
            head: self.head().into(),
            body: self.body().into(),
            #[cfg(feature = "tls")]
            tls: self.shared_tls().cloned(),
        }
    }
}

impl fmt::Debug for OwnedRequest {
    /// Shows what was requested. The query and the headers may have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.get();
        f.debug_struct("OwnedRequest")
            .field("method", request.method())
            .field("path", &request.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_all_of_the_request() {
        let head = b"POST /talk?room=secret HTTP/1.1\r\nHost: example.org\r\nCookie: a=1; b=2\r\nCookie: c=3\r\n\
            Content-Length: 5\r\n\r\n";
        let copy = {
            let (head, body) = (head.to_vec(), b"hello".to_vec());
            Request::parse(&head).expect("a valid request").with_body(&body).to_owned()
        };
        let request = copy.get();
        assert_eq!(
            (request.method(), request.path(), request.query()),
            (&http::Method::POST, "/talk", Some("room=secret"))
        );
        assert_eq!(
            (request.host(), request.body(), request.headers().count()),
            (Some("example.org"), &b"hello"[..], 4)
        );
        assert_eq!(request.cookies().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(copy, copy.get().to_owned());
        let shown = format!("{copy:?}");
        assert!(shown.contains("/talk") && !shown.contains("secret"), "{shown}");
        const fn is_send<T: Send + 'static>(_: &T) {}
        is_send(&copy);
    }

    #[test]
    fn a_copy_of_an_upgrade_knows_its_subprotocols() {
        let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n\r\n";
        let copy = Request::parse(head).expect("a valid request").to_owned();
        assert!(copy.get().is_upgrade());
        assert_eq!(copy.get().choose_subprotocol(&["chat.v1"]), Some("chat.v1"));
    }
}
