//! The credentials with which the broker authenticates at identity providers. They are sealed at rest, each under the
//! name of its place, so that the secret of one row does not open in another.

use crate::crypto::CryptoError;
use crate::crypto::certificate::Certificate;
use crate::crypto::keys::SigningKey;
use crate::crypto::seal::Purpose;
use crate::flows::core::Core;
use crate::model::{ConnectionId, Secret, SigningAlg};
use crate::store::organization::connections::SealedCredential;
use crate::upstream::Credential;

/// A part of a connection's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialPart {
    /// The client secret.
    Secret,
    /// The client secret that replaces it.
    NextSecret,
    /// The private key (PKCS #8).
    Key,
}

impl CredentialPart {
    fn context(self, connection: ConnectionId) -> String {
        let column = match self {
            Self::Secret => "client_secret",
            Self::NextSecret => "next_client_secret",
            Self::Key => "key",
        };
        format!("connections.{column}:{connection}")
    }
}

/// A credential that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection's credential does not open: is the master key the one of this database?")]
pub struct CredentialSealed;

impl Core {
    /// Seals a part of a connection's credential.
    pub(in crate::flows) fn seal_credential(
        &self,
        connection: ConnectionId,
        part: CredentialPart,
        plaintext: &[u8],
    ) -> Result<String, CryptoError> {
        self.sealer.seal_text(Purpose::Credential, &part.context(connection), plaintext)
    }

    /// Opens a part of a connection's credential that is a text.
    pub(in crate::flows) fn open_secret(
        &self,
        connection: ConnectionId,
        part: CredentialPart,
        sealed: &str,
    ) -> Result<Secret, CredentialSealed> {
        let plain = self
            .sealer
            .open_text(Purpose::Credential, &part.context(connection), sealed)
            .map_err(|_| CredentialSealed)?;
        Ok(Secret::new(std::str::from_utf8(&plain).map_err(|_| CredentialSealed)?))
    }

    /// Opens a connection's private key.
    pub(in crate::flows) fn open_connection_key(
        &self,
        connection: ConnectionId,
        sealed: &str,
    ) -> Result<SigningKey, CredentialSealed> {
        let context = CredentialPart::Key.context(connection);
        let pkcs8 =
            self.sealer.open_text(Purpose::Credential, &context, sealed).map_err(|_| CredentialSealed)?;
        SigningKey::from_pkcs8(SigningAlg::RS256, connection.to_string(), &pkcs8)
            .map_err(|_| CredentialSealed)
    }

    /// Opens a connection's whole credential, for a call to its provider.
    pub(in crate::flows) fn open_credential(
        &self,
        connection: ConnectionId,
        sealed: &SealedCredential,
    ) -> Result<Credential, CredentialSealed> {
        if let Some(key) = &sealed.key {
            let certificate = sealed.certificate.as_deref().map(Certificate::from_pem).transpose();
            return Ok(Credential::Key {
                key: Box::new(self.open_connection_key(connection, key)?),
                certificate: certificate.map_err(|_| CredentialSealed)?,
            });
        }
        let open = |part, sealed: &Option<String>| {
            sealed.as_deref().map(|sealed| self.open_secret(connection, part, sealed)).transpose()
        };
        let current = open(CredentialPart::Secret, &sealed.secret)?;
        let next = open(CredentialPart::NextSecret, &sealed.next_secret)?;
        Ok(match (current, next) {
            (Some(current), next) => Credential::Secrets { current, next },
            (None, Some(only)) => Credential::Secrets { current: only, next: None },
            (None, None) => Credential::None,
        })
    }
}
