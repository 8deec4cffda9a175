//! The self-signed certificate around a connection's key.
//!
//! Entra ID and ADFS take a `private_key_jwt` key as an uploaded certificate and find it by the thumbprint in the
//! header (RFC 7515, sections 4.1.7 and 4.1.8). Nobody verifies this certificate's chain.

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

/// How long before its making a certificate is valid, for readers whose clocks are behind.
const ONE_DAY: Duration = Duration::from_hours(24);

/// A certificate, as it is stored and shown (PEM), and its thumbprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: Vec<u8>,
}

impl Certificate {
    /// A certificate for `key`, which must be for RS256, from the day before `now` to the day of `until`.
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

    /// Reads what [`Certificate::to_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, CryptoError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CryptoError::Certificate)?;
        Ok(Self { pem: pem.to_owned(), der: der.to_vec() })
    }

    /// The certificate as PEM (RFC 7468), for the administrator to upload.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// The certificate as DER.
    pub fn to_der(&self) -> &[u8] {
        &self.der
    }

    /// The header member `x5t#S256`: the SHA-256 of the DER form as base64url.
    pub fn x5t_s256(&self) -> String {
        base64url::encode(digest::digest(&digest::SHA256, &self.der))
    }

    /// The header member `x5t`: the SHA-1 of the DER form as base64url. It names the key and protects nothing.
    pub fn x5t(&self) -> String {
        base64url::encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der))
    }
}

/// Lets `rcgen` sign with a key that stays where it is.
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

/// The day of `time` as `rcgen` takes it; years from 1970 to 9999 (RFC 5280, section 4.1.2.5).
fn day(time: Timestamp) -> Result<(i32, u8, u8), CryptoError> {
    let time = jiff::Timestamp::from_microsecond(time.unix_micros()).map_err(|_| CryptoError::Date)?;
    let date = jiff::tz::Offset::UTC.to_datetime(time).date();
    match (u8::try_from(date.month()), u8::try_from(date.day())) {
        (Ok(month), Ok(day)) if date.year() >= 1970 => Ok((date.year().into(), month, day)),
        _ => Err(CryptoError::Date),
    }
}
