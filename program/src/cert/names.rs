//! The names of a certificate.

use std::fmt;
use std::net::IpAddr;

/// The longest DNS name and the longest label, in bytes (RFC 1035).
const LONGEST: (usize, usize) = (253, 63);

/// The longest common name, in characters (RFC 5280, `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;

/// Whom a server's certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Address(IpAddr),
    /// A host in lower case, perhaps with `*` as its first label.
    Host(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Address(address) => address.fmt(f),
            Name::Host(host) => host.fmt(f),
        }
    }
}

/// Reads a name that clients look for in a server's certificate.
pub(super) fn name(text: &str) -> Result<Name, String> {
    if let Ok(address) = text.parse() {
        return Ok(Name::Address(address));
    }
    if !text.is_ascii() {
        return Err("write it as it is in the DNS, in Punycode, like xn--mnchen-3ya.example".to_owned());
    }
    let wrong = || {
        "a name has no scheme, no port, no path and no spaces; write one like app.example, *.app.example or 192.0.2.1"
            .to_owned()
    };
    let host = text.strip_prefix("*.").unwrap_or(text);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        let is_short = (1..=LONGEST.1).contains(&label.len());
        is_short && label.bytes().all(is_letter) && !label.starts_with('-') && !label.ends_with('-')
    };
    // What ends with a number is meant as an address.
    let is_number = host.rsplit('.').next().is_none_or(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if text.len() > LONGEST.0 || is_number || !host.split('.').all(is_label) {
        return Err(wrong());
    }
    if host != text && !host.contains('.') {
        return Err(format!("browsers refuse a * before a single label; write one like *.app.{host}"));
    }
    Ok(Name::Host(text.to_ascii_lowercase()))
}

/// Reads the name of a client, which is the common name of its certificate.
pub(super) fn client(text: &str) -> Result<String, String> {
    let count = text.chars().count();
    if !(1..=LONGEST_COMMON_NAME).contains(&count) || text.trim() != text || text.chars().any(char::is_control) {
        return Err(format!(
            "a client has a name of at most {LONGEST_COMMON_NAME} characters, without control characters and without spaces at its ends"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_or_an_address() {
        for (text, shown) in [
            ("localhost", "localhost"),
            ("App.Example", "app.example"),
            ("*.app.example", "*.app.example"),
            ("my_host-1.example", "my_host-1.example"),
            ("3com.example", "3com.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::0:1", "2001:db8::1"),
        ] {
            assert_eq!(name(text).map(|name| name.to_string()), Ok(shown.to_owned()), "{text}");
        }
        assert!(matches!(name("::1"), Ok(Name::Address(_))));
    }

    #[test]
    fn what_no_client_looks_for_is_refused() {
        let long = [&"a".repeat(64), &format!("{}example", "abc.".repeat(62))[..]].map(str::to_owned);
        let bad =
            ["", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a:1", "[::1]", "https://a", "a/b", "*", "a.*", "*a.b"];
        let bad = bad.into_iter().chain(["1.2.3", "256.1.1.1", "7", "*.1.2.3.4", "*.*.a.b", "fe80::1%eth0", "a\0b"]);
        for text in bad.chain(long.iter().map(|text| &**text)) {
            assert!(name(text).is_err_and(|error| error.contains("no spaces; write one like app.example")), "{text:?}");
        }
        assert!(name("münchen.example").is_err_and(|error| error.contains("Punycode")));
        assert!(name("*.localhost").is_err_and(|error| error.contains("*.app.localhost")));
    }

    #[test]
    fn a_client_has_a_name_of_one_line() {
        for text in ["anna", "Anna Müller", "sensor-7.example", &"ü".repeat(64)] {
            assert_eq!(client(text), Ok(text.to_owned()));
        }
        for text in ["", " ", " anna", "anna\n", "a\u{1b}[2J", &"a".repeat(65)] {
            assert!(client(text).is_err(), "{text:?}");
        }
    }
}
