//! Takes over from the process that runs, and starts the next one.

use crate::terminal::Failure;
use lariat::Server;
use sd_notify::NotifyState;
use signal_hook::consts::SIGUSR2;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::JoinHandle;

/// Takes over from the server at a path, if there is one. From now on, SIGUSR2 starts the next
/// process.
pub(super) fn take_over(server: Server<()>, path: &Path) -> Result<Server<()>, Failure> {
    let server = server.take_over(path).map_err(|error| {
        Failure(format!("cannot take over at {}: {error}. If a server runs there, it goes on", path.display()))
    })?;
    if let Some(predecessor) = server.predecessor() {
        let (program, process) = (&predecessor.program, predecessor.process);
        log::info!("taking over from {program} (process {process}): {} connections", predecessor.connections);
    }
    restart_at_signal().map_err(|error| Failure(format!("cannot handle SIGUSR2: {error}")))?;
    Ok(server)
}

/// Tells systemd, if it has started the service, that this process serves now.
pub(super) fn ready(is_main: bool) {
    let main = NotifyState::MainPid(std::process::id());
    let state = if is_main { &[main, NotifyState::Ready][..] } else { &[NotifyState::Ready] };
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("systemd was not told that the server is ready: {error}");
    }
}

/// Starts the program again at each SIGUSR2, unless the process that the last one has started still
/// runs.
fn restart_at_signal() -> io::Result<()> {
    let program = own_path()?;
    let (mut signals, sender) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGUSR2, sender)?;
    let restart = move || {
        let mut last = None;
        while signals.read_exact(&mut [0]).is_ok() {
            last = last.filter(is_running);
            match &last {
                Some((process, _)) => log::error!(
                    "SIGUSR2: process {process} was started to take over, and still runs. End it, and send the signal again"
                ),
                None => last = start(&program),
            }
        }
    };
    std::thread::Builder::new().name("restart".to_owned()).spawn(restart).map(drop)
}

/// A process that was started to take over, and the thread that waits for its end.
type Started = (u32, JoinHandle<()>);

fn is_running((_, thread): &Started) -> bool {
    !thread.is_finished()
}

/// Returns the path of the program, whose file may be replaced: as it was written if that is a
/// path, so that a link can be changed, or else the path of the file.
fn own_path() -> io::Result<PathBuf> {
    let written = std::env::args_os().next().map(PathBuf::from);
    match written.filter(|path| path.components().count() > 1 && path.is_file()) {
        Some(path) => std::path::absolute(path),
        None => std::env::current_exe(),
    }
}

/// Starts the program with the same options. A thread waits until it has ended: if it takes over,
/// this process ends first.
fn start(program: &Path) -> Option<Started> {
    log::info!("SIGUSR2: starting {} to take over", program.display());
    let child = Command::new(program).args(std::env::args_os().skip(1)).spawn();
    let started = child.and_then(|child| {
        let process = child.id();
        let thread = std::thread::Builder::new().name("successor".to_owned());
        thread.spawn(move || await_end(child)).map(|thread| (process, thread))
    });
    let say = |error| log::error!("{} cannot be started: {error}. This process goes on", program.display());
    started.map_err(say).ok()
}

fn await_end(mut child: Child) {
    match child.wait() {
        // If it has taken over, this process only waits for what has stayed behind.
        Ok(status) if status.success() => log::info!("the process that took over has ended as well"),
        Ok(status) => log::error!("the process that was started to take over has ended: {status}"),
        Err(error) => log::error!("the process that was started to take over cannot be waited for: {error}"),
    }
}
