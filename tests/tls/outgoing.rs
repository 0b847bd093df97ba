//! Connections to servers with TLS.

use crate::common::{Call, Folder, echo_script, run, script, serve};
use crate::kit::{VERSIONS, client_tls, server_tls};
use lariat::tls::{ClientTls, TlsFailure};
use lariat::{
    ClientId, Clients, CloseReason, Config, ConnectOptions, Handler, ListenOptions, Message, OpeningError, Server,
};
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

fn secured() -> Server<()> {
    let mut options = ListenOptions::default();
    options.tls = Some(server_tls());
    let server = Server::new(Config::default()).expect("a server").options(options);
    server.listen("127.0.0.1:0").expect("a free port")
}

/// Tells which callbacks come, and sends a message.
struct Visitor(Sender<String>);

impl Visitor {
    fn say(&self, what: impl Into<String>) {
        self.0.send(what.into()).expect("the test waits");
    }
}

impl Handler for Visitor {
    type Data = ();

    fn on_connect(&mut self, clients: &mut Clients<()>, id: ClientId) {
        assert_eq!(clients.tls(id), None);
        self.say("connect");
    }

    fn on_secured(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.say(clients.tls(id).expect("it is secured").version);
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.say("open");
        clients.send(id, &*"x".repeat(100_000)).expect("it is open");
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.say(format!("{} bytes", message.as_bytes().len()));
        clients.close(id, lariat::CloseCode::Normal, "").expect("it is open");
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.say(format!("close: {reason}"));
    }
}

#[test]
fn a_secured_server_is_connected_to() {
    let (handler, _calls) = echo_script();
    let there = run(secured(), handler);
    for version in VERSIONS {
        let (sender, told) = channel();
        let here = serve(Visitor(sender));
        let url = format!("wss://localhost:{}/", there.addr.port());
        let (address, tls) = (there.addr, client_tls(&[version]));
        let options = ConnectOptions::new().address(address).tls(tls);
        here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
        let said: Vec<String> = told.iter().take(5).collect();
        let version =
            if version.version == lariat::tls::rustls::ProtocolVersion::TLSv1_2 { "TLS 1.2" } else { "TLS 1.3" };
        assert_eq!(said[..4], ["connect", version, "open", "100000 bytes"]);
        assert!(said[4].starts_with("close: closed by us: 1000"), "{said:?}");
    }
}

fn end_of(url: &str, tls: ClientTls) -> CloseReason {
    let (handler, calls) = script();
    let here = serve(handler);
    let (url, options) = (url.to_owned(), ConnectOptions::new().tls(tls));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    calls.close().1
}

#[test]
fn a_server_that_is_not_trusted_is_not_connected_to() {
    let there = secured();
    let lariat::LocalAddr::Tcp(address) = there.local_addrs()[0].clone() else { panic!("not TCP") };
    let (handler, _calls) = echo_script();
    let _there = run(there, handler);
    let kind = |url: &str, tls: ClientTls| match end_of(url, tls) {
        CloseReason::Tls(error) => error.kind(),
        reason => panic!("{reason}"),
    };
    // Another name than the certificate's, and another authority.
    let url = format!("wss://127.0.0.2:{}/", address.port());
    let stranger = {
        let folder = Folder::new();
        std::fs::write(folder.path("ca.pem"), crate::kit::Authority::new().pem()).expect("a file");
        ClientTls::from_files(&folder.path("ca.pem"), None).expect("an authority")
    };
    assert_eq!(kind(&format!("wss://{address}/"), stranger), TlsFailure::Certificate);
    let (handler, calls) = script();
    let here = serve(handler);
    let options = ConnectOptions::new().address(address).tls(client_tls(&VERSIONS));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let reason = calls.close().1;
    assert!(matches!(&reason, CloseReason::Tls(error) if error.kind() == TlsFailure::Certificate), "{reason}");
}

#[test]
fn a_server_without_tls_is_recognised() {
    let (handler, _calls) = echo_script();
    let there = serve(handler);
    let (handler, calls) = script();
    let here = serve(handler);
    let url = format!("wss://{}/", there.addr);
    let options = ConnectOptions::new().tls(client_tls(&VERSIONS));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let reason = calls.close().1;
    assert!(matches!(&reason, CloseReason::Tls(error) if error.kind() == TlsFailure::NotTls), "{reason}");
}

#[test]
fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_millis(100);
    let (handler, calls) = script();
    let here = crate::common::serve_with(config, handler);
    let url = format!("wss://{}/", silent.local_addr().expect("an address"));
    let options = ConnectOptions::new().tls(client_tls(&VERSIONS));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let reason = calls.close().1;
    assert_eq!(reason, CloseReason::Timeout(lariat::Timeout::Handshake));
}

#[test]
fn urls_with_wss_are_checked() {
    let (handler, _calls) = script();
    let here = serve(handler);
    for (url, error) in [
        ("wss:///", OpeningError::BadUrl),
        ("wss://a b/", OpeningError::BadUrl),
        ("https://localhost/", OpeningError::BadScheme),
        ("wss://under_score-/", OpeningError::BadUrl),
    ] {
        let options = ConnectOptions::new().tls(client_tls(&VERSIONS));
        let outcome = here.ask(move |clients| clients.connect(url, &options));
        assert_eq!(outcome, Err(error), "{url}");
    }
}

/// While output waits for the handshake, the loop waits as well.
#[test]
fn a_handshake_that_waits_costs_no_turns() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (handler, calls) = script();
    let here = serve(handler);
    let url = format!("wss://{}/", silent.local_addr().expect("an address"));
    let options = ConnectOptions::new().tls(client_tls(&VERSIONS));
    here.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let (mut there, _) = silent.accept().expect("a connection");
    let mut hello = [0; 5];
    there.read_exact(&mut hello).expect("the first message");
    assert_eq!(hello[0], 22);
    let turns = || here.ask(|clients| clients.stats()).turn_micros.count();
    let before = turns();
    here.ask(|clients| clients.set_timer(Duration::from_millis(200), 7));
    calls.until(&Call::Timer(7));
    let after = turns();
    assert!(after - before <= 10, "{} turns", after - before);
}
