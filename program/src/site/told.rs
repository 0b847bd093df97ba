//! How pages are told what a trace says.

use lariat::{ProtocolError, Side, Trace};
use serde::Serialize;

/// The most characters of a text that pages get in a step.
const LONGEST_TEXT: usize = 80;

/// The opcodes of text and Close frames.
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A step of a trace without its bytes, as a page draws it.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Handshake {
        side: &'static str,
        /// The first line.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    Frame {
        side: &'static str,
        opcode: u8,
        fin: bool,
        masked: bool,
        compressed: bool,
        length: u64,
        /// The beginning of a text.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The code of a Close frame.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// More of the payload of the peer's last frame.
    Payload {
        length: usize,
    },
    Violation(Violation),
    State {
        from: String,
        to: String,
    },
}

impl Step {
    /// Returns the step of a trace, or `None` for what is not drawn. The content of messages is
    /// left out unless it `may_be_read`.
    pub(super) fn of(trace: &Trace, may_be_read: bool) -> Option<Step> {
        let text = |bytes: &[u8]| {
            may_be_read.then(|| String::from_utf8_lossy(bytes).chars().take(LONGEST_TEXT).collect::<String>())
        };
        Some(match trace {
            Trace::Handshake { side, text: head } => Step::Handshake {
                side: name(*side),
                text: text(head.split(|byte| *byte == b'\r').next().unwrap_or_default()),
            },
            Trace::Frame { side, header, .. } => {
                let plain = trace.unmasked().unwrap_or_default();
                let opcode = header.opcode as u8;
                let is_text = opcode == TEXT && !header.rsv1;
                let code = plain.first_chunk().filter(|_| opcode == CLOSE && may_be_read);
                Step::Frame {
                    side: name(*side),
                    opcode,
                    fin: header.fin,
                    masked: header.mask.is_some(),
                    compressed: header.rsv1,
                    length: header.length,
                    text: text(&plain).filter(|_| is_text),
                    code: code.map(|bytes| u16::from_be_bytes(*bytes)),
                }
            }
            Trace::Payload { payload } => Step::Payload { length: payload.len() },
            Trace::Violation(error) => Step::Violation((*error).into()),
            Trace::State { from, to } => Step::State { from: format!("{from:?}"), to: format!("{to:?}") },
            _ => return None,
        })
    }
}

/// Returns the name of a side.
pub(super) const fn name(side: Side) -> &'static str {
    match side {
        Side::Peer => "peer",
        Side::Us => "us",
    }
}

/// A rule that a peer broke. Pages have a text for each code: `shell.violation.unmasked_frame`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Violation {
    /// The name of the variant of [`ProtocolError`].
    pub(super) code: String,
    /// The reserved opcode, the wrong close code, or the limit.
    pub(super) number: Option<u64>,
    /// The section with the rule, of RFC 6455 or RFC 7692.
    pub(super) section: &'static str,
}

impl From<ProtocolError> for Violation {
    fn from(error: ProtocolError) -> Violation {
        let number = match error {
            ProtocolError::ReservedOpcode(opcode) => Some(opcode.into()),
            ProtocolError::InvalidCloseCode(code) => Some(code.into()),
            ProtocolError::MessageTooLarge { limit } => Some(limit as u64),
            ProtocolError::TooManyFragments { limit } => Some(limit.into()),
            _ => None,
        };
        let name = format!("{error:?}");
        let mut code = String::new();
        for one in name.chars().take_while(char::is_ascii_alphanumeric) {
            if one.is_ascii_uppercase() && !code.is_empty() {
                code.push('_');
            }
            code.push(one.to_ascii_lowercase());
        }
        Violation { code, number, section: error.section() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::texts::{Language, text};

    #[test]
    fn each_violation_has_a_text_in_each_language() {
        for (error, code, number) in [
            (ProtocolError::UnmaskedFrame, "unmasked_frame", None),
            (ProtocolError::MaskedFrame, "masked_frame", None),
            (ProtocolError::ReservedBits, "reserved_bits", None),
            (ProtocolError::ReservedOpcode(3), "reserved_opcode", Some(3)),
            (ProtocolError::FragmentedControl, "fragmented_control", None),
            (ProtocolError::ControlTooLong, "control_too_long", None),
            (ProtocolError::UnexpectedContinuation, "unexpected_continuation", None),
            (ProtocolError::UnfinishedMessage, "unfinished_message", None),
            (ProtocolError::NonMinimalLength, "non_minimal_length", None),
            (ProtocolError::LengthTopBit, "length_top_bit", None),
            (ProtocolError::InvalidCloseCode(1005), "invalid_close_code", Some(1005)),
            (ProtocolError::CloseBodyOfOneByte, "close_body_of_one_byte", None),
            (ProtocolError::InvalidUtf8, "invalid_utf8", None),
            (ProtocolError::InvalidDeflate, "invalid_deflate", None),
            (ProtocolError::MessageTooLarge { limit: 9 }, "message_too_large", Some(9)),
            (ProtocolError::TooManyFragments { limit: 8 }, "too_many_fragments", Some(8)),
        ] {
            let expected = Violation { code: code.to_owned(), number, section: error.section() };
            assert_eq!(Violation::from(error), expected);
            let key = format!("shell.violation.{code}");
            for language in Language::ALL {
                let text = text(language, &key);
                assert!(text != key && text.contains("{number}") == number.is_some(), "{key}: {text}");
            }
        }
    }
}
