//! The state machine of rustls: handshakes, and what follows them unless [`Traffic`] takes over.
//!
//! [`Traffic`]: super::traffic::Traffic

use super::error::{TlsError, TlsFailure};
use super::output::{OVERHEAD, Output, RECORD};
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// A connection of rustls without buffers. It is 1 KiB large, and what it points to 2 KiB.
pub(super) enum Machine {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// What a session is to do as soon as it can.
#[derive(Clone, Copy)]
pub(super) enum Act<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    Close,
}

/// What follows a step of rustls.
enum Step {
    /// Another step.
    Continue,
    /// Bytes from the peer, or from the connection.
    Wait,
    /// Nothing more comes from the peer.
    PeerClosed,
    /// The act is done.
    Done,
    Failed(TlsError),
}

/// Handles one step of rustls. Returns how many bytes of the input it has used.
fn handle<D>(
    UnbufferedStatus { mut discard, state, .. }: UnbufferedStatus<'_, '_, D>,
    act: Act<'_>,
    plain: &mut Vec<u8>,
    output: &mut Output,
) -> (usize, Step) {
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Step::Continue,
                Some(Err(error)) => break Step::Failed(TlsError::from(&error)),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let mut size = 0;
            loop {
                match data.encode(output.room(size)) {
                    Ok(count) => {
                        output.filled(count);
                        break Step::Continue;
                    }
                    Err(EncodeError::InsufficientSize(needed)) => size = needed.required_size,
                    Err(EncodeError::AlreadyEncoded) => break Step::Continue,
                }
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Continue
        }
        Ok(ConnectionState::PeerClosed) => Step::PeerClosed,
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let encrypted = match act {
                Act::Nothing => return (discard, Step::Wait),
                Act::Encrypt(bytes) => {
                    let records = bytes.len() / RECORD + 2;
                    match traffic.encrypt(bytes, output.room(bytes.len() + records * OVERHEAD)) {
                        // The configuration wants smaller records.
                        Err(EncryptError::InsufficientSize(needed)) => {
                            traffic.encrypt(bytes, output.room(needed.required_size))
                        }
                        encrypted => encrypted,
                    }
                }
                Act::Close => traffic.queue_close_notify(output.room(OVERHEAD)),
            };
            match encrypted {
                Ok(count) => {
                    output.filled(count);
                    Step::Done
                }
                Err(error) => Step::Failed(TlsError::new(TlsFailure::Violation, error.to_string())),
            }
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Step::Wait,
        // There is no early data (RFC 8446 §2.3): no configuration here allows it.
        Ok(_) => Step::Failed(TlsError::new(TlsFailure::Violation, "early data")),
        Err(error) => Step::Failed(TlsError::from(&error)),
    };
    (discard, step)
}

impl Machine {
    /// Runs rustls until it waits. Returns how many bytes of the input it has used, and whether the
    /// peer has closed. rustls remembers positions in the rest, which must come first the next
    /// time.
    pub(super) fn run(
        &mut self,
        input: &mut [u8],
        act: Act<'_>,
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> (usize, Result<bool, TlsError>) {
        let (mut used, mut closed) = (0, false);
        loop {
            let (count, step) = self.step(&mut input[used..], act, plain, output);
            used += count;
            match step {
                Step::Continue => {}
                Step::PeerClosed => closed = true,
                Step::Wait | Step::Done => return (used, Ok(closed)),
                Step::Failed(error) => return (used, Err(error)),
            }
        }
    }

    /// After a failure, appends the alert that rustls may have for the peer. It must not look at
    /// its input again.
    pub(super) fn take_alert(&mut self, output: &mut Output) {
        while self.common().wants_write() {
            if !matches!(self.step(&mut [], Act::Nothing, &mut Vec::new(), output), (0, Step::Continue)) {
                break;
            }
        }
    }

    fn step(&mut self, input: &mut [u8], act: Act<'_>, plain: &mut Vec<u8>, output: &mut Output) -> (usize, Step) {
        match self {
            Machine::Server(connection) => handle(connection.process_tls_records(input), act, plain, output),
            Machine::Client(connection) => handle(connection.process_tls_records(input), act, plain, output),
        }
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Machine::Server(connection) => connection,
            Machine::Client(connection) => connection,
        }
    }
}
