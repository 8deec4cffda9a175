//! Signing tokens: access tokens (RFC 9068) and ID tokens (`OpenID` Connect Core, section 2). No function here is
//! called while a transaction is open.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::crypto::jws::half_hash;
use crate::crypto::keys::KeyRing;
use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::provider::Tokens;
use crate::flows::provider::token::TokenAnswer;
use crate::flows::refusal::{EndpointError, private_detail};
use crate::model::{SigningAlg, Timestamp};
use crate::policy::provider::access::within;
use crate::store::provider::grants::Grant;
use crate::store::provider::standing::GrantStanding;

/// The content of a grant's tokens, as read before the transaction that uses up the code or refresh token.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub client: &'a AppEntry,
    /// The scopes of the access token.
    pub scopes: &'a [String],
    pub nonce: Option<&'a str>,
    /// The grant, and the state that it depends on.
    pub standing: &'a GrantStanding,
}

/// The resources of a grant that the app may still ask for.
pub(super) fn allowed_resources(client: &AppEntry, grant: &Grant) -> Vec<String> {
    within(&grant.resources, &client.app.settings.resources)
}

impl Tokens {
    /// Makes sure that there are keys for the app's algorithms. A registration makes them; this is for a database that
    /// was changed by other means. Must not be called while a transaction is open, since it writes in one of its own.
    pub(super) async fn ensure_keys_of(&self, client: &AppEntry) -> Result<(), EndpointError> {
        let settings = &client.app.settings;
        let algorithms = [settings.access_token_alg, settings.id_token_alg];
        let ring = self.ring()?;
        if algorithms.iter().all(|alg| ring.signer(*alg).is_some()) {
            return Ok(());
        }
        let made = self.keys.ensure_signing_keys(&algorithms).await;
        made.map_err(|error| EndpointError::Unavailable(private_detail(&error)))
    }

    pub(in crate::flows) fn ring(&self) -> Result<KeyRing, EndpointError> {
        self.keys.signing_keys().map_err(|error| EndpointError::Unavailable(private_detail(&error)))
    }

    pub(super) fn sign_access_token(
        &self,
        ring: &KeyRing,
        basis: &Basis<'_>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, EndpointError> {
        let Basis { client, scopes, standing, .. } = *basis;
        let grant = &standing.grant;
        let mut claims = self.token_claims(basis, now, lifetime);
        claims.insert("aud".to_owned(), self.audience(&allowed_resources(client, grant)));
        claims.insert("client_id".to_owned(), client.app.client_id.as_str().into());
        claims.insert("jti".to_owned(), random::token(&*self.core.random).expose().into());
        claims.insert("scope".to_owned(), scopes.join(" ").into());
        claims.insert("grant_id".to_owned(), json!(grant.id));
        sign(ring, client.app.settings.access_token_alg, "at+jwt", &claims)
    }

    pub(super) fn sign_id_token(
        &self,
        ring: &KeyRing,
        basis: &Basis<'_>,
        now: Timestamp,
        access_token: &str,
    ) -> Result<String, EndpointError> {
        let settings = &basis.client.app.settings;
        let lifetime = settings.id_token_lifetime.unwrap_or(self.settings.id_token_lifetime);
        let mut claims = self.token_claims(basis, now, lifetime);
        claims.insert("aud".to_owned(), basis.client.app.client_id.as_str().into());
        claims.insert("at_hash".to_owned(), half_hash(settings.id_token_alg, access_token).into());
        if let Some(nonce) = basis.nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        sign(ring, settings.id_token_alg, "JWT", &claims)
    }

    /// The claims that both tokens have.
    fn token_claims(&self, basis: &Basis<'_>, now: Timestamp, lifetime: Duration) -> Map<String, Value> {
        let grant = &basis.standing.grant;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", self.core.issuer().into());
        put("sub", grant.subject.as_str().into());
        put("iat", now.unix_seconds().into());
        put("exp", now.after(lifetime).unix_seconds().into());
        put("auth_time", grant.proof.authenticated_at.unix_seconds().into());
        put("amr", json!(grant.proof.amr));
        put("sid", json!(grant.session));
        if let Some(acr) = &grant.proof.acr {
            put("acr", acr.as_str().into());
        }
        if let Some(organization) = basis.standing.standing.organization_id {
            put("org_id", json!(organization));
        }
        if let Some(connection) = grant.proof.connection {
            put("connection", json!(connection));
        }
        claims
    }

    fn audience(&self, resources: &[String]) -> Value {
        match resources {
            [] => self.core.issuer().into(),
            [only] => only.as_str().into(),
            several => json!(several),
        }
    }

    /// An access token for an app itself.
    pub(super) fn sign_for_client(
        &self,
        client: &AppEntry,
        scopes: &[String],
    ) -> Result<TokenAnswer, EndpointError> {
        let settings = &client.app.settings;
        let lifetime = settings.access_token_lifetime.unwrap_or(self.settings.access_token_lifetime);
        let now = self.core.clock.now();
        let ring = self.ring()?;
        let claims = json!({
            "iss": self.core.issuer(),
            "sub": client.app.client_id,
            "aud": self.core.issuer(),
            "client_id": client.app.client_id,
            "org_id": client.organization.id,
            "iat": now.unix_seconds(),
            "exp": now.after(lifetime).unix_seconds(),
            "jti": random::token(&*self.core.random).expose(),
            "scope": scopes.join(" "),
        });
        Ok(TokenAnswer {
            access_token: sign(&ring, settings.access_token_alg, "at+jwt", &claims)?,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            refresh_token: None,
            id_token: None,
            scope: scopes.join(" "),
        })
    }
}

fn sign(
    ring: &KeyRing,
    algorithm: SigningAlg,
    typ: &str,
    claims: &impl serde::Serialize,
) -> Result<String, EndpointError> {
    let signer = ring.signer(algorithm);
    let signer = signer.ok_or_else(|| EndpointError::Unavailable("there is no signing key".to_owned()))?;
    Ok(signer.sign_jwt(typ, None, claims)?)
}
