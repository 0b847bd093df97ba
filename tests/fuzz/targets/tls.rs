//! A TLS session whose peer sends anything: raw bytes, a real handshake that is changed, or records
//! of an open session, in pieces of any size. Nothing panics, what is kept is bounded, and what an
//! honest peer has encrypted arrives unchanged.
//!
//! ```text
//!  mode, piece (1 byte each), bytes
//! ```

#![no_main]

use lariat::protocol::tls::{MOST_KEPT, Output, Session};
use lariat::tls::rustls::crypto::ring;
use lariat::tls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use lariat::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use lariat::tls::{ClientTls, ServerTls, TlsError};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

/// A server's and a client's configuration, made once.
fn configs() -> &'static (ServerTls, ClientTls) {
    static CONFIGS: OnceLock<(ServerTls, ClientTls)> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a root");
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("a certificate");
        server.enable_secret_extraction = true;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (ServerTls::new(Arc::new(server)), ClientTls::new(Arc::new(client)))
    })
}

/// Receives bytes in pieces, as the loop does: behind what was kept. Returns what it has become.
fn receive(session: &mut Session, bytes: &[u8], piece: usize) -> Result<Vec<u8>, TlsError> {
    let (mut plain, mut output) = (Vec::new(), Output::default());
    for bytes in bytes.chunks(piece.max(1)) {
        let mut input = vec![0; MOST_KEPT + bytes.len()];
        let kept = session.copy_kept(&mut input);
        input[kept..kept + bytes.len()].copy_from_slice(bytes);
        output.clear();
        let outcome = session.receive(&mut input[..kept + bytes.len()], &mut plain, &mut output);
        session.keep_unsent(&output, 0);
        assert!(session.holds() <= MOST_KEPT + (1 << 20), "{} bytes are kept", session.holds());
        outcome?;
    }
    Ok(plain)
}

fn take(session: &mut Session) -> Vec<u8> {
    let bytes = session.unsent().to_vec();
    if !bytes.is_empty() {
        session.delivered(bytes.len(), bytes.len());
        session.advance(bytes.len());
    }
    bytes
}

/// Returns two sessions whose handshake is over. If the server `has_spoken`, it has another record
/// layer.
fn open(has_spoken: bool) -> (Session, Session) {
    let (mut server, mut client) = begin();
    loop {
        let (to_server, to_client) = (take(&mut client), take(&mut server));
        if to_server.is_empty() && to_client.is_empty() {
            if has_spoken {
                let mut output = Output::default();
                server.encrypt(b"hello", &mut output).expect("an open session");
                receive(&mut client, output.bytes(), 1 << 20).expect("a record");
                server.delivered(1, 1);
            }
            return (server, client);
        }
        receive(&mut server, &to_server, 1 << 20).expect("a handshake");
        receive(&mut client, &to_client, 1 << 20).expect("a handshake");
    }
}

fn begin() -> (Session, Session) {
    let (server, client) = configs();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = Session::connect(client, name, &mut Output::default()).expect("a client");
    (Session::accept(server).expect("a server"), client)
}

/// Whatever has happened, a session can be asked to write and to close.
fn use_it(session: &mut Session) {
    let mut output = Output::default();
    if session.may_encrypt() && session.encrypt(b"hello", &mut output).is_ok() {
        session.keep_unsent(&output, 0);
        take(session);
    }
    output.clear();
    if session.must_close() {
        let _ = session.close(&mut output);
    }
    let _ = (session.holds(), session.info(), session.may_end(), session.has_kept());
}

fuzz_target!(|data: &[u8]| {
    let [mode, piece, bytes @ ..] = data else { return };
    let piece = usize::from(*piece);
    let (mut server, mut client) = if mode & 4 == 0 { begin() } else { open(mode & 8 != 0) };
    match mode & 3 {
        0 => {
            let _ = receive(&mut server, bytes, piece);
        }
        1 => {
            let _ = receive(&mut client, bytes, piece);
        }
        // The client's first bytes, changed by the input, and then the input itself.
        2 => {
            let mut first = take(&mut client);
            for (byte, change) in first.iter_mut().zip(bytes) {
                *byte ^= change;
            }
            let _ = receive(&mut server, &first, piece).and_then(|_| receive(&mut server, bytes, piece));
        }
        // Honest records in pieces, and the input behind them.
        _ => {
            if client.may_encrypt() && !bytes.is_empty() {
                let mut output = Output::default();
                client.encrypt(bytes, &mut output).expect("an open session");
                client.keep_unsent(&output, 0);
                let plain = receive(&mut server, &take(&mut client), piece).expect("honest records");
                assert_eq!(plain, bytes[..plain.len()]);
                assert_eq!(plain.len(), bytes.len().min(64 << 10));
                let _ = receive(&mut server, bytes, piece);
            }
        }
    }
    use_it(&mut server);
    use_it(&mut client);
});
