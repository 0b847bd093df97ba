//! Where a server listens.

use crate::abi::lariat_status::{LARIAT_IO, LARIAT_NOT_FOUND};
use crate::boundary::{Failure, Outcome, status};
use crate::host::{HostServer, lariat_server};
use crate::pointers::{bytes, check_out, copy_text, text};
use socket2::{SockRef, Socket};
use std::ffi::{OsStr, c_char, c_int};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Also listens on a TCP address: "127.0.0.1:9998", an IPv6 address in brackets, or
/// "localhost:9998". A name is looked up, which can take long; one of its addresses is used. Port 0
/// means any free port: lariat_address returns it. If it fails, the server is as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_listen(server: *mut lariat_server, address: *const c_char, length: usize) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let address = unsafe { text(address, length, "the address")? };
        host.listen(|server| server.listen_also(address).map(drop).map_err(|error| not_there(address, &error)))
    })
}

/// Why a server does not listen on an address.
fn not_there(address: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => Failure::invalid(format!(
            "{address:?}: {error}: it must look like \"127.0.0.1:9998\", \"[::1]:9998\" or \"localhost:9998\""
        )),
        _ => {
            let (text, start) = (error.to_string(), "cannot listen on ");
            let text = if text.starts_with(start) { text } else { format!("{start}{address:?}: {text}") };
            Failure::new(LARIAT_IO, text)
        }
    }
}

/// Also listens on a Unix socket. Its file is created now, and removed when the server stops or is
/// freed. A stale file, on which no server listens any more, is replaced. If it fails, the server
/// is unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_listen_unix(server: *mut lariat_server, path: *const c_char, length: usize) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let path = unsafe { bytes(path, length, "the path")? };
        if path.is_empty() || path.contains(&0) {
            return Err(Failure::invalid("the path is empty, or has a NUL"));
        }
        host.listen(|server| Ok(server.listen_unix_also(OsStr::from_bytes(path))?))
    })
}

/// Also accepts from a socket that is listening already, TCP or Unix, such as one from systemd. The
/// descriptor is duplicated: the caller keeps its own, and may close it. The socket becomes
/// non-blocking. If it fails, the server is as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_listen_fd(server: *mut lariat_server, descriptor: c_int) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        if descriptor < 0 {
            return Err(Failure::invalid(format!("{descriptor} is no descriptor")));
        }
        host.listen(|server| {
            // SAFETY: it is not -1, and the header demands that it is open during this call. If it
            // is not, the kernel says so.
            let given = unsafe { BorrowedFd::borrow_raw(descriptor) };
            let socket = Socket::from(given.try_clone_to_owned()?);
            check_listens(&socket)?;
            let (is_unix, socket) = (socket.local_addr()?.is_unix(), OwnedFd::from(socket));
            Ok(if is_unix { server.listen_on_unix_also(socket.into()) } else { server.listen_on_also(socket.into()) }?)
        })
    })
}

/// Refuses what is no listening socket.
fn check_listens(socket: &Socket) -> Outcome {
    let failed = |error: io::Error| Failure::invalid(format!("the descriptor is no socket: {error}"));
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    if !SockRef::from(socket).is_listener().map_err(failed)? {
        return Err(Failure::invalid("the socket does not listen: call listen(2) before"));
    }
    SockRef::from(socket).r#type().map(drop).map_err(failed)
}

/// Also listens on a TCP address with TLS (wss://). `certificate` and `key` are paths of PEM files,
/// which are read now and by lariat_reload_tls: the server's certificate followed by those that
/// signed it, and its private key, which is not encrypted: RSA with 2048 to 4096 bits, ECDSA with
/// P-256 or P-384, or Ed25519. Clients get TLS 1.2 or 1.3. LARIAT_INVALID if a file cannot be read
/// or used. LARIAT_UNSUPPORTED if this build has no TLS. If it fails, the server is unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_listen_tls(
    server: *mut lariat_server,
    address: *const c_char,
    length: usize,
    certificate: *const c_char,
    certificate_length: usize,
    key: *const c_char,
    key_length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        // SAFETY: the header demands a readable text.
        let address = unsafe { text(address, length, "the address")? };
        // SAFETY: as above.
        let certificate = unsafe { bytes(certificate, certificate_length, "the path of the certificate")? };
        // SAFETY: as above.
        let key = unsafe { bytes(key, key_length, "the path of the key")? };
        host.listen(|server| listen_with_tls(host, server, address, certificate, key))
    })
}

/// Reads the files of all calls of lariat_listen_tls again. New connections get what they contain,
/// and existing ones go on. Call it when a certificate was renewed. If a pair of files cannot be
/// used, its addresses keep what they have, and the call returns LARIAT_INVALID after it has read
/// the others. A relative path is resolved again, in the directory that is current now. Without
/// addresses of lariat_listen_tls, nothing happens. LARIAT_UNSUPPORTED if this build has no TLS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_reload_tls(server: *mut lariat_server) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| reload_tls(unsafe { lariat_server::of(server)? }))
}

#[cfg(feature = "tls")]
fn reload_tls(host: &lariat_server) -> Outcome {
    let read = |(tls, files): &(lariat::tls::ServerTls, _)| tls.reload(files);
    // All are read, whether one fails or not.
    let outcomes: Vec<_> = host.identities.borrow().iter().map(read).collect();
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|error| Failure::invalid(error.to_string()))
}

#[cfg(not(feature = "tls"))]
fn reload_tls(_: &lariat_server) -> Outcome {
    Err(crate::connecting::without_tls())
}

#[cfg(feature = "tls")]
fn listen_with_tls(
    host: &lariat_server,
    server: &mut HostServer,
    address: &str,
    certificate: &[u8],
    key: &[u8],
) -> Outcome {
    use lariat::ListenOptions;
    use lariat::tls::{ServerTls, TlsFiles};

    let files = TlsFiles::new(OsStr::from_bytes(certificate), OsStr::from_bytes(key));
    let tls = ServerTls::from_files(&files).map_err(|error| Failure::invalid(error.to_string()))?;
    let mut options = ListenOptions::default();
    options.tls = Some(tls.clone());
    server.set_options(options);
    let outcome = server.listen_also(address);
    server.set_options(ListenOptions::default());
    outcome.map_err(|error| not_there(address, &error))?;
    host.identities.borrow_mut().push((tls, files));
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn listen_with_tls(_: &lariat_server, _: &mut HostServer, _: &str, _: &[u8], _: &[u8]) -> Outcome {
    Err(crate::connecting::without_tls())
}

/// Writes where the server listens, with a NUL at its end: "127.0.0.1:9998" or "unix:/run/x". The
/// first address has the index 0. LARIAT_NOT_FOUND if there is no such address. 64 bytes are enough
/// for all that are not Unix sockets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_address(
    server: *mut lariat_server,
    index: usize,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let addresses = unsafe { lariat_server::of(server)? }.addresses.borrow();
        check_out(buffer, "the buffer")?;
        let text = format!("the server listens on {} addresses", addresses.len());
        let address = addresses.get(index).ok_or_else(|| Failure::new(LARIAT_NOT_FOUND, text))?;
        // SAFETY: the header demands a buffer of this size.
        unsafe { copy_text(address, buffer, size) }
    })
}
