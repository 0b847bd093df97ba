//! The certificates of `lariat serve`: read at the start, and again when their files change.

use crate::cert::{Validity, date, now};
use crate::terminal::{Failure, tls_problem};
use lariat::tls::{ServerTls, TlsFiles};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

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
    /// The last attempt has failed.
    failed: AtomicBool,
    /// The earliest expiry of all certificates, in seconds since 1970. 0 if it is not known.
    expires: AtomicI64,
    /// SIGHUP has come.
    hangup: Arc<AtomicBool>,
}

impl Certificates {
    /// Reads the files, and begins to watch them.
    pub(crate) fn load(files: TlsFiles) -> Result<Certificates, Failure> {
        // What changes while they are read is read again.
        let seen = stamps(&files);
        let tls = ServerTls::from_files(&files).map_err(|error| Failure(tls_problem(&error, options(&files))))?;
        let state = Arc::new(State::default());
        let mut shown = Shown { tls: tls.clone(), validities: validities(&files), files, due: None };
        shown.note(&state);
        log::info!("TLS with {}", shown.described());
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&state.hangup))
            .map_err(|error| Failure(format!("cannot handle SIGHUP: {error}")))?;
        let shared = Arc::clone(&state);
        let (alive, ended) = channel();
        std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || watch(&mut shown, seen, &shared, &ended))
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
    fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, value: String| {
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let (reloads, failures) = (self.reloads.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed));
        metric("lariat_tls_reloads_total", "counter", "Certificates that were read again.", reloads.to_string());
        let help = "Certificates that could not be read again; the old ones stay.";
        metric("lariat_tls_reload_failures_total", "counter", help, failures.to_string());
        let help = "Whether the files on disk could not be used at the last attempt.";
        let failed = u8::from(self.failed.load(Ordering::Relaxed));
        metric("lariat_tls_reload_failed", "gauge", help, failed.to_string());
        let expires = self.expires.load(Ordering::Relaxed);
        if expires != 0 {
            let help = "The earliest expiry of all certificates, in seconds since 1970.";
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

/// The options that name the files.
fn options(files: &TlsFiles) -> impl Iterator<Item = (&'static str, &Path)> {
    let pairs = files.pairs.iter().flat_map(|(chain, key)| [("--tls-cert", &**chain), ("--tls-key", &**key)]);
    pairs.chain(files.client_ca.iter().map(|path| ("--tls-client-ca", &**path)))
}

/// Returns when the certificates of the servers are valid. `None` if that cannot be read.
fn validities(files: &TlsFiles) -> Vec<Option<Validity>> {
    files.pairs.iter().map(|(chain, _)| Validity::of_file(&fs::read(chain).ok()?)).collect()
}

/// What clients see, and where it comes from.
struct Shown {
    tls: ServerTls,
    files: TlsFiles,
    /// Of the certificates that are shown, in the order of the files.
    validities: Vec<Option<Validity>>,
    /// When the files are to be read again, because a new certificate was not valid yet.
    due: Option<OffsetDateTime>,
}

impl Shown {
    /// Notes the expiry of what is shown now, and warns of certificates that clients refuse.
    fn note(&self, state: &State) {
        let soonest = self.validities.iter().flatten().map(|validity| validity.until).min();
        state.expires.store(soonest.map_or(0, OffsetDateTime::unix_timestamp), Ordering::Relaxed);
        let now = now();
        for ((chain, _), validity) in self.files.pairs.iter().zip(&self.validities) {
            if let Some(problem) = validity.and_then(|validity| validity.problem(now)) {
                log::warn!("clients refuse the certificate {}: {problem}", chain.display());
            }
        }
    }

    /// Lists the certificates, and when they expire.
    fn described(&self) -> String {
        let described = self.files.pairs.iter().zip(&self.validities).map(|((chain, _), validity)| {
            let until = validity.map_or_else(String::new, |validity| format!(", valid until {}", date(validity.until)));
            format!("{}{until}", chain.display())
        });
        described.collect::<Vec<_>>().join("; ")
    }

    /// Returns which new certificate clients would refuse although they accept the present one.
    fn worse(&self, new: &[Option<Validity>], now: OffsetDateTime) -> Option<String> {
        let pairs = self.files.pairs.iter().zip(self.validities.iter().zip(new));
        pairs.into_iter().find_map(|((chain, _), (old, new))| {
            let problem = new.and_then(|new| new.problem(now))?;
            let is_accepted = old.is_some_and(|old| old.problem(now).is_none());
            is_accepted.then(|| format!("{}: {problem}", chain.display()))
        })
    }

    /// Reads the files again.
    fn reload(&mut self, state: &State) {
        let (new, now) = (validities(&self.files), now());
        self.due = None;
        let failure = if let Some(worse) = self.worse(&new, now) {
            self.due = new.iter().flatten().map(|validity| validity.from).filter(|from| *from > now).min();
            Some(format!("the new certificates are not used, the old ones stay: {worse}"))
        } else {
            let error = self.tls.reload(&self.files).err();
            error.map(|error| format!("the certificates could not be read again, the old ones stay: {error}"))
        };
        state.failed.store(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) => {
                state.failures.fetch_add(1, Ordering::Relaxed);
                log::error!("{failure}");
            }
            None => {
                state.reloads.fetch_add(1, Ordering::Relaxed);
                self.validities = new;
                self.note(state);
                log::info!("the certificates were read again, and new connections use them: {}", self.described());
            }
        }
    }
}

/// Reads the files again when SIGHUP has come, when they have changed since they were `used` and
/// then stayed the same for an interval (a certificate and its key are replaced one after the
/// other), and when a new certificate becomes valid.
fn watch(shown: &mut Shown, mut used: Vec<Stamp>, state: &State, ended: &Receiver<()>) {
    let mut last = stamps(&shown.files);
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let stamps = stamps(&shown.files);
        let has_changed = stamps != used && stamps == last;
        last.clone_from(&stamps);
        let is_due = shown.due.is_some_and(|due| due <= now());
        if state.hangup.swap(false, Ordering::Relaxed) || has_changed || is_due {
            used = stamps;
            shown.reload(state);
        }
    }
}
