//! Userinfo (`OpenID` Connect Core, section 5.3).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Broker;
use super::access_token::AccessClaims;
use super::error::EndpointError;
use crate::policy::access::within;
use crate::policy::claims::claims_for;
use crate::protocol::oauth::{ErrorCode, OAuthError, split_words};
use crate::store::accounts;

const INVALID: OAuthError = OAuthError::new(
    ErrorCode::InvalidToken,
    "the access token is expired, revoked, malformed or not for userinfo",
);

impl Broker {
    /// The claims that an access token stands for.
    pub async fn userinfo(&self, token: &str) -> Result<Map<String, Value>, EndpointError> {
        let invalid = || EndpointError::Refused(INVALID);
        // A token for a resource of its own (RFC 8707) is not one for the broker (RFC 9068, section 4).
        let for_us = |claims: &Arc<AccessClaims>| claims.audience == [self.settings.issuer.as_str()];
        let claims = self.read_access_token(token).await.filter(for_us).ok_or_else(invalid)?;
        let grant = self.living_grant(&claims).await?.flatten().ok_or_else(invalid)?;
        let scopes = split_words(&claims.scope);
        if !scopes.iter().any(|scope| scope == "openid") {
            let error = OAuthError::new(ErrorCode::InsufficientScope, "userinfo needs the scope openid");
            return Err(EndpointError::Refused(error));
        }
        let entry = self.directory.app_by_id(grant.app).await?.ok_or_else(invalid)?;
        let mut tx = self.database.read().await?;
        let account = accounts::find_account(&mut tx, grant.account).await?.ok_or_else(invalid)?;
        let scopes = within(&scopes, &entry.app.settings.scopes);
        let mut answer = claims_for(&account, &entry.app, &scopes);
        answer.insert("sub".to_owned(), grant.subject.into());
        Ok(answer)
    }
}
