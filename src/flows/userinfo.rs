//! Userinfo (`OpenID` Connect Core, section 5.3).

use serde_json::{Map, Value};

use super::Broker;
use super::error::EndpointError;
use super::evidence::Event;
use crate::policy::access::within;
use crate::policy::claims::claims_for;
use crate::protocol::oauth::{ErrorCode, OAuthError, split_words};
use crate::store::accounts;

const INVALID: OAuthError = OAuthError::new(
    ErrorCode::InvalidToken,
    "the access token is expired, revoked, malformed or not for userinfo",
);

impl Broker {
    /// The claims that an access token stands for. `network` is where the request came from.
    pub async fn userinfo(&self, network: &str, token: &str) -> Result<Map<String, Value>, EndpointError> {
        let claims = match self.read_access_token(token) {
            Ok(claims) => claims,
            Err(reason) => return Err(self.refuse_token(network, Event::new("userinfo"), reason).await),
        };
        // A token for a resource of its own (RFC 8707) is not one for the broker (RFC 9068, section 4).
        if claims.audience != [self.settings.issuer.as_str()] {
            return Err(self
                .refuse_token(network, Event::new("userinfo"), "token_of_another_resource")
                .await);
        }
        let Some(grant) = self.living_grant(&claims).await?.flatten() else {
            return Err(self.refuse_token(network, Event::new("userinfo"), "token_ended").await);
        };
        let event = Event {
            organization: Some(grant.organization),
            actor: Some(grant.account),
            connection: grant.proof.connection,
            app: Some(grant.app),
            ..Event::new("userinfo")
        };
        let scopes = split_words(&claims.scope);
        if !scopes.iter().any(|scope| scope == "openid") {
            self.record_refusal_alone(network, &event, "scope_missing").await?;
            let error = OAuthError::new(ErrorCode::InsufficientScope, "userinfo needs the scope openid");
            return Err(EndpointError::Refused(error));
        }
        let entry = self.directory.app_by_id(grant.app).await?;
        let account = {
            let mut tx = self.database.read().await?;
            accounts::find_account(&mut tx, grant.account).await?
        };
        let (Some(entry), Some(account)) = (entry, account) else {
            return Err(self.refuse_token(network, event, "token_ended").await);
        };
        let scopes = within(&scopes, &entry.app.settings.scopes);
        let mut answer = claims_for(&account, &entry.app, &scopes);
        answer.insert("sub".to_owned(), grant.subject.into());
        Ok(answer)
    }

    /// Records that a token is worth nothing, and answers it: the same, whatever the reason.
    async fn refuse_token(&self, network: &str, event: Event, reason: &str) -> EndpointError {
        match self.record_refusal_alone(network, &event, reason).await {
            Ok(()) => EndpointError::Refused(INVALID),
            Err(error) => error.into(),
        }
    }
}
