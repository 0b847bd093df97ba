//! The opening handshake: HTTP heads (RFC 6455 §4, RFC 9112).
//!
//! | file | question |
//! |---|---|
//! | `request` | what does a client request, and is the request valid? |
//! | `host` | does a request mean this host? |
//! | `response` | what does our response look like? |
//! | `client` | what do we request from a server, and does it accept? |
//! | `rejection` | why is a request refused, and with which status? |

mod client;
mod host;
mod rejection;
mod request;
mod response;

pub(crate) use client::Expected;
pub use client::{Opening, OpeningError, Unaccepted};
pub use rejection::Rejection;
pub(crate) use request::head_end;
pub use request::{MAX_HEADERS, Method, Request, Ticket};
pub use response::{Answer, HttpResponse, Upgrade};
pub(crate) use response::{encode_refusal, encode_upgrade};
