//! Listening: errors that name the address, and the files of Unix sockets.
#![cfg(unix)]

use crate::common::{Folder, Wire, echo_script, run, script};
use lariat::{Config, ListenOptions, LocalAddr, Server};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

fn server() -> Server<()> {
    Server::new(Config::default()).expect("a server")
}

fn open(path: &Path) -> Wire<UnixStream> {
    Wire::open_unix(path, "/")
}

// ---- errors ------------------------------------------------------------------------------------

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("an address");
    for error in [
        Server::<()>::bind(addr).expect_err("it is taken"),
        server().listen(addr).expect_err("it is taken"),
        server().listen_also(addr).expect_err("it is taken"),
        server().listen(&["127.0.0.1:0".parse().expect("an address"), addr][..]).expect_err("it is taken"),
    ] {
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {addr}: ")), "{error}");
    }
    let error = Server::<()>::bind("192.0.2.1:7").expect_err("no host has it");
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert!(error.to_string().contains("192.0.2.1:7"), "{error}");
}

#[test]
fn a_path_that_cannot_be_listened_on_is_named() {
    let folder = Folder::new();
    let (file, live, long) = (folder.path("file"), folder.path("live"), folder.path(&"x".repeat(200)));
    std::fs::write(&file, "precious").expect("a file");
    let _live = UnixListener::bind(&live).expect("a free path");
    for (path, kind) in [
        (Path::new("/no/such/folder/socket"), ErrorKind::NotFound),
        (&file, ErrorKind::AddrInUse),
        (&live, ErrorKind::AddrInUse),
        (&long, ErrorKind::InvalidInput),
    ] {
        let error = server().listen_unix(path).expect_err("it cannot be");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&format!("cannot listen on unix:{}: ", path.display())), "{error}");
    }
    assert_eq!(std::fs::read(&file).expect("it is still there"), b"precious");
}

// ---- a socket that was left behind -------------------------------------------------------------

#[test]
fn a_socket_without_a_listening_server_is_replaced() {
    let folder = Folder::new();
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).expect("a free path"));
    let before = std::fs::symlink_metadata(&path).expect("it was left behind").ino();
    // Another file gets the inode number, so that it cannot be used again.
    std::fs::hard_link(&path, folder.path("other")).expect("a link");
    for _ in 0..3 {
        let server = run(server().listen_unix(&path).expect("no server listens there"), echo_script().0);
        open(&path).echo("hello");
        assert_ne!(std::fs::symlink_metadata(&path).expect("it is there").ino(), before);
        drop(server);
        assert!(!path.exists(), "its own file is removed");
        drop(UnixListener::bind(&path).expect("a free path"));
    }
}

#[test]
fn a_socket_with_a_listening_server_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let first = run(server().listen_unix(&path).expect("a free path"), echo_script().0);
    for _ in 0..3 {
        let error = server().listen_unix(&path).expect_err("a server listens there");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        open(&path).echo("the first still serves");
    }
    drop(first);
    // A socket that listens and is too busy to accept: its backlog is full.
    let busy = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    busy.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("a free path");
    busy.listen(0).expect("it listens");
    let fill: Vec<_> = (0..3)
        .map(|_| {
            let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("an option");
            let _ = client.connect(&socket2::SockAddr::unix(&path).expect("a path"));
            client
        })
        .collect();
    let error = server().listen_unix(&path).expect_err("a server listens there");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(path.exists());
    drop((fill, busy));
}

#[test]
fn a_file_that_is_not_a_listening_socket_is_not_replaced() {
    let folder = Folder::new();
    let (datagram, directory, link, dangling) =
        (folder.path("datagram"), folder.path("directory"), folder.path("link"), folder.path("dangling"));
    let _datagram = UnixDatagram::bind(&datagram).expect("a free path");
    std::fs::create_dir(&directory).expect("a folder");
    let stale = folder.path("stale");
    drop(UnixListener::bind(&stale).expect("a free path"));
    std::os::unix::fs::symlink(&stale, &link).expect("a link");
    std::os::unix::fs::symlink(folder.path("nothing"), &dangling).expect("a link");
    for path in [&datagram, &directory, &link, &dangling] {
        let before = std::fs::symlink_metadata(path).expect("it is there").ino();
        let error = server().listen_unix(path).expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{}: {error}", path.display());
        assert_eq!(std::fs::symlink_metadata(path).expect("it is still there").ino(), before);
    }
    assert!(stale.exists(), "the target of a link is not the server's");
}

// ---- who may connect ---------------------------------------------------------------------------

#[test]
fn the_socket_has_the_configured_mode_and_group() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let gid = std::fs::metadata(folder.path("")).expect("it is there").gid();
    for mode in [0o600, 0o660, 0o666, 0o777, 0o700] {
        let mut options = ListenOptions::default();
        (options.unix_mode, options.unix_group) = (Some(mode), Some(gid));
        let server = server().options(options).listen_unix(&path).expect("a free path");
        let metadata = std::fs::symlink_metadata(&path).expect("it is there");
        assert!(metadata.file_type().is_socket());
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.gid()), (mode, gid));
        assert_eq!(server.local_addrs(), [LocalAddr::Unix(path.clone())]);
        let server = run(server, script().0);
        open(&path);
        drop(server);
        assert!(!path.exists());
    }
}

#[test]
fn an_invalid_mode_or_group_is_an_error_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let path = folder.path("socket");
    for mode in [0o1000, 0o10_000, u32::MAX] {
        let mut options = ListenOptions::default();
        options.unix_mode = Some(mode);
        let error = server().options(options).listen_unix(&path).expect_err("it is not a mode of a socket");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("mode"), "{error}");
        assert!(!path.exists(), "nothing is left behind");
    }
    // Only root may give a file to a group of which it is not a member.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        let mut options = ListenOptions::default();
        options.unix_group = Some(0);
        let error = server().options(options).listen_unix(&path).expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("group"), "{error}");
        assert!(!path.exists(), "nothing is left behind");
    }
}
