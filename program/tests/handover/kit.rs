//! Processes that take over from one another, and pages of the site.

use crate::common::program::Program;
use crate::common::{Wire, request_with, text};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

/// A folder that only one test uses, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lariat-upgrade-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a new folder");
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub fn socket(&self) -> String {
        self.path("handover")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that is upgraded again and again.
pub struct Site {
    pub addr: SocketAddr,
    pub folder: Folder,
    more: Vec<&'static str>,
    program: Option<Program>,
}

/// Starts a process that is taken over at a path, or takes over there.
pub fn start(addr: &str, socket: &str, more: &[&str]) -> Program {
    Program::start(&[&["serve", "--listen", addr, "--handover", socket], more].concat())
}

impl Site {
    pub fn new(more: &[&'static str]) -> Site {
        let folder = Folder::new();
        let mut program = start("127.0.0.1:0", &folder.socket(), more);
        Site { addr: program.ready(), folder, more: more.to_vec(), program: Some(program) }
    }

    /// Begins an upgrade: the next process takes over, and the old one ends well.
    pub fn begin(&mut self) -> JoinHandle<Program> {
        let mut old = self.program.take().expect("no upgrade is under way");
        let (addr, socket, more) = (self.addr.to_string(), self.folder.socket(), self.more.clone());
        std::thread::spawn(move || {
            let mut next = start(&addr, &socket, &more);
            next.ready();
            assert!(old.wait().success(), "the old process ends well");
            next
        })
    }

    pub fn end(&mut self, upgrade: JoinHandle<Program>) {
        self.program = Some(upgrade.join().expect("the next process takes over"));
    }

    /// Upgrades, and calls `meanwhile` again and again until that is done.
    pub fn upgrade(&mut self, mut meanwhile: impl FnMut()) {
        let upgrade = self.begin();
        while !upgrade.is_finished() {
            meanwhile();
        }
        self.end(upgrade);
    }

    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("no upgrade is under way")
    }

    /// Opens a socket as a page of the site does.
    pub fn open(&self, path: &str) -> Wire {
        open(self.addr, path)
    }
}

pub fn open(addr: SocketAddr, path: &str) -> Wire {
    let mut client = Wire::connect(addr);
    let request = request_with(path, &format!("Origin: http://{addr}\r\n"));
    client.send(request.replace("localhost", &addr.to_string()).as_bytes());
    assert_eq!(client.response().status(), 101, "{path}");
    client
}

pub fn say(client: &mut Wire, what: &Value) {
    client.send(&text(&what.to_string()));
}

/// Returns the next text message.
#[track_caller]
pub fn told<S: Read + Write>(client: &mut Wire<S>) -> Value {
    loop {
        let frame = client.frame();
        assert!(matches!(frame.first, 0x81 | 0x82), "the connection goes on: {frame:?}");
        if frame.first == 0x81 {
            return serde_json::from_slice(&frame.payload).expect("JSON");
        }
    }
}

/// Returns the content of the next message of this kind.
#[track_caller]
pub fn next<S: Read + Write>(client: &mut Wire<S>, kind: &str) -> Value {
    loop {
        if let Some(content) = told(client).get_mut(kind) {
            return content.take();
        }
    }
}
