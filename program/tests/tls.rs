//! `lariat serve` with TLS: its certificates, their dates, and what it says of them.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own, and certificates have dates")]

mod common;

use common::program::{Program, assert_fails, lariat, metrics};
use common::{Folder, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::SystemTime;
use time::OffsetDateTime;

/// A certificate and its key, in a folder of their own.
struct Files(Folder);

impl Files {
    fn new() -> Files {
        Files(Folder::new())
    }

    fn path(&self, name: &str) -> String {
        self.0.argument(name)
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

fn from_now(seconds: i64) -> OffsetDateTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    OffsetDateTime::UNIX_EPOCH + now + time::Duration::seconds(seconds)
}

struct Served {
    program: Program,
    secured: SocketAddr,
    plain: SocketAddr,
}

impl Served {
    /// Returns a metric without labels.
    fn metric(&self, name: &str) -> i64 {
        metrics(self.plain)[name].one() as i64
    }

    /// Waits until attempts to read the files again have succeeded and failed so often, and returns
    /// whether the last one has failed.
    fn has_failed(&self, reloads: i64, failures: i64) -> bool {
        let counts = || ["lariat_tls_reloads_total", "lariat_tls_reload_failures_total"].map(|name| self.metric(name));
        until(|| counts() == [reloads, failures]);
        self.metric("lariat_tls_reload_failed") == 1
    }

    /// Ends the program, and returns its log.
    fn log(self) -> String {
        self.program.stop()
    }
}

#[track_caller]
fn has_line(log: &str, words: &[&str]) {
    let is_found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_found, "no line has {words:?}:\n{log}");
}

const DAY: i64 = 86_400;

/// Late enough that the program reads the certificate before.
const SOON: i64 = 4;

#[test]
fn a_certificate_that_clients_refuse_is_served_with_a_warning() {
    let files = Files::new();
    let path = files.path("cert.pem");
    for (from, until, problem) in [(-2 * DAY, -DAY, "it expired on "), (DAY, 2 * DAY, "it is not valid before ")] {
        files.certificate(from, until);
        let served = files.serve("info", &[]);
        let soonest = served.metric("lariat_tls_certificate_expires_timestamp_seconds");
        assert!((soonest - from_now(until).unix_timestamp()).abs() < 60);
        // One like it replaces it.
        files.certificate(from, until);
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
    let files = Files::new();
    files.certificate(-DAY, DAY);
    let served = files.serve("info", &[]);
    let soonest = || served.metric("lariat_tls_certificate_expires_timestamp_seconds");
    let first = soonest();
    files.certificate(-2 * DAY, -DAY);
    assert!(served.has_failed(0, 1) && soonest() == first);
    files.certificate(-DAY, 3 * DAY);
    assert!(!served.has_failed(1, 1) && soonest() > first);
    fs::write(files.path("key.pem"), "no key").expect("a file");
    assert!(served.has_failed(1, 2));
    // One that is valid soon is used then.
    files.certificate(SOON, 3 * DAY);
    assert!(served.has_failed(1, 3));
    assert!(!served.has_failed(2, 3));
    let (log, path) = (served.log(), files.path("cert.pem"));
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
    let files = Files::new();
    files.certificate(-DAY, DAY);
    let served = files.serve("lariat=debug", &[]);
    for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = TcpStream::connect(served.secured).expect("it listens");
        stream.write_all(bytes).expect("it is connected");
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let closed = &metrics(served.plain)["lariat_closed_total"];
    assert_eq!((closed.at("reason", "eof"), closed.at("detail", "disconnected")), (1.0, 1.0));
    let log = served.log();
    has_line(&log, &[": the peer disconnected, and had sent nothing"]);
    has_line(&log, &[": TLS: the peer disconnected in the TLS handshake; it may not trust the certificate"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_option() {
    let files = Files::new();
    files.certificate(-DAY, DAY);
    let [cert, key, gone] = ["cert.pem", "key.pem", "gone.pem"].map(|name| files.path(name));
    for (cert, key, ca, says) in [
        (&gone, &key, &cert, format!("cannot use --tls-cert {gone}: there is no such file")),
        (&cert, &gone, &cert, format!("cannot use --tls-key {gone}: there is no such file")),
        (&cert, &cert, &cert, format!("{cert}: no private key in it")),
        (&cert, &key, &gone, format!("cannot use --tls-client-ca {gone}: there is no such file")),
    ] {
        let arguments = ["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca];
        assert_fails(&arguments, 1, &[&says]);
    }
    let says = format!("cannot use --ca {gone}: there is no such file");
    assert_fails(&["load", "wss://localhost:1/", "--ca", &gone], 2, &[&says]);
}

/// A client whose certificate another authority has signed.
#[test]
fn a_load_with_a_wrong_certificate_says_that_it_is_wrong() {
    let files = Files::new();
    files.certificate(-DAY, DAY);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    fs::write(files.path("ca.pem"), authority.pem()).expect("a file");
    let served = files.serve("info", &["--tls-client-ca", &files.path("ca.pem")]);
    let url = format!("wss://localhost:{}/echo", served.secured.port());
    let mut command = lariat(&["load", &url, "-c", "2", "--hold", "100ms", "--insecure"]);
    // The server's own certificate will do.
    let output = command.args(["--cert", &files.path("cert.pem"), "--key", &files.path("key.pem")]).output();
    let report = String::from_utf8(output.expect("the program runs").stdout).expect("text");
    has_line(&report, &["errors", "the TLS session failed: the peer sent the alert "]);
    has_line(&report, &["-> ", "of the certificate of --cert"]);
    drop(served);
}

/// The authorities of the host do not matter with --insecure. So it need not have any.
#[test]
fn an_insecure_load_needs_no_authorities() {
    let files = Files::new();
    files.certificate(-DAY, DAY);
    let served = files.serve("info", &[]);
    let url = format!("wss://localhost:{}/echo", served.secured.port());
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    for (options, code) in [
        (&["--insecure"][..], 0),
        (&["--insecure", "--cert", &cert, "--key", &key], 0),
        (&["--insecure", "--cert", &cert, "--key", "/no/such/key"], 2),
        (&[], 2),
    ] {
        let mut command = lariat(&[&["load", &url, "-c", "2", "--hold", "100ms"], options].concat());
        let output = command.env("SSL_CERT_FILE", "/no/such/file").env("SSL_CERT_DIR", "/no/such/folder").output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(code), "{options:?}: {output:?}");
    }
    drop(served);
}
