//! Work on a thread of its own, so that no handler waits for it.

use lariat::{Remote, RemoteError};
use std::any::Any;
use std::io;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// While the server's queue is full, the result is posted again after this time.
const RETRY: Duration = Duration::from_millis(10);

/// Does some work on a thread of its own, and posts the result.
pub(crate) fn aside<E: Any + Send>(remote: Remote<()>, work: impl FnOnce() -> E + Send + 'static) -> io::Result<()> {
    let post = move || {
        let mut result = work();
        while let Err(refused) = remote.post(result) {
            if refused.error != RemoteError::Full {
                return;
            }
            result = refused.event;
            rest(RETRY);
        }
    };
    std::thread::Builder::new().name("aside".to_owned()).spawn(post).map(drop)
}

/// Does nothing for this time. Only for threads without a loop.
pub(super) fn rest(time: Duration) {
    let (_kept, nothing) = sync_channel::<()>(0);
    let _ = nothing.recv_timeout(time);
}
