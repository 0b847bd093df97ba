//! The body of a Close frame (RFC 6455 §5.5.1).

use super::close_code::CloseCode;
use super::error::ProtocolError;
use super::escape::Escaped;
use super::frame::MAX_CONTROL_PAYLOAD;
use super::utf8;
use std::fmt;
use std::io::Write;

/// The body of a Close frame: a code and a reason (RFC 6455 §5.5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes.
    pub reason: String,
}

/// Writes the code, and the reason if there is one, [escaped](Escaped).
impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => self.code.fmt(f),
            reason => write!(f, "{} {}", self.code, Escaped(reason)),
        }
    }
}

/// The largest close reason, in bytes: a control frame's payload without the code.
pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// Reads a Close frame's body: its code and its reason. An empty body has neither.
///
/// # Errors
///
/// The body is one byte long, the code must not be sent (1004, 1005, 1006, 1015 and unregistered
/// codes), or the reason is not UTF-8.
pub fn decode_body(body: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    match body {
        [] => Ok(None),
        [_] => Err(ProtocolError::CloseBodyOfOneByte),
        [high, low, reason @ ..] => {
            let number = u16::from_be_bytes([*high, *low]);
            let code = CloseCode::from(number);
            if !code.is_allowed() {
                return Err(ProtocolError::InvalidCloseCode(number));
            }
            Ok(Some((code, utf8::whole(reason)?)))
        }
    }
}

/// Writes a reason into `buffer`. Returns what fits, cut between two characters.
pub fn format_reason<'b>(reason: &impl fmt::Display, buffer: &'b mut [u8; MAX_REASON]) -> &'b str {
    let mut rest = &mut buffer[..];
    // An error means that not all fits.
    let _ = write!(rest, "{reason}");
    let length = MAX_REASON - rest.len();
    let text = &buffer[..length];
    let valid = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    std::str::from_utf8(&text[..valid]).unwrap_or_default()
}

/// Writes a Close frame's body into `body` and returns the written part. A reason that is too long
/// is cut between two characters.
pub fn encode_body<'b>(code: CloseCode, reason: &str, body: &'b mut [u8; MAX_CONTROL_PAYLOAD]) -> &'b [u8] {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    body[..2].copy_from_slice(&u16::from(code).to_be_bytes());
    body[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    &body[..2 + end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_of_rfc_6455_7_4_travel() {
        let step = if cfg!(miri) { 97 } else { 1 };
        for code in (0..=u16::MAX).step_by(step) {
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(decode_body(&code.to_be_bytes()).is_ok(), allowed, "{code}");
        }
    }

    #[test]
    fn bodies_are_read_whole_or_not_at_all() {
        assert_eq!(decode_body(b""), Ok(None));
        assert_eq!(decode_body(b"\x03"), Err(ProtocolError::CloseBodyOfOneByte));
        assert_eq!(decode_body(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
        let frame = decode_body("\u{3}\u{0}bye".as_bytes());
        assert_eq!(frame, Err(ProtocolError::InvalidCloseCode(0x300)));
        let frame = decode_body(b"\x0f\xa0bye").unwrap().unwrap();
        assert_eq!((u16::from(frame.0), frame.1), (4000, "bye"));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let body = encode_body(CloseCode::Normal, &"€".repeat(50), &mut body);
        assert_eq!(body.len(), 2 + 123);
        assert!(decode_body(body).is_ok());
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let body = encode_body(CloseCode::Normal, &("a".to_owned() + &"€".repeat(50)), &mut body);
        assert_eq!(body.len(), 2 + 121);
    }

    #[test]
    fn a_reason_that_is_formatted_is_cut_between_characters() {
        let mut buffer = [0; MAX_REASON];
        assert_eq!(format_reason(&"short", &mut buffer), "short");
        assert_eq!(format_reason(&"€".repeat(50), &mut buffer), "€".repeat(41));
        assert_eq!(format_reason(&format!("a{}", "€".repeat(50)), &mut buffer), format!("a{}", "€".repeat(40)));
    }
}
