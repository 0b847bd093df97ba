//! The wire format, for processes that misbehave.

use crate::common::WAIT;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub const HELLO: u8 = 0;
pub const OFFER: u8 = 1;
pub const REFUSED: u8 = 2;
pub const READY: u8 = 3;
pub const LOOP: u8 = 4;
pub const CLIENTS: u8 = 6;
pub const RECEIVED: u8 = 7;
pub const LOOP_END: u8 = 8;
pub const END: u8 = 9;
pub const TAKEN: u8 = 10;

/// All parts that a process must know.
pub const PARTS: [&str; 8] = ["connections", "conflated", "counters", "data", "rates", "timers", "topics", "traces"];

/// A message as it is on the wire.
#[derive(Debug)]
pub struct Packet {
    pub body: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

impl Packet {
    /// Which message it is.
    pub fn kind(&self) -> u8 {
        assert_eq!(self.body[0], 0x82, "an enum is a list of two");
        self.body[1]
    }
}

/// Returns a message with its header.
pub fn framed(body: &[u8], descriptors: usize) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(descriptors as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// One side of a handover.
#[derive(Debug)]
pub struct Raw(pub UnixStream);

impl Raw {
    pub fn connect(path: &Path) -> Raw {
        Raw::new(UnixStream::connect(path).expect("a server that can be taken over"))
    }

    pub fn new(stream: UnixStream) -> Raw {
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        stream.set_write_timeout(Some(WAIT)).expect("a timeout");
        Raw(stream)
    }

    /// Sends bytes. The other side may be gone.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub fn send(&mut self, body: &[u8]) {
        self.bytes(&framed(body, 0));
    }

    /// Sends bytes whose first one brings descriptors.
    pub fn bytes_with(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
        let sent = sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap_or(bytes.len());
        self.bytes(&bytes[sent..]);
    }

    /// Receives a message. `None` if the other side has closed.
    pub fn receive(&mut self) -> Option<Packet> {
        match self.try_receive() {
            Ok(packet) => packet,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no message comes: {error}"),
        }
    }

    fn try_receive(&mut self) -> io::Result<Option<Packet>> {
        let (mut header, mut descriptors) = ([0; 6], Vec::new());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let count = recvmsg(&self.0, &mut [IoSliceMut::new(&mut header)], &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(owned) = message {
                descriptors.extend(owned);
            }
        }
        if count == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut header[count..])?;
        let [a, b, c, d, high, low] = header;
        assert_eq!(descriptors.len(), usize::from(u16::from_be_bytes([high, low])));
        let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        self.0.read_exact(&mut body)?;
        Ok(Some(Packet { body, descriptors }))
    }

    /// Receives a message of this kind.
    #[track_caller]
    pub fn expect(&mut self, kind: u8) -> Packet {
        let packet = self.receive().expect("a message");
        assert_eq!(packet.kind(), kind, "{:?}", String::from_utf8_lossy(&packet.body));
        packet
    }

    /// Prepares a takeover as a new process does.
    pub fn prepare(path: &Path) -> Raw {
        let mut raw = Raw::connect(path);
        raw.send(&hello(1, 1, &PARTS));
        raw.expect(OFFER);
        raw
    }

    /// Receives the next message of a transfer, and says so if clients came.
    pub fn next(&mut self) -> Packet {
        let packet = self.receive().expect("the transfer goes on");
        if packet.kind() == CLIENTS {
            self.send(&unit(RECEIVED));
        }
        packet
    }

    /// Receives all messages of a transfer. The last one is `End`, with the token.
    pub fn all(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while packets.last().map(Packet::kind) != Some(END) {
            packets.push(self.next());
        }
        packets
    }
}

/// Takes the token of an `End`. Returns `false` if the other process has it.
pub fn take_token(end: &Packet) -> bool {
    let mut byte = [0];
    matches!(rustix::io::read(&end.descriptors[0], &mut byte), Ok(1))
}

/// A message without fields.
pub fn unit(kind: u8) -> Vec<u8> {
    vec![0x82, kind, 0x80]
}

fn encoded(write: impl FnOnce(&mut minicbor::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut minicbor::Encoder::new(&mut bytes));
    bytes
}

pub fn hello(version: u16, oldest: u16, parts: &[&str]) -> Vec<u8> {
    encoded(|encoder| {
        let hello = encoder.array(2).and_then(|it| it.u8(HELLO)?.array(1)?.map(4)).expect("a vector");
        hello.u8(0).and_then(|it| it.u16(version)?.u8(1)?.u16(oldest)).expect("a vector");
        hello.u8(2).and_then(|it| it.array(parts.len() as u64)).expect("a vector");
        for part in parts {
            hello.str(part).expect("a vector");
        }
        hello.u8(3).and_then(|it| it.str("a fake")).expect("a vector");
    })
}

pub fn refused(why: &str) -> Vec<u8> {
    encoded(|encoder| {
        encoder.array(2).and_then(|it| it.u8(REFUSED)?.array(1)?.str(why)).expect("a vector");
    })
}
