//! Userinfo (`OpenID` Connect Core, section 5.3).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::flows::evidence::Event;
use crate::flows::profile::email::account_email_proof;
use crate::flows::provider::Tokens;
use crate::flows::provider::token::access::AccessClaims;
use crate::flows::refusal::{EndpointError, Reason, refused_app};
use crate::policy::account::email::EmailProof;
use crate::policy::provider::access::within;
use crate::policy::provider::claims::claims_for;
use crate::protocol::oauth::{ErrorCode, OAuthError, split_words};
use crate::store::account::accounts;

const INVALID: OAuthError = OAuthError::new(
    ErrorCode::InvalidToken,
    "the access token is expired, revoked, malformed or not for userinfo",
);

impl Tokens {
    /// The claims about the user that an access token allows an app to read.
    pub async fn userinfo(&self, token: &str) -> Result<Map<String, Value>, EndpointError> {
        let event = Event::new("userinfo");
        // A token for another resource (RFC 8707) is not meant for the broker (RFC 9068, section 4).
        let for_us = |claims: &Arc<AccessClaims>| claims.audience == [self.core.issuer()];
        let Some(claims) = self.read_access_token(token).await.filter(for_us) else {
            return Err(refused_app(event, Reason::TokenInvalid, INVALID));
        };
        let Some(grant) = self.living_grant(&claims).await?.flatten() else {
            return Err(refused_app(event, Reason::TokenRevoked, INVALID));
        };
        let event = Event { organization: Some(grant.organization), app: Some(grant.app), ..event };
        let scopes = split_words(&claims.scope).unwrap_or_default();
        if !scopes.iter().any(|scope| scope == "openid") {
            let error = OAuthError::new(ErrorCode::InsufficientScope, "userinfo needs the scope openid");
            return Err(refused_app(event, Reason::ScopeMissing, error));
        }
        let entry = self.core.directory.app_by_id(grant.app).await?;
        let mut tx = self.core.database.read().await?;
        let account = accounts::find_account(&mut tx, grant.account).await?;
        let (Some(entry), Some(account)) = (entry, account) else {
            return Err(refused_app(event, Reason::TokenRevoked, INVALID));
        };
        let scopes = within(&scopes, &entry.app.settings.scopes);
        let asks = scopes.iter().any(|scope| scope == "email");
        let proof = if asks { account_email_proof(&mut tx, &account).await? } else { EmailProof::Unproven };
        drop(tx);
        let is_own = account.organization == Some(entry.organization.id);
        let mut answer = claims_for(&account, &entry.app, &scopes, proof.counts_for(is_own));
        answer.insert("sub".to_owned(), grant.subject.into());
        Ok(answer)
    }
}
