//! Chapter 15, handover.
//!
//! The question of the chapter: a sender chooses what its messages refer to. Our compressor can
//! begin again, and refer to nothing that was sent before. The peer's next message may refer to any
//! of its earlier ones, so our decompressor must remember them.

use crate::ch15::{Doing, Visitor, greet};
use lariat::{ClientId, Clients, Handler, Message, RestoreError};
use std::io::{self, ErrorKind, Read};

/// Exercise 1. What ends soon is not worth the effort. An incomplete frame is only a few bytes.
pub fn moves(doing: Doing) -> bool {
    match doing {
        Doing::Unanswered | Doing::Response => false,
        Doing::HalfAFrame => right!(true, not false),
        _ => true,
    }
}

/// Exercise 2. The kernel gives the byte to one reader.
///
/// # Errors
///
/// The token cannot be read.
pub fn have_it(token: &mut impl Read) -> io::Result<bool> {
    loop {
        match token.read(&mut [0]) {
            // 0 is the end of the stream: the byte is gone, and so is the writer.
            Ok(count) => return Ok(right!(count == 1, not count <= 1)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Exercise 3. The first byte is the format. Everything after it is checked.
#[derive(Debug, Default)]
pub struct Greeter {
    /// The number of all messages.
    pub messages: u64,
}

/// Reads what version 1 or 2 has saved: a count, and the bytes after it.
fn read(bytes: &[u8]) -> Result<(u64, &str), RestoreError> {
    let Some(([format, count @ ..], rest)) = bytes.split_first_chunk::<9>() else { return Err("too short".into()) };
    let is_known = *format == 2 || right!(*format == 1 && rest.is_empty(), not false);
    if !is_known {
        return Err("an unknown format".into());
    }
    let count = u64::from_le_bytes(*count.first_chunk().ok_or("too short")?);
    Ok((count, std::str::from_utf8(rest).map_err(|_| "a name that is not text")?))
}

impl Handler for Greeter {
    type Data = Visitor;

    fn on_message(&mut self, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
        greet(&mut self.messages, clients, id, message);
    }

    fn save(&mut self, _: &mut Clients<Visitor>) -> Option<Vec<u8>> {
        Some([&[2][..], &self.messages.to_le_bytes()].concat())
    }

    fn save_client(&mut self, clients: &mut Clients<Visitor>, id: ClientId) -> Option<Vec<u8>> {
        let visitor = clients.data(id)?;
        Some([&[2][..], &visitor.messages.to_le_bytes(), visitor.name.as_bytes()].concat())
    }

    fn restore(&mut self, _: &mut Clients<Visitor>, bytes: &[u8]) -> Result<(), RestoreError> {
        match read(bytes)? {
            (messages, "") => self.messages = messages,
            _ => return Err("too long".into()),
        }
        Ok(())
    }

    fn restore_client(
        &mut self,
        clients: &mut Clients<Visitor>,
        id: ClientId,
        bytes: &[u8],
    ) -> Result<(), RestoreError> {
        let (messages, name) = read(bytes)?;
        *clients.data_mut(id).ok_or("no client")? = Visitor { messages, name: name.to_owned() };
        Ok(())
    }
}
