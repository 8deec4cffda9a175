//! The self-signed certificate of a connection's key.
//!
//! Entra ID and ADFS accept a `private_key_jwt` key as an uploaded certificate, and find it by the thumbprint in the
//! header (RFC 7515, sections 4.1.7 and 4.1.8). They do not verify the chain of this certificate.

use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData,
    SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::CryptoError;
use super::keys::SigningKey;
use crate::model::{Random, Timestamp};
use crate::protocol::base64url;
use crate::protocol::jose::SigningAlg;

/// How long before its creation a certificate is valid, for readers whose clocks are behind.
const ONE_DAY: Duration = Duration::from_hours(24);

/// A certificate, as it is stored and displayed (PEM), with its thumbprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: Vec<u8>,
}

impl Certificate {
    /// A certificate for `key`, which must be an RS256 key, valid from the day before `now` to the day of `until`.
    pub fn self_signed(
        key: &SigningKey,
        common_name: &str,
        now: Timestamp,
        until: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, CryptoError> {
        if key.alg() != SigningAlg::RS256 {
            return Err(CryptoError::PrivateKey);
        }
        let mut serial = [0u8; 16];
        random.fill(&mut serial);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (year, month, date) = day(now.before(ONE_DAY))?;
        params.not_before = date_time_ymd(year, month, date);
        let (year, month, date) = day(until)?;
        params.not_after = date_time_ymd(year, month, date);
        let certificate = params.self_signed(&Signer(key)).map_err(|_| CryptoError::Certificate)?;
        Ok(Self { pem: certificate.pem(), der: certificate.der().to_vec() })
    }

    /// Reads the text that [`Certificate::to_pem`] returns.
    pub fn from_pem(pem: &str) -> Result<Self, CryptoError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CryptoError::Certificate)?;
        Ok(Self { pem: pem.to_owned(), der: der.to_vec() })
    }

    /// The certificate as PEM (RFC 7468), for the administrator to upload.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// The header member `x5t#S256`: the SHA-256 of the DER form as base64url.
    pub fn x5t_s256(&self) -> String {
        base64url::encode(digest::digest(&digest::SHA256, &self.der))
    }

    /// The header member `x5t`: the SHA-1 of the DER form as base64url. It names the key and protects
    /// nothing.
    pub fn x5t(&self) -> String {
        base64url::encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der))
    }
}

/// Lets `rcgen` sign with a key without handing the key over.
struct Signer<'a>(&'a SigningKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// The day of `time` in the form that `rcgen` needs, for years from 1970 to 9999 (RFC 5280, section 4.1.2.5).
fn day(time: Timestamp) -> Result<(i32, u8, u8), CryptoError> {
    let time = jiff::Timestamp::from_microsecond(time.unix_micros()).map_err(|_| CryptoError::Date)?;
    let date = jiff::tz::Offset::UTC.to_datetime(time).date();
    match (u8::try_from(date.month()), u8::try_from(date.day())) {
        (Ok(month), Ok(day)) if date.year() >= 1970 => Ok((date.year().into(), month, day)),
        _ => Err(CryptoError::Date),
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::UnixTime;
    use webpki::{EndEntityCert, KeyUsage};

    use super::*;
    use crate::model::value::random::CountingRandom;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
    const YEAR: Duration = Duration::from_hours(24 * 365);

    fn make(key: &SigningKey) -> Certificate {
        Certificate::self_signed(key, "Countersign con_1", NOW, NOW.after(YEAR), &CountingRandom::default())
            .unwrap()
    }

    fn rsa() -> SigningKey {
        SigningKey::generate(SigningAlg::RS256, "a".to_owned()).unwrap()
    }

    #[test]
    fn the_certificate_carries_the_key_that_signs_the_assertions() {
        let key = rsa();
        let certificate = make(&key);
        let der = CertificateDer::from(certificate.der.as_slice());
        let parsed = EndEntityCert::try_from(&der).unwrap();
        let signature = key.sign(b"assertion").unwrap();
        let rs256 = webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
        assert!(parsed.verify_signature(rs256, b"assertion", &signature).is_ok());
        assert!(parsed.verify_signature(rs256, b"another", &signature).is_err());
    }

    #[test]
    fn the_certificate_is_signed_by_itself_and_valid_from_yesterday_until_its_end() {
        let certificate = make(&rsa());
        let der = CertificateDer::from(certificate.der.as_slice());
        let anchor = [webpki::anchor_from_trusted_cert(&der).unwrap()];
        let parsed = EndEntityCert::try_from(&der).unwrap();
        let valid = |time: Timestamp| {
            let algs = default_provider().signature_verification_algorithms.all;
            let time = UnixTime::since_unix_epoch(Duration::from_millis(time.unix_millis()));
            parsed.verify_for_usage(algs, &anchor, &[], time, KeyUsage::client_auth(), None, None).is_ok()
        };
        assert!(valid(NOW) && valid(NOW.before(ONE_DAY)) && valid(NOW.after(YEAR).before(ONE_DAY)));
        assert!(!valid(NOW.before(ONE_DAY * 2)) && !valid(NOW.after(YEAR + ONE_DAY)));
    }

    #[test]
    fn a_certificate_is_the_same_after_its_pem_form() {
        let certificate = make(&rsa());
        assert_eq!(Certificate::from_pem(certificate.to_pem()), Ok(certificate));
    }

    #[test]
    fn the_thumbprints_are_those_that_openssl_prints() {
        let certificate = Certificate::from_pem(
            "-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIUO6I9MWF/TLjgWBuG201KgAbIhuswCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMjMxMjIzMTBaFw0yNjEyMjMxMjIzMTBa
MA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATLPMSf
RHTTAyzdivSgP2ahrJR6Lp/2iyFdP1TLgrW8zWzfvMucK+RDP4o0l7xiAwAjjPIt
eT83a2lpS5Akb/pko1MwUTAdBgNVHQ4EFgQU84Lq0EpjJcW7Np/ss1bEthOQBuow
HwYDVR0jBBgwFoAU84Lq0EpjJcW7Np/ss1bEthOQBuowDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNHADBEAiAt5inJp9MsxIuQsAXvVaoqaLIqNm+yQbteBsvB
rRoNwgIgDynMIvPPoS4GwsgTNqByFHavCsReQqQsnriZlVfU8rg=
-----END CERTIFICATE-----
",
        )
        .unwrap();
        assert_eq!(certificate.x5t_s256(), "cCQlm3fw_EFDF40WeND1xYOaBro0LHB3_Mz17p3GscA");
        assert_eq!(certificate.x5t(), "RJXowPaVQ6_7_u4COATibKlLsw0");
    }

    #[test]
    fn what_cannot_be_certified_is_refused() {
        let es256 = SigningKey::generate(SigningAlg::ES256, "a".to_owned()).unwrap();
        let random = CountingRandom::default();
        let refused =
            |key: &SigningKey, now, until| Certificate::self_signed(key, "a", now, until, &random).err();
        assert_eq!(refused(&es256, NOW, NOW), Some(CryptoError::PrivateKey));
        assert_eq!(refused(&rsa(), Timestamp::from_unix_seconds(0), NOW), Some(CryptoError::Date));
        assert_eq!(refused(&rsa(), NOW, Timestamp::from_unix_micros(i64::MAX)), Some(CryptoError::Date));
        assert_eq!(Certificate::from_pem("no certificate"), Err(CryptoError::Certificate));
    }
}
