//! Introspection (RFC 7662): an app asks whether a token is valid. It learns nothing about the tokens of another
//! organization.

use serde_json::{Value, json};

use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::provider::Tokens;
use crate::flows::provider::clients::TOKEN_MISSING;
use crate::flows::refusal::{EndpointError, Reason, refused_app};
use crate::model::OrganizationId;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::provider::standing::read_refresh_token_standing;

impl Tokens {
    /// Answers an authenticated app whether a token is valid now, and what it says.
    pub async fn introspect(&self, client: &AppEntry, token: Option<&str>) -> Result<Value, EndpointError> {
        let event = Self::token_event("token.introspect", client);
        if client.app.is_public() {
            let error = OAuthError::new(ErrorCode::InvalidClient, "introspection needs an app with a secret");
            return Err(refused_app(event, Reason::PublicApp, error));
        }
        let Some(token) = token else {
            return Err(refused_app(event, Reason::TokenMissing, TOKEN_MISSING));
        };
        let found = match self.introspect_access(client.organization.id, token).await? {
            Some(found) => Some(found),
            None => self.introspect_refresh(client.organization.id, token).await?,
        };
        Ok(found.unwrap_or_else(|| json!({ "active": false })))
    }

    async fn introspect_access(
        &self,
        organization: OrganizationId,
        token: &str,
    ) -> Result<Option<Value>, EndpointError> {
        let Some(claims) = self.read_access_token(token).await else { return Ok(None) };
        let Some(grant) = self.living_grant(&claims).await? else { return Ok(None) };
        let owner = match &grant {
            Some(grant) => Some(grant.organization),
            None => {
                let entry = self.core.directory.app(&claims.client_id).await?;
                entry.filter(|entry| entry.is_enabled()).map(|entry| entry.organization.id)
            }
        };
        if owner != Some(organization) {
            return Ok(None);
        }
        let mut answer = json!({
            "active": true,
            "token_type": "Bearer",
            "iss": self.core.issuer(),
            "sub": claims.subject,
            "client_id": claims.client_id,
            "aud": claims.audience,
            "scope": claims.scope,
            "jti": claims.jti,
            "iat": claims.issued_at.unix_seconds(),
            "exp": claims.expires_at.unix_seconds(),
        });
        if let (Some(grant), Some(fields)) = (grant, answer.as_object_mut()) {
            fields.insert("auth_time".to_owned(), grant.proof.authenticated_at.unix_seconds().into());
        }
        Ok(Some(answer))
    }

    async fn introspect_refresh(
        &self,
        organization: OrganizationId,
        token: &str,
    ) -> Result<Option<Value>, EndpointError> {
        let now = self.core.clock.now();
        let mut tx = self.core.database.read().await?;
        let found = read_refresh_token_standing(&mut tx, &random::hash_token(token)).await?;
        drop(tx);
        let Some((row, read)) = found else { return Ok(None) };
        let grant = &read.grant;
        let alive = row.used_at.is_none()
            && now < row.expires_at
            && grant.organization == organization
            && read.is_good();
        let entry = self
            .core
            .directory
            .app_by_id(grant.app)
            .await?
            .filter(|entry| alive && self.family_end(entry, grant, Some(&read)).is_none());
        Ok(entry.map(|entry| {
            json!({
                "active": true,
                "token_type": "refresh_token",
                "iss": self.core.issuer(),
                "sub": grant.subject,
                "client_id": entry.app.client_id,
                "scope": grant.scopes.join(" "),
                "exp": row.expires_at.unix_seconds(),
            })
        }))
    }
}
