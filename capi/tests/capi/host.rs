//! A server of the tests, and clients of another project for it.

use lariat_c::*;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::TcpStream;
use std::ptr;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// A server that listens on a free port. It is freed at the end.
pub struct Host(pub *mut lariat_server);

/// Something that was not freed is a leak, and the test has failed already.
impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the tests do not use it after this.
        unsafe { lariat_free(self.0) };
    }
}

impl Host {
    /// One that does not listen.
    pub fn new() -> Host {
        let mut server = ptr::null_mut();
        // SAFETY: the place can be written.
        assert_eq!(unsafe { lariat_new(&raw mut server) }, 0);
        Host(server)
    }

    pub fn listening() -> Host {
        let host = Host::new();
        let address = "127.0.0.1:0";
        // SAFETY: the server and the text are there.
        assert_eq!(unsafe { lariat_listen(host.0, address.as_ptr().cast(), address.len()) }, 0);
        host
    }

    pub fn address(&self) -> String {
        let mut buffer: [c_char; 64] = [0; 64];
        // SAFETY: the server is there, and the buffer has this size.
        assert_eq!(unsafe { lariat_address(self.0, 0, buffer.as_mut_ptr(), buffer.len()) }, 0, "{}", last());
        // SAFETY: the text has a NUL at its end.
        unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap().to_owned()
    }

    /// Turns until something is true.
    pub fn turn_until(&self, mut is_done: impl FnMut() -> bool) {
        for _ in 0..1_000 {
            if is_done() {
                return;
            }
            // SAFETY: the server is there.
            assert_eq!(unsafe { lariat_turn(self.0, 10) }, 0, "{}", last());
        }
        panic!("it has not come");
    }

    /// A client in a thread of its own, which does something once it is open.
    pub fn client<T: Send + 'static>(
        &self,
        path: &str,
        then: impl FnOnce(&mut WebSocket<TcpStream>) -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let (address, path) = (self.address(), path.to_owned());
        std::thread::spawn(move || then(&mut connect(&address, &path, None).unwrap()))
    }
}

/// Connects to a server.
pub fn connect(address: &str, path: &str, subprotocol: Option<&str>) -> tungstenite::Result<WebSocket<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    if let Some(name) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", name.parse().unwrap());
    }
    let connected = tungstenite::client(request, stream);
    connected.map(|(socket, _)| socket).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => error,
        tungstenite::HandshakeError::Interrupted(_) => panic!("interrupted"),
    })
}

/// Reads a message. With a timeout, a signal of another test's child may interrupt that.
pub fn next(socket: &mut WebSocket<TcpStream>) -> Message {
    loop {
        match socket.read() {
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read.expect("a message"),
        }
    }
}

pub fn text(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        match next(socket) {
            Message::Text(text) => return text.to_string(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// What went wrong last on this thread.
pub fn last() -> String {
    // SAFETY: the text is valid until the next failure.
    unsafe { CStr::from_ptr(lariat_last_error()) }.to_str().unwrap().to_owned()
}

/// What callbacks have noted, behind the user pointer.
#[derive(Default)]
pub struct Notes {
    pub opened: Vec<u64>,
    pub texts: Vec<String>,
    pub closed: Vec<(u64, u16, c_int, String)>,
    pub codes: Vec<c_int>,
}

impl Notes {
    pub fn pointer(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }
}

/// # Safety
///
/// The pointer is that of `Notes`, which nobody else uses.
pub unsafe fn notes<'a>(user: *mut c_void) -> &'a mut Notes {
    // SAFETY: promised by the caller.
    unsafe { &mut *user.cast::<Notes>() }
}

/// # Safety
///
/// As `slice::from_raw_parts`.
pub unsafe fn string(data: *const c_char, length: usize) -> String {
    // SAFETY: promised by the caller.
    String::from_utf8(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) }.to_vec()).unwrap()
}
