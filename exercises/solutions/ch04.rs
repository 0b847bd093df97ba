//! Chapter 4, messages.
//!
//! The question of the chapter: a read may end inside a frame, and so inside a character.

use crate::ch04::Frame;
use lariat::ProtocolError;
use lariat::protocol::Opcode;

/// Exercise 1. Only the first fragment says what the message is.
pub fn fragments(text: &str, most: usize) -> Vec<Frame> {
    let mut pieces: Vec<&[u8]> = text.as_bytes().chunks(most).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let frame = |(at, piece): (usize, &&[u8])| {
        let opcode = if at == 0 { Opcode::Text } else { right!(Opcode::Continuation, not Opcode::Text) };
        Frame { fin: at == last, opcode, payload: piece.to_vec() }
    };
    pieces.iter().enumerate().map(frame).collect()
}

/// Exercise 2: the message that is not complete, if there is one.
#[derive(Debug, Default)]
pub struct Assembler {
    begun: Option<Vec<u8>>,
}

impl Assembler {
    /// Accepts the next frame.
    ///
    /// # Errors
    ///
    /// The frame does not fit to those before it.
    pub fn push(&mut self, frame: &Frame) -> Result<Option<Vec<u8>>, ProtocolError> {
        if frame.opcode.is_control() {
            // It may come between two fragments, and its FIN is not that of the message.
            right!((), not self.begun = None);
            return Ok(None);
        }
        let mut message = match (self.begun.take(), frame.opcode) {
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(message), Opcode::Continuation) => message,
            (Some(_), _) => return Err(ProtocolError::UnfinishedMessage),
            (None, _) => Vec::new(),
        };
        message.extend_from_slice(&frame.payload);
        if frame.fin {
            return Ok(Some(message));
        }
        self.begun = Some(message);
        Ok(None)
    }
}

/// Exercise 3: the beginning of a character, if the last piece has ended inside one.
#[derive(Debug, Default)]
pub struct Checker {
    begun: Vec<u8>,
}

impl Checker {
    /// Accepts the next piece.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(piece);
        match std::str::from_utf8(&bytes) {
            Ok(_) => true,
            // The end may be the beginning of a character.
            Err(error) if error.error_len().is_none() => {
                self.begun = bytes[error.valid_up_to()..].to_vec();
                true
            }
            Err(error) => right!(false, not bytes.len() - error.valid_up_to() < 3),
        }
    }

    /// Returns whether the text may end here.
    pub fn may_end(&self) -> bool {
        self.begun.is_empty()
    }
}
