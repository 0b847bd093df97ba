//! The codes of Close frames (RFC 6455 §7.4).

use std::fmt;

/// A close code: why an endpoint closes (RFC 6455 §7.4). [`CloseCode::from`] takes any number and
/// returns the variant of that number.
///
/// ```
/// use lariat::CloseCode;
///
/// /// A code of this application.
/// const KICKED: CloseCode = CloseCode::Library(4_001);
///
/// assert_eq!(CloseCode::from(1_000), CloseCode::Normal);
/// assert_eq!(CloseCode::from(4_001), KICKED);
/// assert_eq!(u16::from(CloseCode::Away), 1_001);
/// assert!(KICKED.is_allowed() && !CloseCode::Abnormal.is_allowed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    Normal,
    /// 1001: the server stops, or the browser has left the page.
    Away,
    /// 1002: the peer broke a rule of the protocol.
    Protocol,
    /// 1003: data of a kind that is not accepted, such as binary data where text is expected.
    Unsupported,
    /// 1005: the Close frame had no code. It is never sent.
    Status,
    /// 1006: the connection ended without a Close frame. It is never sent.
    Abnormal,
    /// 1007: the data does not fit the message's kind, such as text that is not UTF-8.
    Invalid,
    /// 1008: the peer broke a rule of the application.
    Policy,
    /// 1009: the message is too large.
    Size,
    /// 1010: the server has not agreed to an extension that the client needs.
    Extension,
    /// 1011: the server met an error of its own.
    Error,
    /// 1012: the server restarts.
    Restart,
    /// 1013: the server is overloaded. Try again later.
    Again,
    /// 1014: a gateway got an invalid response from the server behind it.
    BadGateway,
    /// 1015: the TLS handshake failed. It is never sent.
    Tls,
    /// 3000 to 3999: registered with IANA, for libraries and frameworks.
    Iana(u16),
    /// 4000 to 4999: for applications.
    Library(u16),
    /// Every other number. It is never sent.
    Other(u16),
}

impl CloseCode {
    /// Returns the number.
    pub const fn number(self) -> u16 {
        match self {
            CloseCode::Normal => 1000,
            CloseCode::Away => 1001,
            CloseCode::Protocol => 1002,
            CloseCode::Unsupported => 1003,
            CloseCode::Status => 1005,
            CloseCode::Abnormal => 1006,
            CloseCode::Invalid => 1007,
            CloseCode::Policy => 1008,
            CloseCode::Size => 1009,
            CloseCode::Extension => 1010,
            CloseCode::Error => 1011,
            CloseCode::Restart => 1012,
            CloseCode::Again => 1013,
            CloseCode::BadGateway => 1014,
            CloseCode::Tls => 1015,
            CloseCode::Iana(number) | CloseCode::Library(number) | CloseCode::Other(number) => number,
        }
    }

    /// Whether a Close frame may carry this code (§7.4.2). The number decides:
    /// `CloseCode::Library(1_005)` is not allowed.
    pub const fn is_allowed(self) -> bool {
        matches!(self.number(), 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> CloseCode {
        match number {
            1000 => CloseCode::Normal,
            1001 => CloseCode::Away,
            1002 => CloseCode::Protocol,
            1003 => CloseCode::Unsupported,
            1005 => CloseCode::Status,
            1006 => CloseCode::Abnormal,
            1007 => CloseCode::Invalid,
            1008 => CloseCode::Policy,
            1009 => CloseCode::Size,
            1010 => CloseCode::Extension,
            1011 => CloseCode::Error,
            1012 => CloseCode::Restart,
            1013 => CloseCode::Again,
            1014 => CloseCode::BadGateway,
            1015 => CloseCode::Tls,
            3000..=3999 => CloseCode::Iana(number),
            4000..=4999 => CloseCode::Library(number),
            _ => CloseCode::Other(number),
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.number()
    }
}

/// Writes the number.
impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_variant() {
        // Miri takes minutes for all of them.
        for number in (0..=u16::MAX).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let code = CloseCode::from(number);
            assert_eq!((code.number(), code.to_string()), (number, number.to_string()));
        }
        assert_eq!(CloseCode::from(1014), CloseCode::BadGateway);
        assert_eq!(CloseCode::from(1004), CloseCode::Other(1004));
    }

    #[test]
    fn the_number_decides_what_travels_not_the_variant() {
        for number in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            for code in [CloseCode::Library(number), CloseCode::Iana(number), CloseCode::Other(number)] {
                assert!(!code.is_allowed(), "{code:?}");
            }
        }
        assert!(CloseCode::Library(1000).is_allowed());
    }
}
