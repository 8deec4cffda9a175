//! How the broker authenticates at an identity provider's token endpoint (RFC 6749, section 2.3; RFC 7523, section
//! 2.2; `OpenID` Connect Core, section 9). Each request uses exactly one method.

use std::time::Duration;

use serde_json::{Map, json};

use super::discovery::Metadata;
use crate::crypto::certificate::Certificate;
use crate::crypto::keys::SigningKey;
use crate::model::{AssertionAudience, Connection, Random, Secret, TENANT, Timestamp, UpstreamAuth};
use crate::protocol::base64url;

/// How long a client assertion is valid.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);

/// The broker's means of authentication.
#[derive(Debug)]
pub enum Credential {
    /// Nothing: a public client.
    None,
    /// A client secret, and the one that will replace it while both are valid.
    Secrets {
        /// The secret that is used first.
        current: Secret,
        /// The secret that is tried if the first is refused.
        next: Option<Secret>,
    },
    /// A private key.
    Key {
        /// The key.
        key: Box<SigningKey>,
        /// Its certificate, for identity providers that find the key by its thumbprint.
        certificate: Option<Certificate>,
    },
}

/// Why a credential cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The connection's method needs another kind of credential.
    #[error("the connection has no credential for its authentication method")]
    Missing,
    /// The identity provider offers no method that fits the credential.
    #[error("the identity provider offers no authentication method that fits the credential")]
    NoMethod,
    /// The key could not sign.
    #[error("the client assertion could not be signed")]
    Signing,
}

impl CredentialError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::NoMethod => "credential_no_method",
            Self::Signing => "credential_signing",
        }
    }
}

/// The proof that goes into one request.
#[derive(Debug)]
pub(in crate::upstream) enum Proof {
    /// The client id alone.
    Public,
    /// HTTP Basic.
    Basic(Secret),
    /// In the body of the form.
    Post(Secret),
    /// A signed assertion.
    Assertion(Secret),
}

impl Credential {
    /// The proofs to try, in this order: two while a secret is being replaced, otherwise one.
    pub(in crate::upstream) fn proofs(
        &self,
        connection: &Connection,
        metadata: &Metadata,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Vec<Proof>, CredentialError> {
        let method = match connection.settings.auth {
            Some(method) => Some(method),
            None => self.offered(metadata)?,
        };
        match (method, self) {
            (None, _) => Ok(vec![Proof::Public]),
            (Some(UpstreamAuth::ClientSecretBasic), Self::Secrets { current, next }) => {
                Ok(secrets(current, next.as_ref()).map(Proof::Basic).collect())
            }
            (Some(UpstreamAuth::ClientSecretPost), Self::Secrets { current, next }) => {
                Ok(secrets(current, next.as_ref()).map(Proof::Post).collect())
            }
            (Some(UpstreamAuth::PrivateKeyJwt), Self::Key { key, certificate }) => {
                let assertion = assertion(key, certificate.as_ref(), connection, metadata, now, random)?;
                Ok(vec![Proof::Assertion(assertion)])
            }
            _ => Err(CredentialError::Missing),
        }
    }

    /// The first method that the metadata offers and that fits this credential; `None` for a public client.
    fn offered(&self, metadata: &Metadata) -> Result<Option<UpstreamAuth>, CredentialError> {
        let fits = |method: &UpstreamAuth| match self {
            Self::None => false,
            Self::Secrets { .. } => *method != UpstreamAuth::PrivateKeyJwt,
            Self::Key { .. } => *method == UpstreamAuth::PrivateKeyJwt,
        };
        if matches!(self, Self::None) {
            return Ok(None);
        }
        let mut offered = metadata.auth_methods.iter().filter_map(|name| name.parse().ok());
        offered.find(fits).map(Some).ok_or(CredentialError::NoMethod)
    }
}

fn secrets(current: &Secret, next: Option<&Secret>) -> impl Iterator<Item = Secret> {
    std::iter::once(current.clone()).chain(next.cloned())
}

/// A client assertion. Its `aud` is a single text: the issuer, or the token endpoint if the connection says so. It
/// never comes from the identity provider's metadata, so that another identity provider cannot accept the assertion.
fn assertion(
    key: &SigningKey,
    certificate: Option<&Certificate>,
    connection: &Connection,
    metadata: &Metadata,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Secret, CredentialError> {
    let to_issuer = connection.settings.assertion_audience == AssertionAudience::Issuer
        && !connection.issuer.contains(TENANT);
    let audience = if to_issuer { connection.issuer.as_str() } else { metadata.token_endpoint.as_str() };
    let mut jti = [0; 16];
    random.fill(&mut jti);
    let claims = json!({
        "iss": connection.client_id,
        "sub": connection.client_id,
        "aud": audience,
        "jti": base64url::encode(jti),
        "iat": now.unix_seconds(),
        "nbf": now.unix_seconds(),
        "exp": now.after(ASSERTION_LIFETIME).unix_seconds(),
    });
    let header = certificate.map(|certificate| {
        let mut header = Map::new();
        header.insert("x5t#S256".to_owned(), certificate.x5t_s256().into());
        header.insert("x5t".to_owned(), certificate.x5t().into());
        header
    });
    key.sign_jwt("JWT", header.as_ref(), &claims).map(Secret::new).map_err(|_| CredentialError::Signing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::jws;
    use crate::model::SigningAlg;
    use crate::model::value::random::CountingRandom;
    use crate::protocol::jose::CompactJws;
    use crate::upstream::testing::{connection, metadata, now};

    fn secrets() -> Credential {
        Credential::Secrets { current: Secret::new("one"), next: Some(Secret::new("two")) }
    }

    fn key() -> Credential {
        let key = SigningKey::generate(SigningAlg::RS256, "k1".to_owned()).unwrap();
        let random = CountingRandom::default();
        let until = now().after(Duration::from_hours(24));
        let certificate = Certificate::self_signed(&key, "broker", now(), until, &random).unwrap();
        Credential::Key { key: Box::new(key), certificate: Some(certificate) }
    }

    fn proofs(
        credential: &Credential,
        auth: Option<UpstreamAuth>,
        offered: &[&str],
    ) -> Result<Vec<Proof>, CredentialError> {
        let mut connection = connection("https://idp.test");
        connection.settings.auth = auth;
        let mut metadata = metadata("https://idp.test");
        metadata.auth_methods = offered.iter().map(|name| (*name).to_owned()).collect();
        credential.proofs(&connection, &metadata, now(), &CountingRandom::default())
    }

    #[test]
    fn the_first_offered_method_that_fits_is_used() {
        let offered = ["tls_client_auth", "private_key_jwt", "client_secret_post", "client_secret_basic"];
        assert!(matches!(proofs(&secrets(), None, &offered).unwrap()[..], [Proof::Post(_), Proof::Post(_)]));
        assert!(matches!(proofs(&key(), None, &offered).unwrap()[..], [Proof::Assertion(_)]));
        assert!(matches!(proofs(&Credential::None, None, &offered).unwrap()[..], [Proof::Public]));
        let none = proofs(&secrets(), None, &["private_key_jwt", "none"]);
        assert_eq!(none.err(), Some(CredentialError::NoMethod));
        assert_eq!(proofs(&key(), None, &["client_secret_basic"]).err(), Some(CredentialError::NoMethod));
    }

    #[test]
    fn the_connections_own_method_wins_and_needs_its_credential() {
        let basic = Some(UpstreamAuth::ClientSecretBasic);
        let proofs_of = |credential: &Credential, auth| proofs(credential, auth, &["client_secret_post"]);
        assert!(matches!(proofs_of(&secrets(), basic).unwrap()[..], [Proof::Basic(_), Proof::Basic(_)]));
        assert_eq!(proofs_of(&key(), basic).err(), Some(CredentialError::Missing));
        assert_eq!(proofs_of(&Credential::None, basic).err(), Some(CredentialError::Missing));
        let key_auth = Some(UpstreamAuth::PrivateKeyJwt);
        assert_eq!(proofs_of(&secrets(), key_auth).err(), Some(CredentialError::Missing));
    }

    #[test]
    fn an_assertion_names_one_audience_and_its_certificate() {
        let credential = key();
        let Credential::Key { key, certificate } = &credential else { panic!() };
        let mut connection = connection("https://idp.test");
        let metadata = metadata("https://idp.test");
        let cases = [
            ("https://idp.test", AssertionAudience::Issuer, "https://idp.test"),
            ("https://idp.test", AssertionAudience::TokenEndpoint, "https://idp.test/token"),
            ("https://idp.test/{tenantid}", AssertionAudience::Issuer, "https://idp.test/token"),
        ];
        for (issuer, setting, audience) in cases {
            issuer.clone_into(&mut connection.issuer);
            connection.settings.assertion_audience = setting;
            let random = CountingRandom::default();
            let token = assertion(key, certificate.as_ref(), &connection, &metadata, now(), &random).unwrap();
            let jws = CompactJws::parse(token.expose(), 4_096).unwrap();
            jws::verify(&jws, SigningAlg::RS256, key.public_jwk()).unwrap();
            let claims = jws.claims().unwrap();
            assert_eq!(claims["aud"], audience);
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("countersign"), &json!("countersign")));
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
            assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
            let header = token.expose().split('.').next().unwrap();
            let header: serde_json::Value =
                serde_json::from_slice(&base64url::decode(header).unwrap()).unwrap();
            assert_eq!(header["x5t#S256"], certificate.as_ref().unwrap().x5t_s256());
            assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("k1")));
        }
    }
}
