//! When a certificate is valid.

use super::der::validity;
use std::time::SystemTime;
use time::OffsetDateTime;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

impl Validity {
    /// Reads that of the first certificate of a PEM file. Returns `None` if there is none.
    pub(crate) fn of_file(file: &[u8]) -> Option<Validity> {
        let all = pem::parse_many(file).ok()?;
        let certificate = all.iter().find(|part| part.tag() == "CERTIFICATE")?;
        validity(certificate.contents()).map(|(validity, _)| validity)
    }

    /// Returns why clients refuse the certificate at this time, if they do.
    pub(crate) fn problem(self, now: OffsetDateTime) -> Option<String> {
        match self {
            Validity { until, .. } if until < now => Some(format!("it expired on {}", date(until))),
            Validity { from, .. } if from > now => Some(format!("it is not valid before {}", date(from))),
            Validity { .. } => None,
        }
    }
}

/// Shows a time to the minute.
pub(crate) fn date(time: OffsetDateTime) -> String {
    format!("{} {:02}:{:02} UTC", time.date(), time.hour(), time.minute())
}

/// Returns the time of the calendar, in whole seconds as certificates have it.
#[expect(clippy::disallowed_methods, reason = "certificates have dates")]
pub(crate) fn now() -> OffsetDateTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(i64::try_from(since.as_secs()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_a_first_and_a_last_second() {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let validity = Validity { from: at(1_000_000_000), until: at(2_000_000_000) };
        assert_eq!(validity.problem(at(1_000_000_000)), None);
        assert_eq!(validity.problem(at(2_000_000_000)), None);
        let expired = validity.problem(at(2_000_000_001));
        assert_eq!(expired.as_deref(), Some("it expired on 2033-05-18 03:33 UTC"));
        let early = validity.problem(at(999_999_999));
        assert_eq!(early.as_deref(), Some("it is not valid before 2001-09-09 01:46 UTC"));
    }
}
