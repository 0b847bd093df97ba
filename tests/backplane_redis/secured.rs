//! TLS.

use crate::common::Folder;
use crate::kit::{LONG, Node, Redis};
use lariat::backplane::RedisBackplane;

#[test]
fn tls_is_spoken_with_a_certificate_of_ones_own_authority() {
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, authority);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = rcgen::CertificateParams::new(names).expect("names");
    let own = params.signed_by(&key, &issuer).expect("a certificate");
    let folder = Folder::new();
    let write = |name: &str, text: String| {
        std::fs::write(folder.path(name), text).expect("a file");
        folder.argument(name)
    };
    let (certificate, key) = (write("cert.pem", own.pem()), write("key.pem", key.serialize_pem()));
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let tls_port = port.to_string();
    let options = ["--save", "", "--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let redis = Redis::start_with(&[&options[..], &["--tls-auth-clients", "no"]].concat());
    let Some(_redis) = redis else { return };
    let url = format!("rediss://localhost:{port}/");
    let a = Node::up(RedisBackplane::new(url.clone()).root_certificates(root.pem()));
    a.link.subscribe(&"t".into(), Some(LONG), None);
    a.expect_caught();
    let text = "x".repeat(1 << 20);
    a.link.publish(crate::kit::kept("t", &text, LONG)).expect("room");
    assert!(a.expect_kept().1 == text);
    let b = Node::start(RedisBackplane::new(url));
    let reason = b.expect_down();
    assert!(reason.contains("certificate"), "{reason}");
}
