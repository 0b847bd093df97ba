//! `lariat serve` with TLS: its certificates, their dates, and what it says of them.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own, and certificates have dates")]

mod common;

use common::program::Program;
use common::{Wire, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;
use time::OffsetDateTime;

/// A folder that only one test uses.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("lariat-serve-{}-{name}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a certificate for localhost, and its key. It is valid for these seconds from now.
    fn certificate(&self, from: i64, until: i64) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (from_now(from), from_now(until));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(self.path("key.pem"), key.serialize_pem()).expect("a file");
        fs::write(self.path("cert.pem"), certificate.pem()).expect("a file");
    }

    /// Starts the program with this certificate, and a second listener without TLS.
    fn serve(&self, level: &str, more: &[&str]) -> Served {
        let mut command = lariat(&["--listen", "127.0.0.1:0", "--listen", "plain:127.0.0.1:0"]);
        command.args(["--tls-cert", &self.path("cert.pem"), "--tls-key", &self.path("key.pem")]).args(more);
        command.env("RUST_LOG", level).stderr(Stdio::piped());
        let mut program = Program::spawn(command);
        let line = program.ready_line();
        let names = line.strip_prefix("Lariat listens on ").and_then(|rest| rest.split(": open https://").next());
        let (secured, plain) = names.and_then(|names| names.split_once(" and ")).expect("two addresses");
        let [secured, plain] = [secured, plain].map(|address| address.parse().expect("an address"));
        assert_eq!(program.ready_line(), format!("With TLS: {secured}. Without TLS: {plain}\n"));
        Served { program, secured, plain }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has ended already.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn from_now(seconds: i64) -> OffsetDateTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    OffsetDateTime::UNIX_EPOCH + now + time::Duration::seconds(seconds)
}

fn lariat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lariat"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("LISTEN_FDS");
    command
}

struct Served {
    program: Program,
    secured: SocketAddr,
    plain: SocketAddr,
}

impl Served {
    fn metric(&self, name: &str) -> Option<i64> {
        let mut wire = Wire::connect(self.plain);
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = String::from_utf8(wire.response().body).expect("text");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until attempts to read the files again have succeeded and failed so often, and returns
    /// whether the last one has failed.
    fn has_failed(&self, reloads: i64, failures: i64) -> bool {
        let counts = || {
            ["lariat_tls_reloads_total", "lariat_tls_reload_failures_total"].map(|name| self.metric(name).expect(name))
        };
        until(|| counts() == [reloads, failures]);
        self.metric("lariat_tls_reload_failed") == Some(1)
    }

    /// Ends the program, and returns its log.
    fn log(mut self) -> String {
        self.program.signal("TERM");
        assert!(self.program.wait().success());
        let mut log = String::new();
        self.program.child.stderr.take().expect("it is piped").read_to_string(&mut log).expect("text");
        log
    }
}

#[track_caller]
fn has_line(log: &str, words: &[&str]) {
    let is_found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_found, "no line has {words:?}:\n{log}");
}

const DAY: i64 = 86_400;

#[test]
fn a_certificate_that_clients_refuse_is_served_with_a_warning() {
    let folder = Folder::new("expired");
    let path = folder.path("cert.pem");
    for (from, until, problem) in [(-2 * DAY, -DAY, "it expired on "), (DAY, 2 * DAY, "it is not valid before ")] {
        folder.certificate(from, until);
        let served = folder.serve("info", &[]);
        let soonest = served.metric("lariat_tls_certificate_expires_timestamp_seconds");
        assert!(soonest.is_some_and(|at| (at - from_now(until).unix_timestamp()).abs() < 60));
        // One like it replaces it.
        folder.certificate(from, until);
        assert!(!served.has_failed(1, 0));
        let log = served.log();
        let date = from_now(if from < 0 { until } else { from }).date().to_string();
        let warned = log.lines().filter(|line| {
            ["WARN", "clients refuse the certificate ", &path, problem, &date].iter().all(|word| line.contains(word))
        });
        assert_eq!(warned.count(), 2, "{log}");
    }
}

#[test]
fn an_expired_certificate_does_not_replace_a_valid_one() {
    let folder = Folder::new("renewed");
    folder.certificate(-DAY, DAY);
    let served = folder.serve("info", &[]);
    let soonest = || served.metric("lariat_tls_certificate_expires_timestamp_seconds").expect("it is known");
    let first = soonest();
    folder.certificate(-2 * DAY, -DAY);
    assert!(served.has_failed(0, 1) && soonest() == first);
    folder.certificate(-DAY, 3 * DAY);
    assert!(!served.has_failed(1, 1) && soonest() > first);
    fs::write(folder.path("key.pem"), "no key").expect("a file");
    assert!(served.has_failed(1, 2));
    // One that is valid soon is used then.
    folder.certificate(4, 3 * DAY);
    assert!(served.has_failed(1, 3));
    assert!(!served.has_failed(2, 3));
    let (log, path) = (served.log(), folder.path("cert.pem"));
    let until = |days: i64| format!("{path}, valid until {}", from_now(days * DAY).date());
    has_line(&log, &["INFO", "TLS with ", &until(1)]);
    let refused = "the new certificates are not used, the old ones stay: ";
    has_line(&log, &["ERROR", &format!("{refused}{path}: it expired on "), &from_now(-DAY).date().to_string()]);
    has_line(&log, &["INFO", "the certificates were read again, and new connections use them: ", &until(3)]);
    has_line(&log, &["ERROR", "could not be read again, the old ones stay: ", "key.pem: no private key in it"]);
    has_line(&log, &["ERROR", &format!("{refused}{path}: it is not valid before ")]);
}

/// As Node does that does not trust the certificate, and a check of the port.
#[test]
fn the_log_says_who_leaves_in_the_handshake() {
    let folder = Folder::new("leaving");
    folder.certificate(-DAY, DAY);
    let served = folder.serve("lariat=debug", &[]);
    for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = TcpStream::connect(served.secured).expect("it listens");
        stream.write_all(bytes).expect("it is connected");
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(served.metric("lariat_closed_total{reason=\"eof\",detail=\"\"}"), Some(1));
    assert_eq!(served.metric("lariat_closed_total{reason=\"tls\",detail=\"disconnected\"}"), Some(1));
    let log = served.log();
    has_line(&log, &[": the peer disconnected, and had sent nothing"]);
    has_line(&log, &[": TLS: the peer disconnected in the TLS handshake; it may not trust the certificate"]);
}

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let text = [&output.stderr[..], &output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_option() {
    let folder = Folder::new("unusable");
    folder.certificate(-DAY, DAY);
    let [cert, key, gone] = ["cert.pem", "key.pem", "gone.pem"].map(|name| folder.path(name));
    for (cert, key, ca, says) in [
        (&gone, &key, &cert, format!("cannot use --tls-cert {gone}: there is no such file")),
        (&cert, &gone, &cert, format!("cannot use --tls-key {gone}: there is no such file")),
        (&cert, &cert, &cert, format!("{cert}: no private key in it")),
        (&cert, &key, &gone, format!("cannot use --tls-client-ca {gone}: there is no such file")),
    ] {
        let arguments = ["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca];
        let output = lariat(&arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        assert_says(&output, &[&says]);
    }
    let output = lariat(&["load", "wss://localhost:1/", "--ca", &gone]).output().expect("the program runs");
    assert_says(&output, &[&format!("cannot use --ca {gone}: there is no such file")]);
}

/// A client whose certificate another authority has signed.
#[test]
fn a_load_with_a_wrong_certificate_says_that_it_is_wrong() {
    let folder = Folder::new("wrong");
    folder.certificate(-DAY, DAY);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    fs::write(folder.path("ca.pem"), authority.pem()).expect("a file");
    let served = folder.serve("info", &["--tls-client-ca", &folder.path("ca.pem")]);
    let url = format!("wss://localhost:{}/echo", served.secured.port());
    let mut command = lariat(&["load", &url, "-c", "2", "--hold", "100ms", "--insecure"]);
    // The server's own certificate will do.
    let output = command.args(["--cert", &folder.path("cert.pem"), "--key", &folder.path("key.pem")]).output();
    let output = output.expect("the program runs");
    assert_says(&output, &["the TLS session failed: the peer sent the alert ", "of the certificate of --cert"]);
    drop(served);
}
