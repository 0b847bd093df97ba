//! `lariat cert`: its files, as a client checks them, and what it says.
#![allow(clippy::disallowed_methods, reason = "certificates are checked at the time of the calendar")]

mod common;

use common::Folder;
use common::program::{assert_failed, lariat};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const FILES: [&str; 4] = ["lariat-ca-key.pem", "lariat-ca.pem", "lariat-cert.pem", "lariat-key.pem"];

/// The files of `lariat cert`, in a folder of their own.
struct Files(Folder);

impl Files {
    fn new() -> Files {
        Files(Folder::new())
    }

    fn lariat(&self, arguments: &[&str]) -> Output {
        let mut command = lariat(&[&["cert"], arguments].concat());
        command.current_dir(self.path("")).output().expect("the program starts")
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.lariat(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Fails with this exit code, says these words, and changes nothing.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = self.content();
        assert_failed(&self.lariat(arguments), code, words);
        assert_eq!(self.content(), before);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of the files with their content.
    fn content(&self) -> Vec<(String, Option<String>)> {
        let entries = fs::read_dir(self.path("")).expect("a folder").map(|entry| entry.expect("an entry"));
        let mut content: Vec<_> = entries
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).ok()))
            .collect();
        content.sort();
        content
    }

    fn names(&self) -> Vec<String> {
        self.content().into_iter().map(|(name, _)| name).collect()
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_file_iter(self.path(name)).expect("a file");
        certificates.collect::<Result<_, _>>().expect("certificates")
    }

    /// Whether a client that trusts the CA accepts the certificate `after` this time from now.
    fn accepts(&self, name: &str, usage: KeyUsage, after: Duration) -> bool {
        let (ca, chain) = (self.certificates("lariat-ca.pem"), self.certificates(name));
        let anchor = anchor_from_trusted_cert(&ca[0]).expect("a CA");
        let leaf = EndEntityCert::try_from(&chain[0]).expect("a certificate");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + after);
        let algorithms = [webpki::ring::ECDSA_P256_SHA256];
        leaf.verify_for_usage(&algorithms, &[anchor], &chain[1..], now, usage, None, None).is_ok()
    }

    /// Which of the names the certificate is for.
    fn valid<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let chain = self.certificates("lariat-cert.pem");
        let leaf = EndEntityCert::try_from(&chain[0]).expect("a certificate");
        let is_valid = |name: &str| {
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            leaf.verify_is_valid_for_subject_name(&name).is_ok()
        };
        names.iter().copied().filter(|name| is_valid(name)).collect()
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_client_that_trusts_the_ca_accepts_the_certificate() {
    let files = Files::new();
    let stdout = files.succeeds(&[]);
    assert_eq!(files.names(), FILES);
    for words in
        FILES.into_iter().chain(["localhost, 127.0.0.1, ::1", "--tls-cert lariat-cert.pem", "update-ca-certificates"])
    {
        assert!(stdout.contains(words), "{words:?} is missing: {stdout}");
    }
    let chain = files.certificates("lariat-cert.pem");
    assert_eq!(chain[1..], files.certificates("lariat-ca.pem"), "the chain ends with the CA");
    for key in ["lariat-key.pem", "lariat-ca-key.pem"] {
        PrivatePkcs8KeyDer::from_pem_file(files.path(key)).expect("a key");
    }
    let server = || KeyUsage::server_auth();
    assert!(files.accepts("lariat-cert.pem", server(), Duration::ZERO));
    assert!(files.accepts("lariat-cert.pem", server(), DAY * 395));
    assert!(!files.accepts("lariat-cert.pem", server(), DAY * 396), "browsers refuse what lives longer");
    assert!(!files.accepts("lariat-cert.pem", KeyUsage::client_auth(), Duration::ZERO));
    let names = ["localhost", "127.0.0.1", "::1", "example.org", "127.0.0.2"];
    assert_eq!(files.valid(&names), names[..3]);
}

#[test]
fn a_certificate_is_for_the_given_names_only() {
    let files = Files::new();
    let stdout = files.succeeds(&["*.App.example", "app.example", "10.0.0.1", "2001:db8::1", "app.example"]);
    assert!(stdout.contains("for *.app.example, app.example, 10.0.0.1, 2001:db8::1, until"), "{stdout}");
    let names = ["app.example", "a.app.example", "10.0.0.1", "2001:db8::1", "a.b.app.example", "example", "localhost"];
    assert_eq!(files.valid(&names), names[..4]);
}

#[test]
fn a_name_that_is_none_is_2() {
    let files = Files::new();
    for name in ["https://app.example", "app.example:443", "a b", "*", "*.*.example", "1.2.3", "", "-a.example"] {
        files.fails(&["--", name], 2, &["app.example"]);
    }
    files.fails(&["*.localhost"], 2, &["*.app.localhost"]);
    files.fails(&["münchen.example"], 2, &["xn--"]);
    files.fails(&["--client", ""], 2, &["64 characters"]);
    files.fails(&["--client", "anna", "app.example"], 2, &["--client"]);
    assert_eq!(files.names(), [""; 0]);
}

#[test]
fn the_ca_of_the_folder_signs_again() {
    let files = Files::new();
    files.succeeds(&[]);
    let before = files.content();
    let stdout = files.succeeds(&["app.example"]);
    assert!(stdout.contains("used  lariat-ca.pem"), "{stdout}");
    let after = files.content();
    assert_eq!(after[..2], before[..2], "the CA has changed");
    assert!(after[2] != before[2] && after[3] != before[3], "the certificate has not");
    assert!(files.accepts("lariat-cert.pem", KeyUsage::server_auth(), Duration::ZERO));
    assert_eq!(files.valid(&["localhost", "app.example"]), ["app.example"]);
}

#[test]
fn a_client_gets_a_certificate_of_its_own() {
    let files = Files::new();
    let stdout = files.succeeds(&["--client", "Anna Müller"]);
    assert!(stdout.contains("the certificate for Anna Müller, until"), "{stdout}");
    assert_eq!(files.names(), ["lariat-ca-key.pem", "lariat-ca.pem", "lariat-client-key.pem", "lariat-client.pem"]);
    assert!(files.accepts("lariat-client.pem", KeyUsage::client_auth(), Duration::ZERO));
    assert!(!files.accepts("lariat-client.pem", KeyUsage::server_auth(), Duration::ZERO));
    let before = files.content();
    files.succeeds(&[]);
    assert_eq!(files.content()[..2], before[..2], "one CA signs both");
    assert_eq!(files.content()[3..5], before[2..], "a server's certificate replaces no client's");
}

#[test]
#[cfg(unix)]
fn only_the_owner_may_read_keys() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let mode = |name: &str| fs::metadata(files.path(name)).expect("a file").permissions().mode() & 0o777;
    files.succeeds(&[]);
    // A key that others may read is replaced by one that they may not.
    fs::set_permissions(files.path("lariat-key.pem"), fs::Permissions::from_mode(0o644)).expect("a mode");
    files.succeeds(&[]);
    files.succeeds(&["--client", "anna"]);
    for key in ["lariat-ca-key.pem", "lariat-key.pem", "lariat-client-key.pem"] {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    for certificate in ["lariat-ca.pem", "lariat-cert.pem", "lariat-client.pem"] {
        assert_eq!(mode(certificate) & 0o133, 0, "{certificate}");
    }
}

#[test]
fn a_ca_that_cannot_sign_is_1_and_stays() {
    let files = Files::new();
    files.succeeds(&[]);
    let (ca, key) = (files.read("lariat-ca.pem"), files.read("lariat-ca-key.pem"));
    let write = |name: &str, text: &str| fs::write(files.path(name), text).expect("a file");
    write("lariat-ca.pem", "nonsense");
    files.fails(&[], 1, &["lariat-ca.pem", "not PEM", "--dir"]);
    write("lariat-ca.pem", &files.read("lariat-cert.pem"));
    files.fails(&[], 1, &["lariat-ca.pem", "lariat has not made it", "--dir"]);
    write("lariat-ca.pem", &ca);
    write("lariat-ca-key.pem", &files.read("lariat-key.pem"));
    files.fails(&[], 1, &["lariat-ca-key.pem", "another key"]);
    write("lariat-ca-key.pem", &key[..key.len() / 2]);
    files.fails(&[], 1, &["lariat-ca-key.pem", "cannot be used"]);
    fs::remove_file(files.path("lariat-ca-key.pem")).expect("it is there");
    files.fails(&[], 1, &["lariat-ca.pem is there", "lariat-ca-key.pem is not"]);
    write("lariat-ca-key.pem", &key);
    fs::remove_file(files.path("lariat-ca.pem")).expect("it is there");
    files.fails(&["--client", "anna"], 1, &["lariat-ca-key.pem is there", "lariat-ca.pem is not"]);
    fs::create_dir(files.path("lariat-ca.pem")).expect("a folder");
    files.fails(&[], 1, &["cannot read", "lariat-ca.pem", "--dir"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_1() {
    let files = Files::new();
    files.fails(&["--dir", "missing"], 1, &["missing is not a folder", "mkdir"]);
    fs::write(files.path("file"), "precious").expect("a file");
    files.fails(&["--dir", "file"], 1, &["file is not a folder"]);
    if Path::new("/proc/self").exists() {
        files.fails(&["--dir", "/proc"], 1, &["cannot write /proc/lariat-ca", "--dir"]);
    }
    fs::create_dir(files.path("certs and keys")).expect("a folder");
    let stdout = files.succeeds(&["--dir", "certs and keys"]);
    assert!(stdout.contains("--tls-key 'certs and keys/lariat-key.pem'"), "{stdout}");
}

/// A limit on the size of files stands for a full disk.
#[test]
#[cfg(unix)]
fn a_full_disk_is_1_and_leaves_what_was_there() {
    let files = Files::new();
    let run = || {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" cert", env!("CARGO_BIN_EXE_lariat")]);
        command.current_dir(files.path("")).output().expect("a shell")
    };
    assert_failed(&run(), 1, &["cannot write ./lariat-ca", "--dir"]);
    assert_eq!(files.names(), [""; 0]);
    files.succeeds(&[]);
    let before = files.content();
    assert_failed(&run(), 1, &["cannot write ./lariat-", "--dir"]);
    assert_eq!(files.content(), before);
}
