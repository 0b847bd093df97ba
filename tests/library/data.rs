//! The data of a client: there from the beginning, or given when the client is accepted.

use crate::adopting::pair;
use crate::common::{Wire, request, serve, text};
use lariat::{Adopted, Answer, ClientData, ClientId, Clients, Handler, Message, Request, SendError, Upgrade};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Data without a default: given in the answer, later, or not at all.
struct Name(String);

impl ClientData for Name {
    type Stored = Option<Name>;
}

struct Names;

impl Handler for Names {
    type Data = Name;

    fn on_request(&mut self, clients: &mut Clients<Name>, id: ClientId, request: &Request<'_>) -> Answer {
        assert!(clients.data(id).is_none() && clients.data_mut(id).is_none() && clients.get(id).is_none());
        match request.path() {
            "/none" => Upgrade::new().into(),
            "/wrong" => Upgrade::new().with_data(5_u8).into(),
            "/set" => {
                let set = clients.set_data(id, Name("set".to_owned()));
                assert!(set.is_ok());
                Upgrade::new().into()
            }
            "/later" => Answer::Later,
            path => Upgrade::new().with_data(Name(path.to_owned())).into(),
        }
    }

    fn on_open(&mut self, clients: &mut Clients<Name>, id: ClientId) {
        let name = clients.data(id).map_or("nobody", |name| &name.0).to_owned();
        clients.send(id, &name).expect("it is open");
    }

    fn on_message(&mut self, clients: &mut Clients<Name>, id: ClientId, message: Message<'_>) {
        let Some(mut client) = clients.get(id) else { return };
        client.data_mut().0.push_str(message.as_text().unwrap_or_default());
        client.send_with(|name| name.0.as_str().into()).expect("it is open");
    }
}

#[test]
fn data_without_a_default_is_given_with_the_upgrade() {
    let server = serve(Names);
    for (path, name) in [("/ann", "/ann"), ("/set", "set")] {
        let mut client = Wire::open_at(server.addr, path);
        client.expect_text(name);
        client.send(&text("!"));
        client.expect_text(&format!("{name}!"));
    }
    // Without data, or with another type, the client is not accepted.
    for path in ["/none", "/wrong"] {
        let mut client = Wire::connect(server.addr);
        client.send(request(path).as_bytes());
        assert_eq!(client.response().status(), 500, "{path}");
    }
    // A plain request is told to upgrade, with or without data.
    let mut plain = TcpStream::connect(server.addr).expect("the server listens");
    plain.write_all(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let gone = ClientId::from_u64(u64::MAX).expect("an id");
    assert_eq!(
        server.ask(move |clients| clients.set_data(gone, Name("x".to_owned())).map_err(|name| name.0)),
        Err("x".to_owned())
    );
}

#[test]
fn data_can_be_given_with_a_later_answer_and_to_an_adopted_stream() {
    let server = serve(Names);
    let mut client = Wire::connect(server.addr);
    client.send(request("/later").as_bytes());
    let id = loop {
        // The first client of a new server.
        let id = ClientId::from_u64(1).expect("an id");
        match server.ask(move |clients| clients.answer(id, Upgrade::new().with_data(Name("late".to_owned())))) {
            Ok(()) => break id,
            Err(error) => assert!(matches!(error, SendError::NotOpen | SendError::Gone), "{error}"),
        }
    };
    assert_eq!(client.response().status(), 101);
    client.expect_text("late");
    assert!(server.ask(move |clients| clients.get(id).is_some()));

    let (mut client, stream) = pair();
    server.ask(move |clients| {
        let id = clients.adopt(Adopted::from(stream).upgraded()).expect("there is room");
        assert!(clients.set_data(id, Name("adopted".to_owned())).is_ok());
    });
    client.expect_text("adopted");
}
