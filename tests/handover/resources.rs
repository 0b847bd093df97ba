//! What goes wrong in this process, and around it.

use crate::common::{Folder, Wire};
use crate::kit::{echo, fails, serve, taking_over, try_taking_over};
use crate::raw::{READY, REFUSED, Raw, unit};
use crate::steady::{App, Fault, Steady};
use lariat::{Answer, ClientId, Clients, Config, Drain, Handler, HandoverError, HttpResponse, Request, Server};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

fn source(error: &std::io::Error) -> &HandoverError {
    error.get_ref().and_then(|error| error.downcast_ref()).expect("a HandoverError")
}

#[test]
fn a_handler_that_cannot_save_or_restore_goes_on() {
    let mut steady = Steady::new();
    let cases = [
        (Fault::SavesNothing, "Handler::save has returned None"),
        (Fault::PanicsInSave, "the handler panicked in save"),
        (Fault::SavesNoClient, "Handler::save_client has returned None"),
        (Fault::PanicsInSaveClient, "the handler panicked in save_client"),
        (Fault::CannotRestore, "the handler cannot restore: it is meant to"),
        (Fault::PanicsInRestore, "the handler panicked in restore"),
        (Fault::CannotRestoreClient, "the handler cannot restore: it is meant to"),
        (Fault::PanicsInRestoreClient, "the handler panicked in restore_client"),
    ];
    for (fault, why) in cases {
        *steady.control.fault.lock().expect("no panic") = Some(fault);
        let control = Arc::clone(&steady.control);
        let error = fails(Config::default(), &steady.path, || App::with(&control));
        assert!(error.to_string().contains(why), "{error}");
        source(&error);
        assert!(steady.path.exists(), "others can still ask");
        steady.check();
    }
    *steady.control.fault.lock().expect("no panic") = None;
    steady.take_over();
}

#[test]
fn a_new_server_that_never_starts_changes_nothing() {
    let mut steady = Steady::new();
    let unix = steady.folder.path("socket");
    for round in 0..3 {
        let server = taking_over::<u32>(Config::default(), &steady.path).listen("127.0.0.1:0").expect("it is prepared");
        assert_eq!(server.predecessor().expect("there is one").process, std::process::id());
        let server = if round == 1 { server.listen_unix(&unix).expect("a new socket") } else { server };
        steady.check();
        drop(server);
        assert!(steady.path.exists(), "others can still ask");
        steady.check();
    }
    steady.take_over();
}

#[test]
fn the_old_server_cannot_be_taken_over_while_it_shuts_down() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let old = serve(&path, echo);
    let mut client = Wire::open(old.addr);
    // The client does not answer, so the server waits.
    old.remote.shutdown(Drain::default().deadline(crate::common::WAIT)).expect("it runs");
    client.expect_close(1001);
    let error = fails(Config::default(), &path, echo);
    assert!(error.to_string().contains("the server is shutting down"), "{error}");
    drop(client);
    old.outcome().expect("it stops");
}

/// Neither process may forget it.
#[test]
fn a_shutdown_that_is_asked_for_at_the_last_moment_is_not_lost() {
    let (here, there) = UnixStream::pair().expect("a pair");
    let server = Server::bind("127.0.0.1:0").expect("a port");
    let mut event_loop = server.start(echo()).expect("a loop");
    let taking = std::thread::spawn(move || {
        let server = Server::<()>::new(Config::default()).and_then(|server| server.take_over_from(there));
        server.and_then(|server| server.start(echo())).map(drop)
    });
    event_loop.remote().shutdown(Drain::default()).expect("it runs");
    let handed = event_loop.hand_over(here);
    assert!(handed.is_err(), "it shuts down");
    assert!(taking.join().expect("no panic").is_err());
    let outcome = event_loop.run().expect("a poller that works");
    assert_eq!(outcome.handed_over, 0);
}

#[test]
fn a_server_that_stops_while_another_one_prepares_is_gone() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let old = serve(&path, echo);
    let mut raw = Raw::prepare(&path);
    old.remote.shutdown(Drain::default()).expect("it runs");
    old.outcome().expect("it stops");
    raw.send(&unit(READY));
    while let Some(packet) = raw.receive() {
        assert_eq!(packet.kind(), REFUSED);
    }
    assert!(!path.exists(), "no server is left");
    serve(&path, echo);
}

#[test]
fn the_path_must_be_one_at_which_a_server_can_listen() {
    let folder = Folder::new();
    let file = folder.path("file");
    std::fs::write(&file, "text").expect("a file");
    let error = try_taking_over::<()>(Config::default(), &file).expect_err("a file is there");
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    assert_eq!(std::fs::read(&file).expect("it is still there"), b"text");

    let missing = folder.path("missing").join("handover");
    let error = try_taking_over::<()>(Config::default(), &missing).expect_err("no folder");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains(&*missing.to_string_lossy()), "{error}");

    try_taking_over::<()>(Config::default(), &folder.path("")).expect_err("a folder is there");
}

#[test]
fn what_is_no_lariat_is_not_taken_over() {
    let folder = Folder::new();
    let path = folder.path("other");
    let other = UnixListener::bind(&path).expect("a socket");
    let answers: [&[u8]; 4] = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x03\x00\x00abc", &[0xff; 64]];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for answer in answers {
                let mut raw = Raw::new(other.accept().expect("a connection").0);
                raw.bytes(answer);
                let _ = raw.0.shutdown(std::net::Shutdown::Write);
                std::io::copy(&mut &raw.0, &mut std::io::sink()).ok();
            }
        });
        for answer in answers {
            let error = try_taking_over::<()>(Config::default(), &path).expect_err("no Lariat");
            match (answer.is_empty(), source(&error)) {
                (true, HandoverError::Gone(_)) | (false, HandoverError::Malformed(_) | HandoverError::Unable(_)) => {}
                (_, other) => panic!("{other:?}"),
            }
        }
    });
    assert!(path.exists(), "it is not ours");
}

#[test]
fn a_path_where_nobody_accepts_is_not_waited_for_without_end() {
    let folder = Folder::new();
    let path = folder.path("other");
    let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    let address = socket2::SockAddr::unix(&path).expect("an address");
    other.bind(&address).and_then(|()| other.listen(0)).expect("it listens");
    let waiting: Vec<socket2::Socket> = (0..3)
        .map(|_| {
            let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("non-blocking");
            let _ = client.connect(&address);
            client
        })
        .collect();
    let error = try_taking_over::<()>(Config::default(), &path).expect_err("nobody accepts");
    assert!(matches!(source(&error), HandoverError::Stalled), "{error:?}");
    drop(waiting);
}

#[test]
fn the_path_belongs_to_the_last_server() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let mut server = serve(&path, echo);
    let mut client = Wire::open(server.addr);
    for _ in 0..3 {
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        server = server.replace(Config::default(), &path, echo);
        assert!(path.exists());
        client.echo("still there");
    }
    drop(server);
    assert!(!path.exists(), "it is removed with the last server");
}

#[test]
fn a_path_that_a_killed_server_has_left_behind_is_replaced() {
    let folder = Folder::new();
    let path = folder.path("handover");
    drop(UnixListener::bind(&path).expect("a socket"));
    let server = serve(&path, echo);
    let mut client = Wire::open(server.addr);
    let server = server.replace(Config::default(), &path, echo);
    client.echo("it works");
    drop(server);
}

/// Its listening sockets are those of the new process now.
#[test]
fn new_connections_do_not_disturb_a_server_that_waits_for_the_rest() {
    struct Streams;
    impl Handler for Streams {
        type Data = ();
        fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
            if request.path() == "/stream" {
                return HttpResponse::streamed(lariat::http::Response::new(())).into();
            }
            Answer::Upgrade(lariat::Upgrade::new())
        }
        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: lariat::Message<'_>) {
            let _ = clients.send(id, message);
        }
    }
    let folder = Folder::new();
    let (path, unix) = (folder.path("handover"), folder.path("socket"));
    let make = |path: &std::path::Path| {
        let server = taking_over(Config::default(), path).listen("127.0.0.1:0");
        server.and_then(|server| server.listen_unix(&unix)).expect("a port")
    };
    let old = crate::kit::run(make(&path), || Streams);
    let mut stream = Wire::connect(old.addr);
    stream.send(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.response().status(), 200);
    let mut open = Wire::open(old.addr);
    let new = crate::kit::run(make(&path), || Streams);
    crate::common::until(|| old.ask(|clients| clients.is_shutting_down()));
    // The first turn of the new one comes after the commit.
    new.ask(|_| ());
    open.echo("it has been taken over");
    for _ in 0..20 {
        Wire::open(new.addr).echo("new");
        Wire::open_unix(&unix, "/").echo("new");
        UnixStream::connect(&path).expect("the new one listens");
    }
    assert!(unix.exists() && path.exists());
    // The old one is still there.
    old.ask(|clients| assert!(clients.is_shutting_down()));
    drop(stream);
    assert_eq!(old.handed_over(), 1);
    assert!(unix.exists() && path.exists());
    drop(new);
    assert!(!unix.exists() && !path.exists());
}

#[test]
fn a_process_without_descriptors_does_not_take_over() {
    let test = "resources::a_process_without_descriptors_does_not_take_over";
    let said = crate::common::alone(test, || {
        let mut steady = Steady::new();
        let clients: Vec<Wire> = (0..40).map(|_| Wire::open(steady.server().addr)).collect();
        let (soft, hard) = rlimit::Resource::NOFILE.get().expect("RLIMIT_NOFILE");
        let control = Arc::clone(&steady.control);
        // The poller, its waker, the link and the listening sockets, and some clients.
        let highest = std::fs::File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file));
        rlimit::Resource::NOFILE.set(highest.expect("a descriptor") as u64 + 30, hard).expect("it can be lowered");
        let error = fails(Config::default(), &steady.path, || App::with(&control));
        rlimit::Resource::NOFILE.set(soft, hard).expect("the old limit");
        assert!(error.to_string().contains("descriptors"), "{error}");
        println!("{error}");
        steady.check();
        steady.take_over();
        drop(clients);
    });
    assert!(said.is_empty() || said.contains("ulimit"), "{said}");
}
