//! The broker's metadata (`OpenID` Connect Discovery, section 3; RFC 8414; RFC 9207) and its public keys.

use serde_json::{Value, json};

use crate::flows::keys::SigningError;
use crate::flows::provider::Metadata;
use crate::model::{AppAuthMethod, GrantType, Prompt};
use crate::policy::provider::request::SCOPES;
use crate::protocol::jose::JwkSet;

/// The claims that apps can get.
const CLAIMS: [&str; 21] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "connection",
    "email",
    "email_verified",
    "exp",
    "family_name",
    "given_name",
    "iat",
    "iss",
    "name",
    "nonce",
    "org_id",
    "phone_number",
    "preferred_username",
    "sid",
    "sub",
    "updated_at",
];

impl Metadata {
    /// The metadata document, the same under both well-known names.
    pub fn metadata(&self) -> Result<Value, SigningError> {
        let ring = self.keys.signing_keys()?;
        let mut algorithms: Vec<_> = ring.algs().collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        Ok(json!({
            "issuer": self.core.issuer(),
            "authorization_endpoint": self.core.url("/oauth2/authorize"),
            "token_endpoint": self.core.url("/oauth2/token"),
            "userinfo_endpoint": self.core.url("/oauth2/userinfo"),
            "jwks_uri": self.core.url("/oauth2/jwks"),
            "introspection_endpoint": self.core.url("/oauth2/introspect"),
            "revocation_endpoint": self.core.url("/oauth2/revoke"),
            "end_session_endpoint": self.core.url("/oauth2/logout"),
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GrantType::WORDS,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
            "token_endpoint_auth_methods_supported": AppAuthMethod::WORDS,
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported": AppAuthMethod::WORDS,
            "claims_supported": CLAIMS,
            "claim_types_supported": ["normal"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": Prompt::WORDS,
            "ui_locales_supported": ["en", "de"],
            "authorization_response_iss_parameter_supported": true,
            "claims_parameter_supported": false,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "require_request_uri_registration": false,
        }))
    }

    /// The public keys that apps validate tokens with.
    pub fn public_keys(&self) -> Result<JwkSet, SigningError> {
        let ring = self.keys.signing_keys()?;
        Ok(ring.public_jwks())
    }
}
