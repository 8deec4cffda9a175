//! The client credentials grant (RFC 6749, section 4.4): an app acts for itself.

use crate::flows::provider::Tokens;
use crate::flows::provider::token::{No, TokenAnswer, TokenRequest};
use crate::flows::refusal::{EndpointError, Reason};
use crate::policy::provider::request::SCOPES;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::organization::apps;

impl Tokens {
    /// Issues an access token to an app itself.
    pub(super) async fn client_credentials(
        &self,
        request: &TokenRequest<'_>,
    ) -> Result<TokenAnswer, EndpointError> {
        let event = Self::token_event("token.client_credentials", request.client);
        let scopes = match request.scopes() {
            Ok(scopes) => scopes.unwrap_or_default(),
            Err(no) => return Err(no.at(event)),
        };
        let allowed = &request.client.app.settings.scopes;
        // The scopes of OpenID Connect are about users, and this grant has none.
        let good = |scope: &String| !SCOPES.contains(&scope.as_str()) && allowed.contains(scope);
        if !scopes.iter().all(good) {
            let description = "this app may not ask for this scope without a person";
            let error = OAuthError::new(ErrorCode::InvalidScope, description);
            return Err(No { error, reason: Reason::ScopeNotAllowed }.at(event));
        }
        let answer = self.sign_for_client(request.client, &scopes)?;
        let mut tx = self.core.database.write().await?;
        let app = &request.client.app;
        let secrets = apps::find_secrets_of_active_app(&mut tx, app.organization, app.id).await?;
        if secrets.as_ref() != Some(&app.secret_hashes) {
            let description = "the client is disabled, or its authentication has changed";
            let error = OAuthError::new(ErrorCode::InvalidClient, description);
            return Err(No { error, reason: Reason::ClientDisabled }.at(event));
        }
        self.core.record_success(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(answer)
    }
}
