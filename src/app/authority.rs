//! A certificate authority for trying out the broker: made once, and its private key is never written.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::crypto::private_file;

/// The certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file cannot be written.
    #[error("the certificate cannot be written: {0}")]
    File(#[from] io::Error),
}

impl Authority {
    /// A new authority. Users see its name where they trust it.
    pub(super) fn new(name: &str) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes `default.crt` and `default.key` for one host into `folder`.
    pub(super) fn issue(&self, folder: &Path, host: &str) -> Result<(), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.issuer)?;
        private_file::make_folder(folder)?;
        fs::write(folder.join("default.crt"), certificate.pem())?;
        private_file::write(&folder.join("default.key"), key.serialize_pem().as_bytes())?;
        Ok(())
    }
}
