//! How the program asks a server for a connection.
//!
//! | file | question |
//! |---|---|
//! | `url` | which server does a URL name? |
//! | `request` | what does the request of the handshake say? |
//! | `trust` | which servers are trusted, and which certificate do they see? |

mod request;
mod trust;
mod url;

pub(crate) use request::RequestOptions;
pub(crate) use trust::{TlsOptions, is_secure};
pub(crate) use url::{not_a_url, parse_url};
