//! Revocation (RFC 7009): an app revokes one of its own tokens.

use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::provider::Tokens;
use crate::flows::provider::clients::TOKEN_MISSING;
use crate::flows::refusal::{EndpointError, Reason, refused_app};
use crate::store::provider::grants::{find_grant, find_refresh_token, kill_token, revoke_grant};

impl Tokens {
    /// Revokes one of the app's own tokens: a refresh token with its family, an access token alone. An unknown token
    /// and another app's token change nothing, and the app is not told (RFC 7009, section 2.2). The log records the use
    /// of another app's token. `network` is where the request came from.
    pub async fn revoke(
        &self,
        client: &AppEntry,
        network: &str,
        token: Option<&str>,
    ) -> Result<(), EndpointError> {
        let event = Self::token_event("token.revoke", client);
        let Some(token) = token else {
            return Err(refused_app(event, Reason::TokenMissing, TOKEN_MISSING));
        };
        let mut tx = self.core.database.write().await?;
        let now = self.core.clock.now();
        let refused = if let Some(row) = find_refresh_token(&mut tx, &random::hash_token(token)).await? {
            match find_grant(&mut tx, row.grant).await? {
                Some(grant) if grant.app == client.app.id => {
                    if revoke_grant(&mut tx, grant.id, now).await? {
                        let event = Event { actor: Some(grant.account.into()), ..event.clone() };
                        self.core.record_success(&mut tx, &event).await?;
                    }
                    None
                }
                _ => Some(Reason::TokenOfAnotherApp),
            }
        } else {
            match self.read_access_token(token).await {
                Some(claims) if claims.client_id == client.app.client_id => {
                    if kill_token(&mut tx, &claims.jti, claims.expires_at).await? {
                        self.core.record_success(&mut tx, &event).await?;
                    }
                    None
                }
                Some(_) => Some(Reason::TokenOfAnotherApp),
                None => None,
            }
        };
        tx.commit().await?;
        if let Some(reason) = refused {
            self.core.record_refusal_alone(network, &event, reason).await?;
        }
        Ok(())
    }
}
