//! Where the server listens, and what the user can do if it cannot.

use crate::terminal::Failure;
use lariat::{ListenOptions, Server};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

/// The default port, which a textbook uses in `ws://localhost:9998/echo`.
const PORT: u16 = 9998;

/// Listens on each of `addresses`. Without addresses, it listens on the sockets that systemd has
/// passed, or else on both loopback addresses. Addresses that begin with `plain:` have no TLS. Also
/// returns whether each of the server's addresses has TLS.
pub(crate) fn listen(
    server: Server<()>,
    options: ListenOptions,
    addresses: &[String],
) -> Result<(Server<()>, Vec<bool>), Failure> {
    let mut plain_options = options.clone();
    plain_options.tls = None;
    let has_tls = options.tls.is_some();
    let mut server = server.options(options.clone());
    #[cfg(unix)]
    if addresses.is_empty() && server.predecessor().is_some() {
        // Those of the old process: systemd has passed them to that one, or they are the default.
        let server = server.listen_as_before().map_err(|error| Failure(format!("cannot start: {error}")))?;
        let are_secured = vec![has_tls; server.local_addrs().len()];
        return Ok((server, are_secured));
    }
    if addresses.is_empty() {
        let (server, count) = listen_on_passed(server)?;
        let server = if count == 0 { listen_on_loopback(server)? } else { server };
        let are_secured = vec![has_tls; server.local_addrs().len()];
        return Ok((server, are_secured));
    }
    let mut are_secured = Vec::new();
    for address in addresses {
        let (address, options) = match address.strip_prefix("plain:") {
            Some(address) => (address, &plain_options),
            None => (address.as_str(), &options),
        };
        server = server.options(options.clone());
        server = match address.strip_prefix("unix:") {
            Some(path) => listen_on_path(server, Path::new(path))?,
            None => {
                let resolved = address.to_socket_addrs().map_err(|error| {
                    Failure(format!(
                        "{address:?} is not an address ({error}). Write one like 127.0.0.1:9998, [::1]:9998 or unix:/run/lariat.sock"
                    ))
                })?;
                let resolved: Vec<SocketAddr> = resolved.collect();
                server.listen(&resolved[..]).map_err(|error| port_failure(address, &error))?
            }
        };
        // A name may have several addresses.
        are_secured.resize(server.local_addrs().len(), options.tls.is_some());
    }
    Ok((server, are_secured))
}

/// Takes over the sockets that systemd has passed (`LISTEN_FDS`, sd_listen_fds(3)), and returns how
/// many there are.
fn listen_on_passed(mut server: Server<()>) -> Result<(Server<()>, usize), Failure> {
    let failed = |error| Failure(format!("cannot use a socket from LISTEN_FDS: {error}"));
    let mut passed = listenfd::ListenFd::from_env();
    for index in 0..passed.len() {
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            server = server.listen_on(listener).map_err(failed)?;
            continue;
        }
        #[cfg(unix)]
        if let Ok(Some(listener)) = passed.take_unix_listener(index) {
            server = server.listen_on_unix(listener).map_err(failed)?;
            continue;
        }
        return Err(Failure(format!(
            "socket {index} of LISTEN_FDS is not a listening TCP or Unix socket. Check the .socket unit"
        )));
    }
    Ok((server, passed.len()))
}

fn listen_on_loopback(server: Server<()>) -> Result<Server<()>, Failure> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT));
    let mut server = server.listen(v4).map_err(|error| port_failure(&v4.to_string(), &error))?;
    match server.listen_also(v6) {
        Ok(()) => Ok(server),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(port_failure(&v6.to_string(), &error)),
        Err(error) => {
            log::warn!("this host has no IPv6 ({error}); the server listens on IPv4 only");
            Ok(server)
        }
    }
}

fn port_failure(address: &str, error: &io::Error) -> Failure {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(PORT);
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is in use. Is lariat running already? Stop the program that uses it (`ss -ltnp 'sport = :{port}'` shows which), or choose another port: lariat --listen 127.0.0.1:{}",
            port.checked_add(1).unwrap_or(PORT)
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("this host does not have this address (`ip addr` lists its addresses). Try --listen 0.0.0.0:{port}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need privileges. Choose a higher one: lariat --listen 127.0.0.1:{PORT}")
        }
        _ => format!("{}. Write an address like 127.0.0.1:9998, [::1]:9998 or unix:/run/lariat.sock", cause(error)),
    };
    Failure(format!("cannot listen on {address}: {advice}"))
}

/// What an error of the library says, without the address, which is said already.
fn cause(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|error| error.source());
    cause.map_or_else(|| error.to_string(), |cause| cause.to_string())
}

#[cfg(unix)]
fn listen_on_path(server: Server<()>, path: &Path) -> Result<Server<()>, Failure> {
    use std::os::unix::fs::FileTypeExt;
    server.listen_unix(path).map_err(|error| {
        let shown = path.display();
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => match std::fs::symlink_metadata(path) {
                Ok(metadata) if !metadata.file_type().is_socket() => {
                    "a file that is not a socket is there. Choose another path".to_owned()
                }
                _ => "another program listens there. Stop it, or choose another path".to_owned(),
            },
            io::ErrorKind::NotFound => "its folder does not exist. Create it, or choose another path".to_owned(),
            _ => format!("{}. Choose another path", cause(&error)),
        };
        Failure(format!("cannot listen on unix:{shown}: {advice}"))
    })
}

#[cfg(not(unix))]
fn listen_on_path(_: Server<()>, path: &Path) -> Result<Server<()>, Failure> {
    Err(Failure(format!("cannot listen on unix:{}: this host has no Unix sockets", path.display())))
}
