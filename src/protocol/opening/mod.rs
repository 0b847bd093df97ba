//! The opening handshake: HTTP heads (RFC 6455 §4, RFC 9112).
//!
//! | file | question |
//! |---|---|
//! | `accept_key` | which key shows that the server has understood the request? |
//! | `body` | where does a request's body end? |
//! | `lists` | how many elements may a list in a head have? |
//! | `request` | what does a client request, and is the request valid? |
//! | `host` | does a request mean this host? |
//! | `origin` | does it come from a page of this server? |
//! | `decoded` | what do its query and its cookies say, decoded? |
//! | `owned_request` | how is a request kept? |
//! | `response` | what does our response look like? |
//! | `client` | what do we request from a server, and does it accept? |
//! | `http_response` | what is an HTTP response, and where are the bytes of its body? |
//! | `rejection` | why is a request refused, and with which status? |

mod accept_key;
mod body;
mod client;
#[cfg(feature = "urlencoded")]
mod decoded;
mod host;
mod http_response;
mod lists;
mod origin;
mod owned_request;
mod rejection;
mod request;
mod response;

pub(crate) use body::{Body, Framing};
pub(crate) use client::Expected;
pub(crate) use client::not_http;
pub use client::{Opening, OpeningError, Unaccepted};
pub(crate) use http_response::{After, Bytes};
pub use http_response::{HttpBody, HttpResponse};
pub use lists::{MAX_COOKIES, MAX_ELEMENTS};
pub use owned_request::OwnedRequest;
pub use rejection::Rejection;
pub(crate) use request::head_end;
pub use request::{MAX_HEADERS, Request, Ticket};
pub use response::{Answer, Upgrade};
pub(crate) use response::{encode_options, encode_refusal, encode_upgrade};
