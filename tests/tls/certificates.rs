//! The certificates of servers and clients.

use crate::common::{Folder, Wire, echo_script, request, run};
use crate::kit::{
    VERSIONS, authority, client_config, connect, connect_to, open, open_with, server, server_config, server_tls,
};
use lariat::http::StatusCode;
use lariat::tls::rustls::pki_types::CertificateDer;
use lariat::tls::rustls::pki_types::pem::PemObject;
use lariat::tls::rustls::server::WebPkiClientVerifier;
use lariat::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use lariat::tls::{ServerTls, TlsFiles};
use lariat::{Config, Upgrade};
use std::io::Write;
use std::sync::Arc;

#[test]
fn a_certificate_can_be_replaced_while_clients_are_connected() {
    let tls = server_tls();
    let (handler, _calls) = echo_script();
    let server = run(server(Config::default(), tls.clone()), handler);
    let shown = |client: &Wire<crate::kit::Secured>| {
        client.stream.get_ref().conn.peer_certificates().expect("a certificate")[0].clone()
    };
    let mut before = open(server.addr);
    tls.replace(Arc::new(server_config()));
    let mut after = open(server.addr);
    assert_ne!(shown(&before), shown(&after));
    before.echo("still here");
    after.echo("new");
}

#[test]
fn the_certificate_of_a_client_is_on_its_requests() {
    let (own, key) = authority().certificate(&["a-client"]);
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(authority().roots()),
        server_config().crypto_provider().clone(),
    )
    .allow_unauthenticated()
    .build()
    .expect("a verifier");
    let (certificate, server_key) = authority().certificate(&["localhost"]);
    let config = ServerConfig::builder_with_provider(server_config().crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], server_key.into())
        .expect("a certificate");
    let expected = own.clone();
    let (handler, _calls) = echo_script();
    let handler = handler.on_request(move |clients, id, request| {
        let tls = request.tls().expect("TLS");
        assert_eq!(clients.tls(id), Some(tls));
        let kept = request.to_owned();
        assert_eq!(kept.get().tls(), Some(tls));
        match &tls.peer_certificates {
            Some(chain) if chain[0] == expected => Upgrade::new().into(),
            _ => StatusCode::FORBIDDEN.into(),
        }
    });
    let server = run(server(Config::default(), ServerTls::new(Arc::new(config))), handler);
    let with_certificate = ClientConfig::builder_with_provider(client_config(&VERSIONS).crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority().roots())
        .with_client_auth_cert(vec![own], key.into())
        .expect("a certificate");
    open_with(server.addr, with_certificate).echo("known");
    let mut unknown = Wire::new(connect(server.addr, client_config(&VERSIONS)));
    unknown.send(request("/").as_bytes());
    assert_eq!(unknown.response().status(), 403);
}

#[test]
fn files_give_certificates_and_errors_name_them() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let write = |name: &str, names: &[&str]| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate =
            rcgen::CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
        std::fs::write(path(&format!("{name}.pem")), certificate.pem()).expect("a file");
        std::fs::write(path(&format!("{name}-key.pem")), key.serialize_pem()).expect("a file");
    };
    write("one", &["one.example"]);
    write("two", &["two.example", "*.three.example"]);
    std::fs::write(path("ca.pem"), authority().pem()).expect("a file");
    std::fs::write(path("empty.pem"), "nothing").expect("a file");
    let cut = std::fs::read_to_string(path("one.pem")).expect("a file").replace("-----END", "");
    std::fs::write(path("cut.pem"), cut).expect("a file");
    std::fs::write(path("one-line.pem"), "-----BEGIN PRIVATE KEY-----c2VjcmV0\n").expect("a file");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(path("encrypted.pem"), encrypted).expect("a file");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    std::fs::write(path("old.pem"), old).expect("a file");
    std::fs::write(path("strange.pem"), encrypted.replace("ENCRYPTED ", "")).expect("a file");
    let both = TlsFiles::new(path("one.pem"), path("one-key.pem"))
        .also(path("two.pem"), path("two-key.pem"))
        .client_ca(path("ca.pem"));
    let tls = ServerTls::from_files(&both).expect("two certificates");
    tls.reload(&both).expect("the same again");
    let other_key = format!("it is not the private key of the certificate in {}", path("one.pem").display());
    for (files, file, why) in [
        (TlsFiles::new(path("none.pem"), path("one-key.pem")), "none.pem", "there is no such file"),
        (TlsFiles::new(path("empty.pem"), path("one-key.pem")), "empty.pem", "no certificate in it"),
        (TlsFiles::new(path("cut.pem"), path("one-key.pem")), "cut.pem", "no -----END CERTIFICATE----- line"),
        (TlsFiles::new(path("one.pem"), path("empty.pem")), "empty.pem", "no private key in it"),
        (TlsFiles::new(path("one.pem"), path("one-line.pem")), "one-line.pem", "a -----BEGIN line"),
        (TlsFiles::new(path("one.pem"), path("encrypted.pem")), "encrypted.pem", "no private key in it"),
        (TlsFiles::new(path("one.pem"), path("old.pem")), "old.pem", "not base64"),
        (
            TlsFiles::new(path("one.pem"), path("strange.pem")),
            "strange.pem",
            "failed to parse private key as RSA, ECDSA",
        ),
        (TlsFiles::new(path("one.pem"), path("two-key.pem")), "two-key.pem", &other_key),
        (both.clone().client_ca(path("none.pem")), "none.pem", "there is no such file"),
    ] {
        let error = tls.reload(&files).expect_err("a file is wrong");
        assert_eq!(error.file(), Some(&*path(file)));
        assert!(error.to_string().starts_with(&format!("{}: {why}", path(file).display())), "{error}");
        assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
    }
    let error = ServerTls::from_files(&TlsFiles::default()).expect_err("no certificate");
    assert!(error.file().is_none() && error.to_string().contains("certificate"), "{error}");

    // Each name gets its certificate, and other names the first.
    let (handler, _calls) = echo_script();
    let server = run(server(Config::default(), tls), handler);
    let mut roots = RootCertStore::empty();
    for file in ["one.pem", "two.pem"] {
        roots.add(CertificateDer::from_pem_file(path(file)).expect("a certificate")).expect("a root");
    }
    let config = ClientConfig::builder_with_provider(server_config().crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    for name in ["one.example", "two.example", "a.three.example"] {
        connect_to(server.addr, name, config.clone()).write_all(request("/").as_bytes()).expect(name);
    }
    let error = connect_to(server.addr, "else", config).write_all(b"x").expect_err("no certificate is for it");
    assert!(error.to_string().contains("one.example"), "{error}");
}
