//! The CA: a key and a certificate of its own, which clients are told to trust.

use super::der::facts;
use super::names::{Name, name};
use crate::terminal::Failure;
use pem::{EncodeConfig, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use time::{Duration, OffsetDateTime};

/// How the name of each CA begins. The rest tells one from another.
const NAME: &str = "Lariat development CA ";

/// Clocks of clients may be slow, so that certificates begin before they are made.
const BACKDATED: Duration = Duration::DAY;
const LIFE_OF_CA: Duration = Duration::days(3_650);
/// 397 days, as the first second and the last one count. Browsers refuse more than 398.
const LIFE: Duration = Duration::seconds(397 * 86_400 - 1);

/// A CA that can sign.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) name: String,
    pub(super) expires: OffsetDateTime,
    /// Its certificate, as PEM.
    pub(super) certificate: String,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Server(&'a [Name]),
    Client(&'a str),
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Issued {
    /// The certificate and that of the CA, as PEM.
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) expires: OffsetDateTime,
}

impl Authority {
    /// Makes a CA, and returns its key, as PEM.
    pub(super) fn create(now: OffsetDateTime) -> Result<(Authority, String), Failure> {
        let name = format!("{NAME}{:08x}", rand::random::<u32>());
        let (params, key) = (parameters(&name), KeyPair::generate().map_err(failed)?);
        let mut own = params.clone();
        (own.not_before, own.not_after) = (now - BACKDATED, now + LIFE_OF_CA);
        let certificate = own.self_signed(&key).map_err(failed)?.pem();
        let secret = key.serialize_pem();
        Ok((Authority { issuer: Issuer::new(params, key), name, expires: own.not_after, certificate }, secret))
    }

    /// Reads a CA that `create` has made. An error says what is wrong with it.
    pub(super) fn read(certificate: &str, key: &str, now: OffsetDateTime) -> Result<Authority, String> {
        let certificate = pem::parse(certificate).map_err(|error| format!("its certificate is not PEM: {error}"))?;
        let key = KeyPair::from_pem(key).map_err(|error| format!("its key cannot be used: {error}"))?;
        let facts = facts(certificate.contents()).filter(|facts| facts.name.starts_with(NAME));
        let facts = facts.ok_or("lariat has not made it")?;
        let public = key.der_bytes();
        if !certificate.contents().windows(public.len()).any(|part| part == public) {
            return Err("its certificate has another key".to_owned());
        }
        if facts.expires <= now {
            return Err(format!("it expired on {}", facts.expires.date()));
        }
        let (name, expires) = (facts.name.to_owned(), facts.expires);
        let certificate = pem::encode_config(&certificate, EncodeConfig::new().set_line_ending(LineEnding::LF));
        Ok(Authority { issuer: Issuer::new(parameters(&name), key), name, expires, certificate })
    }

    /// Signs a new certificate, which does not outlive the CA.
    pub(super) fn issue(&self, subject: Subject<'_>, now: OffsetDateTime) -> Result<Issued, Failure> {
        let mut params = CertificateParams::default();
        let (common_name, usage, names) = match subject {
            // Clients look at the other names only, and a common name may be shorter than a host.
            Subject::Server(names) => {
                ("Lariat development certificate", ExtendedKeyUsagePurpose::ServerAuth, names.to_vec())
            }
            Subject::Client(client) => {
                (client, ExtendedKeyUsagePurpose::ClientAuth, name(client).into_iter().collect())
            }
        };
        let names = names.into_iter().map(|name| match name {
            Name::Address(address) => Ok(SanType::IpAddress(address)),
            Name::Host(host) => host.try_into().map(SanType::DnsName),
        });
        params.subject_alt_names = names.collect::<Result<_, _>>().map_err(failed)?;
        params.distinguished_name = common(common_name);
        params.not_before = now - BACKDATED;
        params.not_after = (params.not_before + LIFE).min(self.expires);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let chain = certificate.pem() + &self.certificate;
        Ok(Issued { chain, key: key.serialize_pem(), expires: params.not_after })
    }
}

/// What a CA of this name says of itself, without dates.
fn parameters(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn failed(error: rcgen::Error) -> Failure {
    Failure(format!("cannot make a certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i32) -> OffsetDateTime {
        rcgen::date_time_ymd(year, 6, 1)
    }

    fn expires(chain: &str) -> OffsetDateTime {
        facts(pem::parse(chain).expect("PEM").contents()).expect("one name").expires
    }

    #[test]
    fn a_ca_that_is_read_again_is_the_same() {
        let (made, key) = Authority::create(at(2026)).expect("a CA");
        let read = Authority::read(&made.certificate, &key, at(2030)).expect("a CA");
        assert_eq!((&read.name, read.expires, &read.certificate), (&made.name, made.expires, &made.certificate));
        assert_eq!(read.expires, at(2026) + Duration::days(3_650));
        let (other, _) = Authority::create(at(2026)).expect("a CA");
        assert_ne!(made.name, other.name, "a store of certificates tells them apart");
    }

    #[test]
    fn a_certificate_is_short_lived_and_does_not_outlive_its_ca() {
        let (ca, _) = Authority::create(at(2026)).expect("a CA");
        let life = Duration::days(396) - Duration::SECOND;
        for (year, life) in [(2026, life), (2036, Duration::days(-3))] {
            let issued = ca.issue(Subject::Server(&[Name::Host("a.example".to_owned())]), at(year)).expect("one");
            assert_eq!(issued.expires, at(year) + life, "{year}");
            assert_eq!(expires(&issued.chain), issued.expires);
        }
    }

    #[test]
    fn a_ca_that_cannot_sign_is_refused() {
        let (ca, key) = Authority::create(at(2026)).expect("a CA");
        let (_, other_key) = Authority::create(at(2026)).expect("a CA");
        let foreign =
            CertificateParams::default().self_signed(&KeyPair::generate().expect("a key")).expect("one").pem();
        for (certificate, key, year, reason) in [
            (&*ca.certificate, &*other_key, 2026, "another key"),
            (&ca.certificate, &key, 2037, "expired on 2036-05-29"),
            (&ca.certificate, "", 2026, "key cannot be used"),
            (&ca.certificate, &ca.certificate, 2026, "key cannot be used"),
            ("nonsense", &key, 2026, "not PEM"),
            (&key, &key, 2026, "lariat has not made it"),
            (&foreign, &key, 2026, "lariat has not made it"),
        ] {
            let error = Authority::read(certificate, key, at(year)).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
