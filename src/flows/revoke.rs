//! Revocation (RFC 7009): an app gives a token of its own back.

use super::Broker;
use super::directory::AppEntry;
use super::error::EndpointError;
use super::evidence::Event;
use crate::crypto::random;
use crate::store::grants::{find_grant, find_refresh_token, kill_token, revoke_grant};

impl Broker {
    /// Revokes a token of the app's own: a refresh token with its family, an access token alone. A token that is
    /// unknown, or another app's, changes nothing, and the app is not told (RFC 7009, section 2.2).
    pub async fn revoke(&self, client: &AppEntry, token: &str) -> Result<(), EndpointError> {
        let event = Event {
            organization: Some(client.organization.id),
            app: Some(client.app.id),
            ..Event::new("token.revoke")
        };
        let mut tx = self.database.write().await?;
        let now = self.clock.now();
        if let Some(row) = find_refresh_token(&mut tx, &random::hash_token(token)).await? {
            let grant = find_grant(&mut tx, row.grant).await?;
            if let Some(grant) = grant.filter(|grant| grant.app == client.app.id)
                && revoke_grant(&mut tx, grant.id, now).await?
            {
                let event = Event { actor: Some(grant.account), ..event };
                self.record_success(&mut tx, &event).await?;
            }
        } else if let Some(claims) = self.read_access_token(token).await
            && claims.client_id == client.app.client_id
            && kill_token(&mut tx, &claims.jti, claims.expires_at).await?
        {
            self.record_success(&mut tx, &event).await?;
        }
        Ok(tx.commit().await?)
    }
}
