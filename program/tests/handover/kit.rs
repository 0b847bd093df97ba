//! Processes that take over from one another, and pages of the site.

use crate::common::program::Program;
use crate::common::{Folder, Wire, request_with, text};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread::JoinHandle;

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
        let mut program = start("127.0.0.1:0", &folder.argument("handover"), more);
        Site { addr: program.ready(), folder, more: more.to_vec(), program: Some(program) }
    }

    /// Returns the path at which its processes take over.
    pub fn socket(&self) -> String {
        self.folder.argument("handover")
    }

    /// Begins an upgrade: the next process takes over, and the old one ends well.
    pub fn begin(&mut self) -> JoinHandle<Program> {
        let mut old = self.program.take().expect("no upgrade is under way");
        let (addr, socket, more) = (self.addr.to_string(), self.socket(), self.more.clone());
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
