//! Making tokens: access tokens (RFC 9068), ID tokens (`OpenID` Connect Core, section 2), refresh tokens.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{TokenAnswer, invalid_grant, reveal};
use crate::crypto::jws::half_hash;
use crate::crypto::keys::KeyRing;
use crate::crypto::random;
use crate::flows::Broker;
use crate::flows::directory::AppEntry;
use crate::flows::error::{EndpointError, private_detail};
use crate::flows::evidence::Event;
use crate::model::{GrantType, OrganizationId, SigningAlg, Timestamp};
use crate::policy::access::{allows_password, may_use, within};
use crate::store::Tx;
use crate::store::grants::{self, Grant, RefreshToken};
use crate::store::standing::GrantStanding;

/// What to issue, in the transaction that used up the code or refresh token.
pub(super) struct Issue<'a> {
    pub client: &'a AppEntry,
    pub grant: &'a Grant,
    /// The scopes of the access token.
    pub scopes: &'a [String],
    pub nonce: Option<&'a str>,
    /// What the grant stands on, as this transaction reads it after it used up the code or token.
    pub standing: Option<GrantStanding>,
    pub event: Event,
}

/// Why nothing is issued: what a grant stands on is no longer there.
fn withdrawn(issue: &Issue<'_>) -> Option<&'static str> {
    let Issue { client, grant, standing, .. } = issue;
    match standing {
        None => Some("grant_revoked"),
        Some(now) if now.grant.revoked_at.is_some() => Some("grant_revoked"),
        Some(now) if !now.standing.is_good() => Some("inactive"),
        Some(now) if !may_use(&client.app, now.belongs()) => Some("app_not_for_account"),
        // Never the issuer instead: the app asked for a token for somebody else.
        Some(_) if !grant.resources.is_empty() && allowed_resources(client, grant).is_empty() => {
            Some("resource_withdrawn")
        }
        Some(now) if grant.proof.connection.is_none() && !passwords_allowed(now) => Some("local_sign_in_off"),
        Some(_) => None,
    }
}

impl Broker {
    /// Issues tokens for a grant, if everything that it stands on is good now, and commits.
    pub(super) async fn issue(&self, mut tx: Tx, issue: Issue<'_>) -> Result<TokenAnswer, EndpointError> {
        let Issue { client, grant, .. } = issue;
        let now = self.clock.now();
        let organization = issue.standing.as_ref().and_then(|standing| standing.standing.organization_id);
        if let Some(reason) = withdrawn(&issue) {
            self.record_refusal(&mut tx, &issue.event, reason).await?;
            tx.commit().await?;
            return Err(EndpointError::Refused(invalid_grant(reason).error));
        }
        let settings = &client.app.settings;
        let lifetime = settings.access_token_lifetime.unwrap_or(self.settings.access_token_lifetime);
        let mut good_until = now.after(lifetime);
        let refresh_token = if client.app.may_use(GrantType::RefreshToken) {
            let token = random::token(&*self.random);
            let idle = settings.refresh_token_lifetime.unwrap_or(self.settings.refresh_idle);
            let family_end = grant.created_at.after(self.settings.refresh_max);
            let expires_at = now.after(idle).min(family_end);
            let row = RefreshToken {
                hash: random::hash_token(token.expose()),
                grant: grant.id,
                expires_at,
                used_at: None,
            };
            grants::insert_refresh_token(&mut tx, &row, now).await?;
            good_until = good_until.max(expires_at);
            Some(reveal(&token))
        } else {
            None
        };
        grants::extend_grant(&mut tx, grant.id, good_until).await?;
        self.record_success(&mut tx, &issue.event).await?;
        let ring = self.ring()?;
        let access_token = self.sign_access_token(&ring, &issue, organization, now, lifetime)?;
        let id_token = if issue.scopes.iter().any(|scope| scope == "openid") {
            Some(self.sign_id_token(&ring, &issue, organization, now, &access_token)?)
        } else {
            None
        };
        tx.commit().await?;
        Ok(TokenAnswer {
            access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            refresh_token,
            id_token,
            scope: issue.scopes.join(" "),
        })
    }

    /// Makes sure that there are keys for the app's algorithms. A registration makes them; this is for a database that
    /// was changed by other means. Not to be called while a transaction is open: it writes by one of its own.
    pub(super) async fn ensure_keys_of(&self, client: &AppEntry) -> Result<(), EndpointError> {
        let settings = &client.app.settings;
        let algorithms = [settings.access_token_alg, settings.id_token_alg];
        let ring = self.ring()?;
        if algorithms.iter().all(|alg| ring.signer(*alg).is_some()) {
            return Ok(());
        }
        let made = self.ensure_signing_keys(&algorithms).await;
        made.map_err(|error| EndpointError::Unavailable(private_detail(&error)))
    }

    fn ring(&self) -> Result<KeyRing, EndpointError> {
        self.signing_keys().map_err(|error| EndpointError::Unavailable(private_detail(&error)))
    }

    fn sign_access_token(
        &self,
        ring: &KeyRing,
        issue: &Issue<'_>,
        organization: Option<OrganizationId>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, EndpointError> {
        let Issue { client, grant, scopes, .. } = issue;
        let mut claims = self.token_claims(issue, organization, now, lifetime);
        claims.insert("aud".to_owned(), self.audience(&allowed_resources(client, grant)));
        claims.insert("client_id".to_owned(), client.app.client_id.as_str().into());
        claims.insert("jti".to_owned(), random::token(&*self.random).expose().into());
        claims.insert("scope".to_owned(), scopes.join(" ").into());
        claims.insert("grant_id".to_owned(), json!(grant.id));
        sign(ring, client.app.settings.access_token_alg, "at+jwt", &claims)
    }

    fn sign_id_token(
        &self,
        ring: &KeyRing,
        issue: &Issue<'_>,
        organization: Option<OrganizationId>,
        now: Timestamp,
        access_token: &str,
    ) -> Result<String, EndpointError> {
        let settings = &issue.client.app.settings;
        let lifetime = settings.id_token_lifetime.unwrap_or(self.settings.id_token_lifetime);
        let mut claims = self.token_claims(issue, organization, now, lifetime);
        claims.insert("aud".to_owned(), issue.client.app.client_id.as_str().into());
        claims.insert("at_hash".to_owned(), half_hash(settings.id_token_alg, access_token).into());
        if let Some(nonce) = issue.nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        sign(ring, settings.id_token_alg, "JWT", &claims)
    }

    /// What both tokens say.
    fn token_claims(
        &self,
        issue: &Issue<'_>,
        organization: Option<OrganizationId>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Map<String, Value> {
        let grant = issue.grant;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", self.settings.issuer.as_str().into());
        put("sub", grant.subject.as_str().into());
        put("iat", now.unix_seconds().into());
        put("exp", now.after(lifetime).unix_seconds().into());
        put("auth_time", grant.proof.authenticated_at.unix_seconds().into());
        put("amr", json!(grant.proof.amr));
        put("sid", json!(grant.session));
        if let Some(acr) = &grant.proof.acr {
            put("acr", acr.as_str().into());
        }
        if let Some(organization) = organization {
            put("org_id", json!(organization));
        }
        if let Some(connection) = grant.proof.connection {
            put("connection", json!(connection));
        }
        claims
    }

    fn audience(&self, resources: &[String]) -> Value {
        match resources {
            [] => self.settings.issuer.as_str().into(),
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
        let now = self.clock.now();
        let ring = self.ring()?;
        let claims = json!({
            "iss": self.settings.issuer,
            "sub": client.app.client_id,
            "aud": self.settings.issuer,
            "client_id": client.app.client_id,
            "org_id": client.organization.id,
            "iat": now.unix_seconds(),
            "exp": now.after(lifetime).unix_seconds(),
            "jti": random::token(&*self.random).expose(),
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

/// The resources of a grant that the app may still ask for.
fn allowed_resources(client: &AppEntry, grant: &Grant) -> Vec<String> {
    within(&grant.resources, &client.app.settings.resources)
}

/// Whether the account of a grant may still be signed in by its password.
pub(super) fn passwords_allowed(standing: &GrantStanding) -> bool {
    let attached = standing.standing.organization_id.is_some();
    allows_password(attached, standing.local_sign_in, standing.break_glass)
}
