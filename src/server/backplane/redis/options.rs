//! Which Redis, and within which limits?

use super::commands::Names;
use super::link::{RedisLink, Shared};
use super::writer;
use crate::server::backplane::{Backplane, BackplaneEvents, BackplaneLink, NodeId};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, io::tcp::TcpSettings};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Redis 6.2 or later as the engine between servers. With the feature `redis`. Valkey has the same
/// commands, but was not tried.
///
/// It has two connections and two threads, whatever the number of loops. When a connection is lost,
/// both are made anew, with delays that grow from 0.05 to 5 s.
///
/// A Redis Cluster is not supported. Names of keys have hash tags, so that one could be.
///
/// Topics are channels `PREFIX:TOPIC`. Histories are streams, and presence is in hashes, whose keys
/// begin with the prefix as well. Whoever can write to them can publish and can falsify: give Redis
/// a password, or an ACL for the prefix (`~lariat:* ~lariat@* &lariat:* &lariat@*`).
///
/// ```no_run
/// use lariat::backplane::RedisBackplane;
///
/// let engine = RedisBackplane::new("redis://:secret@10.0.0.1/").also("redis://:secret@10.0.0.2/");
/// ```
#[derive(Clone)]
pub struct RedisBackplane {
    urls: Vec<String>,
    prefix: String,
    settings: Settings,
    #[cfg(feature = "tls")]
    root_certificates: Option<Vec<u8>>,
}

/// The options that are no addresses.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) clients: Vec<Client>,
    pub(super) buffer: usize,
    pub(super) queue: usize,
    pub(super) presence_ttl: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) silence_timeout: Duration,
}

impl fmt::Debug for Settings {
    /// Without the clients, whose URLs may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("buffer", &self.buffer).field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisBackplane {
    /// Without the URLs, which may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RedisBackplane { urls, prefix, .. } = self;
        f.debug_struct("RedisBackplane").field("urls", &urls.len()).field("prefix", prefix).finish_non_exhaustive()
    }
}

impl RedisBackplane {
    /// The Redis at this URL: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`. With the feature `tls`
    /// also `rediss://`, for TLS. On Unix also `unix:///PATH`.
    ///
    /// [`Backplane::start`] fails if the URL is malformed.
    pub fn new(url: impl Into<String>) -> RedisBackplane {
        RedisBackplane {
            urls: vec![url.into()],
            prefix: "lariat".to_owned(),
            settings: Settings {
                clients: Vec::new(),
                buffer: 0,
                queue: 8 << 20,
                presence_ttl: Duration::from_secs(15),
                connect_timeout: Duration::from_secs(2),
                response_timeout: Duration::from_secs(5),
                silence_timeout: Duration::from_secs(10),
            },
            #[cfg(feature = "tls")]
            root_certificates: None,
        }
    }

    /// Another Redis that has the same data, such as a replica. When a connection is lost or
    /// refused, the next one is tried. Those that are read-only are passed over.
    pub fn also(mut self, url: impl Into<String>) -> RedisBackplane {
        self.urls.push(url.into());
        self
    }

    /// Returns the addresses, without users and passwords. Malformed URLs have none.
    pub fn addresses(&self) -> Vec<String> {
        let info = self.urls.iter().filter_map(|url| url.as_str().into_connection_info().ok());
        info.map(|info| info.addr().to_string()).collect()
    }

    /// What all keys and channels begin with. `lariat` by default.
    pub fn prefix(mut self, prefix: impl Into<String>) -> RedisBackplane {
        self.prefix = prefix.into();
        self
    }

    /// How many bytes of publications may wait while Redis cannot be reached. 0 by default: they
    /// are refused with [`Away`](crate::backplane::PublishError::Away).
    pub fn buffer(mut self, bytes: usize) -> RedisBackplane {
        self.settings.buffer = bytes;
        self
    }

    /// How many bytes of publications may wait while Redis can be reached. 8 MiB by default. Beyond
    /// that, they are refused with [`Full`](crate::backplane::PublishError::Full). A larger message
    /// is taken when nothing else waits.
    pub fn queue(mut self, bytes: usize) -> RedisBackplane {
        self.settings.queue = bytes;
        self
    }

    /// After how long a server that is not heard from is no longer present. 15 s by default, at
    /// least 1 s.
    pub fn presence_ttl(mut self, ttl: Duration) -> RedisBackplane {
        self.settings.presence_ttl = ttl.max(Duration::from_secs(1));
        self
    }

    /// How long a connection may take, with TLS and password. 2 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisBackplane {
        self.settings.connect_timeout = timeout.max(SHORTEST);
        self
    }

    /// How long Redis may take to answer before it counts as lost. 5 s by default.
    pub fn response_timeout(mut self, timeout: Duration) -> RedisBackplane {
        self.settings.response_timeout = timeout.max(SHORTEST);
        self
    }

    /// How long the subscription connection may be silent before it counts as lost. 10 s by
    /// default. The server sends itself a message three times as often.
    pub fn silence_timeout(mut self, timeout: Duration) -> RedisBackplane {
        self.settings.silence_timeout = timeout.max(SHORTEST);
        self
    }

    /// The authorities for `rediss://`, in PEM format. By default, those that the platform trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> RedisBackplane {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Reads one URL. The message of an error says nothing of it, because it may have a password.
    fn client(&self, number: usize, url: &str) -> io::Result<Client> {
        let wrong = |what: &str| {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("Redis URL {number} of {}: {what}", self.urls.len()),
            ))
        };
        let Ok(info) = url.into_connection_info() else {
            return wrong(
                "it is not like redis://USER:PASSWORD@HOST:PORT/DB, rediss://... for TLS, or unix:///PATH. \
                 In a password, write @ / : ? # % as %40 %2F %3A %3F %23 %25",
            );
        };
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let info = info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let is_secured = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if !info.addr().is_supported() {
            return wrong("this program has no TLS (feature tls), or no Unix sockets");
        }
        #[cfg(feature = "tls")]
        if is_secured {
            if !has_cryptography() {
                return wrong("no cryptography: enable the feature tls-ring, or install a provider of rustls");
            }
            let root_cert = self.root_certificates.clone();
            if root_cert.is_some() {
                let certificates = redis::TlsCertificates { client_tls: None, root_cert };
                return Client::build_with_tls(info, certificates)
                    .or_else(|_| wrong("the root certificates are no PEM"));
            }
        }
        let _ = is_secured;
        Client::open(info).or_else(|_| wrong("it has no address"))
    }
}

/// Whether rustls has its cryptography. The client of Redis uses the one that the program has
/// installed, so without one, ring is installed.
#[cfg(feature = "tls")]
fn has_cryptography() -> bool {
    use rustls::crypto::CryptoProvider;
    #[cfg(feature = "tls-ring")]
    if CryptoProvider::get_default().is_none() {
        // It fails if another thread has installed one just now.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    CryptoProvider::get_default().is_some()
}

/// No timeout is shorter.
const SHORTEST: Duration = Duration::from_millis(50);

impl Backplane for RedisBackplane {
    fn start(self: Box<Self>, node: NodeId, events: BackplaneEvents) -> io::Result<Box<dyn BackplaneLink>> {
        let urls = self.urls.iter().enumerate();
        let clients = urls.map(|(at, url)| self.client(at + 1, url)).collect::<io::Result<_>>()?;
        let names = Names { prefix: self.prefix.clone(), node };
        let shared = Arc::new(Shared::new(Settings { clients, ..self.settings.clone() }, names, events));
        writer::start(Arc::clone(&shared))?;
        Ok(Box::new(RedisLink(shared)))
    }
}
