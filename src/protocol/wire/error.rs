//! Violations of the protocol by the peer of an open connection.

use super::close_code::CloseCode;
use super::utf8::InvalidUtf8;
use std::fmt;

/// A rule that the peer of an open connection broke. The connection fails (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client's frame was not masked.
    UnmaskedFrame,
    /// A server's frame was masked.
    MaskedFrame,
    /// An RSV bit was set, and no negotiated extension gives it a meaning.
    ReservedBits,
    /// The opcode is not defined.
    ReservedOpcode(u8),
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame arrived outside a message.
    UnexpectedContinuation,
    /// A new message began before the previous one ended.
    UnfinishedMessage,
    /// A length was encoded in more bytes than necessary.
    NonMinimalLength,
    /// A 64-bit length had its top bit set.
    LengthTopBit,
    /// The close code must not be sent.
    InvalidCloseCode(u16),
    /// A Close frame with a body of one byte.
    CloseBodyOfOneByte,
    /// A text or a close reason was not UTF-8.
    InvalidUtf8,
    /// A compressed message could not be decompressed.
    InvalidDeflate,
    /// A message has more than `limit` bytes, as announced or as received.
    MessageTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message has more than `limit` frames.
    TooManyFragments {
        /// The limit, in frames.
        limit: u32,
    },
}

impl ProtocolError {
    /// Returns the code of the Close frame that reports this error (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8 | ProtocolError::InvalidDeflate => CloseCode::Invalid,
            ProtocolError::MessageTooLarge { .. } => CloseCode::Size,
            ProtocolError::TooManyFragments { .. } => CloseCode::Policy,
            ProtocolError::UnmaskedFrame
            | ProtocolError::MaskedFrame
            | ProtocolError::ReservedBits
            | ProtocolError::ReservedOpcode(_)
            | ProtocolError::FragmentedControl
            | ProtocolError::ControlTooLong
            | ProtocolError::UnexpectedContinuation
            | ProtocolError::UnfinishedMessage
            | ProtocolError::NonMinimalLength
            | ProtocolError::LengthTopBit
            | ProtocolError::InvalidCloseCode(_)
            | ProtocolError::CloseBodyOfOneByte => CloseCode::Protocol,
        }
    }

    /// Returns the section of RFC 6455 that contains the rule. For
    /// [`InvalidDeflate`](Self::InvalidDeflate), it is a section of RFC 7692.
    pub const fn section(self) -> &'static str {
        match self {
            ProtocolError::InvalidDeflate => "7.2.2",
            ProtocolError::UnmaskedFrame | ProtocolError::MaskedFrame => "5.1",
            ProtocolError::ReservedBits
            | ProtocolError::ReservedOpcode(_)
            | ProtocolError::NonMinimalLength
            | ProtocolError::LengthTopBit => "5.2",
            ProtocolError::UnexpectedContinuation | ProtocolError::UnfinishedMessage => "5.4",
            ProtocolError::FragmentedControl | ProtocolError::ControlTooLong => "5.5",
            ProtocolError::CloseBodyOfOneByte => "5.5.1",
            ProtocolError::InvalidCloseCode(_) => "7.4",
            ProtocolError::InvalidUtf8 => "8.1",
            ProtocolError::MessageTooLarge { .. } | ProtocolError::TooManyFragments { .. } => "10.4",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::UnmaskedFrame => f.write_str("a client must mask its frames")?,
            ProtocolError::MaskedFrame => f.write_str("a server must not mask its frames")?,
            ProtocolError::ReservedBits => f.write_str("reserved bit set, without an extension for it")?,
            ProtocolError::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}")?,
            ProtocolError::FragmentedControl => f.write_str("fragmented control frame: send it whole")?,
            ProtocolError::ControlTooLong => f.write_str("control frame of more than 125 bytes: send a message")?,
            ProtocolError::UnexpectedContinuation => f.write_str("continuation without a message: begin one first")?,
            ProtocolError::UnfinishedMessage => f.write_str("new message inside a message: end that first")?,
            ProtocolError::NonMinimalLength => f.write_str("length not encoded minimally")?,
            ProtocolError::LengthTopBit => f.write_str("length with its top bit set")?,
            ProtocolError::InvalidCloseCode(code) => write!(f, "invalid close code {code}: use 1000 or 3000 to 4999")?,
            ProtocolError::CloseBodyOfOneByte => f.write_str("close body of one byte")?,
            ProtocolError::InvalidUtf8 => f.write_str("invalid UTF-8: only binary messages may carry other bytes")?,
            ProtocolError::InvalidDeflate => return f.write_str("invalid compressed data (RFC 7692 section 7.2.2)"),
            ProtocolError::MessageTooLarge { limit } => {
                write!(f, "message of more than {limit} bytes: split it, or raise the receiver's max_message")?
            }
            ProtocolError::TooManyFragments { limit } => {
                write!(f, "message in more than {limit} frames: use fewer, or raise the receiver's max_fragments")?
            }
        }
        write!(f, " (RFC 6455 section {})", self.section())
    }
}

impl std::error::Error for ProtocolError {}

impl From<InvalidUtf8> for ProtocolError {
    fn from(_: InvalidUtf8) -> ProtocolError {
        ProtocolError::InvalidUtf8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_close_code_and_its_section() {
        assert_eq!(u16::from(ProtocolError::ReservedBits.close_code()), 1002);
        assert_eq!(u16::from(ProtocolError::InvalidUtf8.close_code()), 1007);
        assert_eq!(u16::from(ProtocolError::MessageTooLarge { limit: 1 }.close_code()), 1009);
        assert_eq!(u16::from(ProtocolError::TooManyFragments { limit: 1 }.close_code()), 1008);
        assert_eq!(ProtocolError::ReservedOpcode(3).to_string(), "reserved opcode 0x3 (RFC 6455 section 5.2)");
    }

    /// The text is the reason in the Close frame, which has at most 123 bytes.
    #[test]
    fn every_text_fits_into_a_close_frame() {
        for error in [
            ProtocolError::UnmaskedFrame,
            ProtocolError::MaskedFrame,
            ProtocolError::ReservedBits,
            ProtocolError::ReservedOpcode(15),
            ProtocolError::FragmentedControl,
            ProtocolError::ControlTooLong,
            ProtocolError::UnexpectedContinuation,
            ProtocolError::UnfinishedMessage,
            ProtocolError::NonMinimalLength,
            ProtocolError::LengthTopBit,
            ProtocolError::InvalidCloseCode(u16::MAX),
            ProtocolError::CloseBodyOfOneByte,
            ProtocolError::InvalidUtf8,
            ProtocolError::InvalidDeflate,
            ProtocolError::MessageTooLarge { limit: usize::MAX },
            ProtocolError::TooManyFragments { limit: u32::MAX },
        ] {
            assert!(error.to_string().len() <= 123, "{error}");
        }
    }
}
