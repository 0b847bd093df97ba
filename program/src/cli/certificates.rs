//! The certificates of `lariat serve`: read at the start, and again when their files change.

use crate::cert::expires;
use crate::terminal::Failure;
use lariat::tls::{ServerTls, TlsFiles};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// The certificates of a server, and the thread that reads them again.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) tls: ServerTls,
    state: Arc<State>,
    /// The thread ends when this is dropped.
    _alive: Sender<()>,
}

/// What `/metrics` shows.
#[derive(Debug, Default)]
struct State {
    reloads: AtomicU64,
    failures: AtomicU64,
    /// The first expiry of all certificates, in seconds since 1970. 0 if it is not known.
    expires: AtomicI64,
    /// SIGHUP has come.
    hangup: Arc<AtomicBool>,
}

impl Certificates {
    /// Reads the files, and begins to watch them.
    pub(crate) fn load(files: TlsFiles) -> Result<Certificates, Failure> {
        let tls = ServerTls::from_files(&files).map_err(|error| Failure(format!("cannot use TLS: {error}")))?;
        let state = Arc::new(State::default());
        state.note_expiry(&files);
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&state.hangup))
            .map_err(|error| Failure(format!("cannot handle SIGHUP: {error}")))?;
        let (watched, shared) = (tls.clone(), Arc::clone(&state));
        let (alive, ended) = channel();
        std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || watch(&watched, &files, &shared, &ended))
            .map_err(|error| Failure(format!("cannot start a thread: {error}")))?;
        Ok(Certificates { tls, state, _alive: alive })
    }

    /// Returns a function that writes the metrics of the certificates.
    pub(crate) fn metrics(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move || state.to_prometheus()
    }
}

impl State {
    fn note_expiry(&self, files: &TlsFiles) {
        let soonest = files.pairs.iter().filter_map(|(chain, _)| expires(&fs::read(chain).ok()?)).min();
        self.expires.store(soonest.unwrap_or(0), Ordering::Relaxed);
    }

    fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, value: String| {
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let (reloads, failures) = (self.reloads.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed));
        metric("lariat_tls_reloads_total", "counter", "Certificates that were read again.", reloads.to_string());
        let help = "Certificates that could not be read again; the old ones stay.";
        metric("lariat_tls_reload_failures_total", "counter", help, failures.to_string());
        let expires = self.expires.load(Ordering::Relaxed);
        if expires != 0 {
            let help = "When the first certificate expires, in seconds since 1970.";
            metric("lariat_tls_certificate_expires_timestamp_seconds", "gauge", help, expires.to_string());
        }
        text
    }
}

/// What changes when a file is replaced.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    let paths = files.pairs.iter().flat_map(|(chain, key)| [chain, key]).chain(&files.client_ca);
    paths.map(|path| stamp(path)).collect()
}

/// Reads the files again when SIGHUP has come, and when they have changed and then stayed the same
/// for an interval: a certificate and its key are replaced one after the other.
fn watch(tls: &ServerTls, files: &TlsFiles, state: &State, ended: &Receiver<()>) {
    let (mut used, mut last) = (stamps(files), stamps(files));
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let now = stamps(files);
        let has_changed = now != used && now == last;
        last.clone_from(&now);
        if !state.hangup.swap(false, Ordering::Relaxed) && !has_changed {
            continue;
        }
        used = now;
        match tls.reload(files) {
            Ok(()) => {
                state.reloads.fetch_add(1, Ordering::Relaxed);
                state.note_expiry(files);
                log::info!("the certificates were read again: new connections use them");
            }
            Err(error) => {
                state.failures.fetch_add(1, Ordering::Relaxed);
                log::error!("the certificates could not be read again, the old ones stay: {error}");
            }
        }
    }
}
