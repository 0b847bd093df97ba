//! A client with TLS 1.3 goes along. One with TLS 1.2 stays behind: it is closed, and its app is
//! told.

use crate::apps::{Talker, talk};
use crate::common::program::{Program, lariat};
use crate::common::{Folder, Frame, WAIT, Wire, request_with, text};
use crate::kit::{next, start};
use lariat::tls::rustls::crypto::ring;
use lariat::tls::rustls::version::{TLS12, TLS13};
use lariat::tls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

type Secured = Wire<StreamOwned<ClientConnection, TcpStream>>;

/// A certificate for the server, and its authority.
struct Certificate(Folder);

impl Certificate {
    fn new() -> Certificate {
        let folder = Folder::new();
        let output = lariat(&["cert", "--dir", &folder.argument("")]).output();
        assert!(output.expect("the program runs").status.success());
        Certificate(folder)
    }

    /// Starts a process with TLS at the first address, and without TLS at the second one.
    fn serve(&self, addrs: [&str; 2], socket: &str, loops: &str) -> (Program, [SocketAddr; 2]) {
        let [cert, key] = ["lariat-cert.pem", "lariat-key.pem"].map(|name| self.0.argument(name));
        let plain = format!("plain:{}", addrs[1]);
        let mut program =
            start(addrs[0], socket, &["--loops", loops, "--listen", &plain, "--tls-cert", &cert, "--tls-key", &key]);
        let line = program.ready_line();
        let names = line.strip_prefix("Lariat listens on ").and_then(|rest| rest.split(": open ").next());
        let (secured, plain) = names.and_then(|names| names.split_once(" and ")).expect("two addresses");
        (program, [secured, plain].map(|address| address.parse().expect("an address")))
    }

    fn open(&self, addr: SocketAddr, path: &str, version: &'static SupportedProtocolVersion) -> Secured {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.0.path("lariat-ca.pem")).expect("a certificate");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(&[version]).expect("a version").with_root_certificates(roots);
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a session");
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        let mut wire = Wire::new(StreamOwned::new(session, stream));
        wire.send(request_with(path, "Origin: https://localhost\r\n").as_bytes());
        assert_eq!(wire.response().status(), 101);
        wire
    }
}

fn join(name: &str) -> Vec<u8> {
    text(&json!({"join": {"room": "lobby", "name": name, "key": name, "server": "", "after": 0}}).to_string())
}

fn say(id: &str, words: &str) -> Vec<u8> {
    text(&json!({"say": {"id": id, "text": words, "age": 0}}).to_string())
}

#[test]
fn a_person_with_tls_goes_on_through_three_handovers() {
    goes_on("1");
}

#[test]
fn a_person_with_tls_goes_on_on_several_loops() {
    goes_on("3");
}

fn goes_on(loops: &str) {
    let (certificate, folder) = (Certificate::new(), Folder::new());
    let socket = folder.argument("handover");
    let (mut server, addrs) = certificate.serve(["127.0.0.1:0"; 2], &socket, loops);
    let mut ada = Talker::enter(addrs[1], "Ada").0;
    // They are on different loops.
    let mut echoes: Vec<Secured> = (0..6).map(|_| certificate.open(addrs[0], "/echo", &TLS13)).collect();
    let mut bo = certificate.open(addrs[0], "/chat", &TLS13);
    bo.send(&join("Bo"));
    next(&mut bo, "welcome");
    for round in 0..3 {
        let names = addrs.map(|addr| addr.to_string());
        let (new, same) = certificate.serve(names.each_ref().map(String::as_str), &socket, loops);
        assert_eq!(same, addrs);
        assert!(std::mem::replace(&mut server, new).wait().success());
        let words = format!("round {round}");
        echoes.iter_mut().for_each(|wire| wire.echo(&words));
        bo.send(&say(&format!("b{round}"), &words));
        while next(&mut ada.wire, "message")["text"] != json!(words) {}
        while next(&mut bo, "message")["text"] != json!(words) {}
    }
}

#[test]
fn a_person_with_tls_1_2_leaves_and_comes_back() {
    let (certificate, folder) = (Certificate::new(), Folder::new());
    let socket = folder.argument("handover");
    let (mut old, addrs) = certificate.serve(["127.0.0.1:0"; 2], &socket, "1");
    let mut talkers = vec![Talker::enter(addrs[1], "Ada").0];
    let mut bo = certificate.open(addrs[0], "/chat", &TLS12);
    bo.send(&join("Bo"));
    let you = next(&mut bo, "welcome")["you"].clone();
    talk(&mut talkers);
    while next(&mut talkers[0].wire, "rooms") != json!([["lobby", 2]]) {}
    let (_new, same) =
        certificate.serve(addrs.map(|addr| addr.to_string()).each_ref().map(String::as_str), &socket, "1");
    assert_eq!(same, addrs);
    assert_eq!(next(&mut talkers[0].wire, "people")["left"], json!([you]));
    // The page comes back.
    let mut again = certificate.open(addrs[0], "/chat", &TLS12);
    again.send(&join("Bo"));
    let welcome = next(&mut again, "welcome");
    assert_eq!((&welcome["server"], welcome["people"].as_array().map(Vec::len)), (&talkers[0].server, Some(2)));
    talk(&mut talkers);
    // Nobody else would hear what it says to the old process, so that hears nothing.
    bo.send(&say("b1", "lost"));
    let mut frames = std::iter::from_fn(|| Some(bo.frame()));
    let is_answer = |frame: &Frame| frame.first == 0x88 || frame.payload.ends_with(br#""text":"lost","age":0}}"#);
    let frame = frames.find(is_answer).expect("a Close frame");
    assert_eq!((frame.first, &frame.payload[..2]), (0x88, &1012u16.to_be_bytes()[..]));
    drop(bo);
    assert!(old.wait().success());
}
