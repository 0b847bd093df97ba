//! Standard output, which a thread writes. So a reader that is slow holds up neither pings nor
//! Ctrl-C; the session pauses the connection instead.

use lariat::Remote;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The bytes above which the connection is paused, and those at which it goes on.
const MOST: usize = 1 << 20;
const FEW: usize = 256 << 10;

/// The bytes above which nothing more is taken from a connection that cannot be paused.
const TOO_MANY: usize = 16 << 20;

/// Messages are written together, up to about so many bytes.
const TOGETHER: usize = 64 << 10;

/// How long the end waits for the reader if a signal has ended the session.
const FLUSH: Duration = Duration::from_secs(2);

/// What the thread tells the loop.
#[derive(Debug)]
pub(super) enum FromOutput {
    /// Few bytes wait.
    Ready,
    /// Everything has been written, or nothing more can be.
    Done(io::Result<()>),
}

/// The end that takes bytes.
pub(super) struct Output {
    queue: Option<Sender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    /// Says when the thread has ended.
    ended: Receiver<()>,
}

impl Output {
    pub(super) fn start(remote: Remote<()>) -> io::Result<Output> {
        Output::to(io::stdout(), move |told| {
            // The loop may have ended.
            let _ = remote.post(told);
        })
    }

    fn to(sink: impl Write + Send + 'static, tell: impl Fn(FromOutput) + Send + 'static) -> io::Result<Output> {
        let (queue, queued) = channel();
        let (end, ended) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let of_thread = Arc::clone(&waiting);
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let outcome = write(sink, &queued, &of_thread, &tell);
            drop(queued);
            tell(FromOutput::Done(outcome));
            drop(end);
        })?;
        Ok(Output { queue: Some(queue), waiting, ended })
    }

    /// Queues bytes. Returns whether so many wait that no more should come before
    /// [`FromOutput::Ready`].
    pub(super) fn write(&self, bytes: Vec<u8>) -> bool {
        let Some(queue) = &self.queue else { return false };
        let length = bytes.len();
        // Before they are queued, so that the thread never subtracts them first.
        let waiting = self.waiting.fetch_add(length, Ordering::AcqRel) + length;
        queue.send(bytes).is_ok() && waiting > MOST && self.waiting.load(Ordering::Acquire) > FEW
    }

    /// Returns whether so many bytes wait that the reader is too slow for a connection that cannot
    /// be paused.
    pub(super) fn is_too_slow(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > TOO_MANY
    }

    /// Takes no more bytes. [`FromOutput::Done`] follows.
    pub(super) fn end(&mut self) {
        self.queue = None;
    }

    /// Waits until everything has been written, for 2 s at most.
    pub(super) fn flush(&mut self) {
        self.end();
        let _ = self.ended.recv_timeout(FLUSH);
    }
}

fn write(
    mut sink: impl Write,
    queued: &Receiver<Vec<u8>>,
    waiting: &AtomicUsize,
    tell: &impl Fn(FromOutput),
) -> io::Result<()> {
    for mut bytes in queued {
        while bytes.len() < TOGETHER {
            match queued.try_recv() {
                Ok(more) => bytes.extend_from_slice(&more),
                Err(_) => break,
            }
        }
        sink.write_all(&bytes).and_then(|()| sink.flush())?;
        let before = waiting.fetch_sub(bytes.len(), Ordering::AcqRel);
        if before > FEW && before - bytes.len() <= FEW {
            tell(FromOutput::Ready);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A reader that takes a write with each permit.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.recv().is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.1.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_is_reported_once_and_everything_is_written_in_order() {
        let ((permit, permits), (tell, told)) = (channel(), channel());
        let written = Arc::new(Mutex::new(Vec::new()));
        let tell = move |said| drop(tell.send(said));
        let mut output = Output::to(Slow(permits, Arc::clone(&written)), tell).expect("a thread");
        let mut count = 0_u32;
        while !output.write(vec![count as u8; 100_000]) {
            count += 1;
        }
        assert_eq!(count, MOST as u32 / 100_000);
        for _ in 0..=count {
            permit.send(()).expect("it is needed");
        }
        assert!(matches!(told.recv(), Ok(FromOutput::Ready)));
        output.end();
        assert!(matches!(told.recv(), Ok(FromOutput::Done(Ok(())))));
        let expected: Vec<u8> = (0..=count).flat_map(|number| vec![number as u8; 100_000]).collect();
        assert!(*written.lock().expect("nobody panics") == expected);
    }

    #[test]
    fn a_reader_that_has_gone_is_reported() {
        let ((permit, permits), (tell, told)) = (channel(), channel());
        drop(permit);
        let tell = move |said| drop(tell.send(said));
        let mut output = Output::to(Slow(permits, Arc::default()), tell).expect("a thread");
        output.write(b"a line\n".to_vec());
        let Ok(FromOutput::Done(Err(error))) = told.recv() else { panic!("it is not reported") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!output.write(vec![0; 2 * MOST]), "it does not wait for nobody");
        output.flush();
    }
}
