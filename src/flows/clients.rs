//! Apps prove themselves at the endpoints for apps (RFC 6749, section 2.3): by one method, the one they registered.

use std::sync::Arc;

use super::Broker;
use super::directory::AppEntry;
use super::error::EndpointError;
use super::evidence::Event;
use crate::crypto::secret_hash;
use crate::model::{AppAuthMethod, Secret};
use crate::protocol::oauth::{ErrorCode, OAuthError};

/// What an app presented.
#[derive(Debug, Clone, Default)]
pub struct ClientCredentials {
    /// Client id and secret of an `Authorization: Basic` header, decoded.
    pub basic: Option<(String, Secret)>,
    /// `client_id` of the form.
    pub form_id: Option<String>,
    /// `client_secret` of the form.
    pub form_secret: Option<Secret>,
}

const TWO_METHODS: OAuthError =
    OAuthError::new(ErrorCode::InvalidRequest, "authenticate by one method only: HTTP Basic or the form");
const FAILED: OAuthError = OAuthError::new(
    ErrorCode::InvalidClient,
    "the client is unknown, disabled, or its authentication failed; check client_id, secret and method",
);

impl Broker {
    /// The app that presented these credentials. `network` is where the request came from.
    pub async fn authenticate_client(
        &self,
        network: &str,
        presented: &ClientCredentials,
    ) -> Result<Arc<AppEntry>, EndpointError> {
        let (client_id, secret, method) = match presented {
            ClientCredentials { basic: Some(_), form_secret: Some(_), .. } => {
                return Err(EndpointError::Refused(TWO_METHODS));
            }
            ClientCredentials { basic: Some((id, _)), form_id: Some(other), .. } if id != other => {
                return Err(EndpointError::Refused(TWO_METHODS));
            }
            ClientCredentials { basic: Some((id, secret)), .. } => {
                (id, Some(secret), AppAuthMethod::ClientSecretBasic)
            }
            ClientCredentials { form_id: Some(id), form_secret: Some(secret), .. } => {
                (id, Some(secret), AppAuthMethod::ClientSecretPost)
            }
            ClientCredentials { form_id: Some(id), .. } => (id, None, AppAuthMethod::None),
            ClientCredentials { form_id: None, .. } => return Err(EndpointError::Refused(FAILED)),
        };
        let entry = self.directory.app(client_id).await?;
        let reason = match &entry {
            None => "unknown_client",
            Some(entry) if !entry.is_enabled() => "client_disabled",
            Some(entry) if entry.app.settings.auth_method != method => "client_auth_method",
            Some(entry) => match secret {
                None => return Ok(Arc::clone(entry)),
                // Every stored secret is compared, so that the time does not tell which one it is.
                Some(secret) => {
                    let hashes = &entry.app.secret_hashes;
                    let fits = hashes.iter().filter(|hash| secret_hash::matches(secret, hash)).count();
                    if fits > 0 {
                        return Ok(Arc::clone(entry));
                    }
                    "client_secret"
                }
            },
        };
        let event = Event {
            organization: entry.as_ref().map(|entry| entry.organization.id),
            app: entry.as_ref().map(|entry| entry.app.id),
            ..Event::new("client_authentication")
        };
        self.record_refusal_alone(network, &event, reason).await?;
        Err(EndpointError::Refused(FAILED))
    }
}
