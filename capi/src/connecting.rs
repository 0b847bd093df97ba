//! How the server connects to other servers.

use crate::abi::lariat_status::{LARIAT_UNSUPPORTED, LARIAT_WRONG_STATE};
use crate::boundary::{Failure, Outcome, status};
use crate::host::lariat_server;
use crate::pointers::{bytes, text, write};
use lariat::ConnectOptions;
use lariat::http::{HeaderName, HeaderValue};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

/// Begins to connect to a server: "ws://host:port/path", or wss:// in a build with TLS (otherwise:
/// LARIAT_UNSUPPORTED). The connection is a client like any other: on_open, on_message, on_close.
/// If it cannot be opened, only on_close is called, later, with the reason. `headers` are further
/// lines of the request, one header each, such as
/// "Authorization: Bearer abc\nSec-WebSocket-Protocol: chat, other"; with length 0, there are none.
/// Writes the id, unless `id` is NULL. LARIAT_WRONG_STATE after lariat_stop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_connect(
    server: *mut lariat_server,
    url: *const c_char,
    url_length: usize,
    headers: *const c_char,
    headers_length: usize,
    id: *mut u64,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let url = unsafe { text(url, url_length, "the URL")? };
        // SAFETY: as above.
        let headers = unsafe { text(headers, headers_length, "the headers")? };
        if !cfg!(feature = "tls") && is_secure(url) {
            return Err(without_tls());
        }
        let mut options = ConnectOptions::new();
        for line in headers.lines().filter(|line| !line.is_empty()) {
            add_line(&mut options, line)?;
        }
        #[cfg(feature = "tls")]
        options.tls.clone_from(&*host.trusted.borrow());
        let connected = host.with_clients(|clients| match clients.is_shutting_down() {
            true => Err(Failure::new(LARIAT_WRONG_STATE, "the server stops: it begins no connections any more")),
            false => Ok(without_signals(|| clients.connect(url, &options))?),
        })?;
        // SAFETY: the header demands NULL or a place that can be written.
        unsafe { write(id, connected.to_u64()) };
        Ok(())
    })
}

/// Blocks all signals meanwhile. The thread that looks up names inherits that, so signals of the
/// process go to a thread of the host, and end its wait.
fn without_signals<T>(call: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: there is room for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is full, and there is room for the one before.
    let is_blocked = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) } == 0;
    let result = call();
    if is_blocked {
        // SAFETY: the set before was written by the call that succeeded.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    result
}

fn is_secure(url: &str) -> bool {
    url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss:"))
}

/// Adds a line of a request: a header, or the subprotocols to offer.
fn add_line(options: &mut ConnectOptions, line: &str) -> Outcome {
    let invalid = || Failure::invalid(format!("{line:?} is no header: it must look like \"Name: value\""));
    let (name, value) = line.split_once(':').ok_or_else(invalid)?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    let value = value.trim();
    if name == lariat::http::header::SEC_WEBSOCKET_PROTOCOL {
        options.subprotocols.extend(value.split(',').map(|name| name.trim().to_owned()));
    } else {
        options.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?);
    }
    Ok(())
}

/// Sets which authorities later calls of lariat_connect trust for wss://: those in the PEM file
/// with this path, which is read now, instead of those of the platform. With length 0, those of the
/// platform again. LARIAT_UNSUPPORTED if this build has no TLS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_trust(server: *mut lariat_server, file: *const c_char, length: usize) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable path.
        let file = unsafe { bytes(file, length, "the path")? };
        trust(host, file)
    })
}

#[cfg(feature = "tls")]
fn trust(host: &lariat_server, file: &[u8]) -> Outcome {
    use lariat::tls::ClientTls;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let from_file = |file| ClientTls::from_files(std::path::Path::new(OsStr::from_bytes(file)), None);
    let trusted = (!file.is_empty()).then(|| from_file(file)).transpose();
    host.trusted.replace(trusted.map_err(|error| Failure::invalid(error.to_string()))?);
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn trust(_: &lariat_server, _: &[u8]) -> Outcome {
    Err(without_tls())
}

/// Why a build without TLS refuses.
pub(crate) fn without_tls() -> Failure {
    Failure::new(LARIAT_UNSUPPORTED, "this build has no TLS: build it with the feature tls")
}
