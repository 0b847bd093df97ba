//! `wss://` with an authority of our own.

use crate::common::program::Program;
use crate::connect;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;

#[test]
fn an_authority_of_our_own_is_trusted_if_it_is_named() {
    let folder = std::env::temp_dir().join(format!("lariat-connect-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let path = |name: &str| folder.join(name).display().to_string();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    for (name, pem) in [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(path(name), pem).expect("a file");
    }
    let mut program =
        Program::start(&["--listen", "127.0.0.1:0", "--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    let line = program.ready_line();
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(':').next()).expect("a port").trim();
    let url = format!("wss://localhost:{port}/echo");
    for arguments in [format!("--ca {}", path("ca.pem")), "--insecure".to_owned()] {
        let run = connect(&url, &arguments, "secret\n");
        run.wrote("secret\n");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }
    let other = connect(&url, &format!("--ca {}", path("cert.pem")), "secret\n");
    other.wrote("");
    other.says("the TLS session failed: ");
    assert_eq!(other.code, Some(1));
    fs::remove_dir_all(&folder).expect("our own folder");
}
