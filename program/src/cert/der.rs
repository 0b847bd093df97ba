//! Reads what a certificate says of its owner, and when it is valid.

use super::dates::Validity;
use std::str::from_utf8;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Tags of DER (X.690), and the content of the identifier of a common name (2.5.4.3).
const INTEGER: u8 = 0x02;
const IDENTIFIER: u8 = 0x06;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];

/// What a certificate says of its owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    /// The common name, which is the whole name.
    pub(super) name: &'a str,
    pub(super) expires: OffsetDateTime,
}

/// Reads a certificate (RFC 5280). Returns `None` if it is none, or if its owner has more than a
/// common name.
pub(super) fn facts(der: &[u8]) -> Option<Facts<'_>> {
    let (Validity { until: expires, .. }, mut fields) = validity(der)?;
    let mut names = take(&mut fields, SEQUENCE)?;
    let mut first = take(&mut names, SET)?;
    let mut pair = take(&mut first, SEQUENCE)?;
    let is_common = take(&mut pair, IDENTIFIER)? == COMMON_NAME;
    let name = from_utf8(take(&mut pair, UTF8)?).ok()?;
    let is_all = names.is_empty() && first.is_empty() && pair.is_empty();
    (is_common && is_all).then_some(Facts { name, expires })
}

/// Reads a certificate up to its validity. Returns that, and what follows.
pub(super) fn validity(der: &[u8]) -> Option<(Validity, &[u8])> {
    let mut certificate = take(&mut &der[..], SEQUENCE)?;
    let mut fields = take(&mut certificate, SEQUENCE)?;
    for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        take(&mut fields, tag)?;
    }
    let mut validity = take(&mut fields, SEQUENCE)?;
    let mut next = || {
        let (tag, text) = element(&mut validity)?;
        time(tag, from_utf8(text).ok()?)
    };
    Some((Validity { from: next()?, until: next()? }, fields))
}

/// Takes the next element, which must have this tag, and returns its content.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(input).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Takes the next element, and returns its tag and its content.
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // The length follows in one or two bytes.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((*tag, content))
}

/// Reads a time like `361126030000Z`, or with a year of four digits.
fn time(tag: u8, text: &str) -> Option<OffsetDateTime> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            (digits[..2].parse().map(|year: i32| 2000 + year - year / 50 * 100), &digits[2..])
        }
        TIME if digits.len() == 14 => (digits[..4].parse(), &digits[4..]),
        _ => return None,
    };
    let at = |at: usize| rest[at..at + 2].parse::<u8>().ok();
    let date = Date::from_calendar_date(year.ok()?, Month::try_from(at(0)?).ok()?, at(2)?).ok()?;
    let time = Time::from_hms(at(4)?, at(6)?, at(8)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_years_of_two_or_four_digits() {
        let year = |tag, text| time(tag, text).map(OffsetDateTime::year);
        assert_eq!(year(UTC_TIME, "361126030000Z"), Some(2036));
        assert_eq!(year(UTC_TIME, "491231235959Z"), Some(2049));
        assert_eq!(year(UTC_TIME, "500101000000Z"), Some(1950));
        assert_eq!(year(TIME, "20610228000000Z"), Some(2061));
        for text in ["", "Z", "361126030000", "3611260300Z", "361326030000Z", "360230030000Z", "+61126030000Z"] {
            assert_eq!(time(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(time(TIME, "361126030000Z"), None);
        assert_eq!(time(INTEGER, "361126030000Z"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "the name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let der = certificate.der().to_vec();
        assert_eq!(facts(&der).map(|facts| (facts.name, facts.expires.year())), Some(("the name", 4096)));
        for end in 0..der.len() {
            assert_eq!(facts(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            for byte in [0, 1, 0x30, 0x7f, 0x80, 0x82, 0xff] {
                let mut der = der.clone();
                der[at] = byte;
                // Any outcome will do.
                let _ = facts(&der);
            }
        }
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "more");
        assert_eq!(facts(params.self_signed(&key).expect("a certificate").der()), None);
    }
}
