//! Messages and descriptors over a Unix socket.
//!
//! ```text
//!  length (4 bytes, big-endian) | descriptors (2 bytes) | CBOR
//! ```
//!
//! The descriptors come with the first byte (`SCM_RIGHTS`), at most [`BATCH`] of them, which is
//! what the kernel takes at a time.

use super::error::HandoverError;
use super::format::Message;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The most descriptors of a message: `SCM_MAX_FD` of Linux.
pub(crate) const BATCH: usize = 253;

/// A process that does nothing for this long has stalled.
pub(super) const STALL: Duration = Duration::from_secs(5);

const HEADER: usize = 6;

/// The most bytes of one write. Linux takes so few whole or not at all. A larger write would return
/// after [`STALL`] with what it has written, and the next one would wait as long again.
const WRITE: usize = 16 << 10;

/// A write to a socket that the other process has closed raises no SIGPIPE.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
/// macOS has an option of the socket instead: SO_NOSIGPIPE.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// Child processes do not inherit received descriptors.
#[cfg(not(target_vendor = "apple"))]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
/// macOS has no such flag, so each descriptor gets FD_CLOEXEC after it has arrived.
#[cfg(target_vendor = "apple")]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// Memory for a message is allocated as its bytes arrive, in steps of this many.
const STEP: usize = 1 << 20;

/// A connection to the other process.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    /// The most bytes of a message that is received.
    most: usize,
}

impl Link {
    /// Speaks through a stream. Messages of more than `most` bytes are refused.
    ///
    /// # Errors
    ///
    /// The stream cannot be set up.
    pub(crate) fn new(stream: UnixStream, most: usize) -> io::Result<Link> {
        stream.set_nonblocking(false)?;
        #[cfg(target_vendor = "apple")]
        socket2::SockRef::from(&stream).set_nosigpipe(true)?;
        let link = Link { stream, most };
        link.wait_for(STALL)?;
        Ok(link)
    }

    /// From now on, the other process may do nothing for this long.
    pub(super) fn wait_for(&self, longest: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(longest))?;
        self.stream.set_write_timeout(Some(longest))
    }

    /// Returns the user of the other process, and its number.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn peer(&self) -> io::Result<(u32, u32)> {
        let credentials = rustix::net::sockopt::socket_peercred(&self.stream)?;
        Ok((credentials.uid.as_raw(), credentials.pid.as_raw_nonzero().get().unsigned_abs()))
    }

    /// Elsewhere, the mode of the socket's file decides who may connect.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn peer(&self) -> io::Result<(u32, u32)> {
        Ok((rustix::process::geteuid().as_raw(), 0))
    }

    /// Sends a message, with descriptors.
    ///
    /// # Errors
    ///
    /// The other process is gone or has stalled.
    pub(crate) fn send(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), HandoverError> {
        let mut bytes = vec![0; HEADER];
        minicbor::encode(message, &mut bytes).map_err(|error| HandoverError::Unable(error.to_string()))?;
        let length = u32::try_from(bytes.len() - HEADER);
        let length = length.map_err(|_| HandoverError::Unable("a message of more than 4 GiB".to_owned()))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4..HEADER].copy_from_slice(&(descriptors.len() as u16).to_be_bytes());
        let mut sent = 0;
        if !descriptors.is_empty() {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(HandoverError::Unable("too many descriptors at once".to_owned()));
            }
            let first = &bytes[..bytes.len().min(WRITE)];
            sent = retry(|| sendmsg(&self.stream, &[IoSlice::new(first)], &mut control, SEND))?;
        }
        for piece in bytes[sent..].chunks(WRITE) {
            self.stream.write_all(piece)?;
        }
        Ok(())
    }

    /// Receives a message, with its descriptors.
    ///
    /// # Errors
    ///
    /// The other process is gone or has stalled, what it says makes no sense, or this process has
    /// no room for the descriptors.
    fn receive(&mut self) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        let (mut header, mut descriptors) = ([0; HEADER], Vec::new());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry(|| recvmsg(&self.stream, &mut [IoSliceMut::new(&mut header)], &mut control, RECEIVE))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(owned) = message {
                descriptors.extend(owned);
            }
        }
        #[cfg(target_vendor = "apple")]
        for descriptor in &descriptors {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC).map_err(io::Error::from)?;
        }
        if received.bytes == 0 {
            return Err(HandoverError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        self.stream.read_exact(&mut header[received.bytes..])?;
        let [a, b, c, d, high, low] = header;
        let (length, count) = (u32::from_be_bytes([a, b, c, d]) as usize, u16::from_be_bytes([high, low]));
        if descriptors.len() != usize::from(count) {
            let (got, sent) = (descriptors.len(), count);
            let why = format!("{got} of {sent} descriptors have arrived: are there enough? `ulimit -n` sets the limit");
            return Err(HandoverError::Unable(why));
        }
        if length > self.most {
            return Err(HandoverError::Malformed(format!("a message of {length} bytes")));
        }
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let begin = bytes.len();
            bytes.resize(begin + STEP.min(length - begin), 0);
            self.stream.read_exact(&mut bytes[begin..])?;
        }
        let message = decode(&bytes)?;
        Ok((message, descriptors))
    }

    /// Receives a message, and says why if the other process has refused.
    pub(crate) fn expect(&mut self) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        match self.receive()? {
            (Message::Refused(why), _) => Err(HandoverError::Refused(shown(&why))),
            message => Ok(message),
        }
    }

    /// Tells the other process why it is refused, and returns the reason.
    pub(super) fn refuse(&mut self, why: impl Into<String>) -> HandoverError {
        let why = why.into();
        // If it is gone, it does not want to know.
        let _ = self.send(&Message::Refused(why.clone()), &[]);
        HandoverError::Unable(why)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Returns the beginning of a text of the other process, in one line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_debug).collect()
}

/// Decodes one whole message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Message, HandoverError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().map_err(|error| HandoverError::Malformed(error.to_string()))?;
    if decoder.position() != bytes.len() {
        return Err(HandoverError::Malformed("something behind a message".to_owned()));
    }
    Ok(message)
}

/// Calls the kernel until no signal interrupts it.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}
