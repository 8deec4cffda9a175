//! Authentication of apps at their endpoints (RFC 6749, section 2.3): each by the one method that it registered.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::secret_hash;
use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::guessing::count_failure;
use crate::flows::provider::Clients;
use crate::flows::provider::client_guesses::Judged;
use crate::flows::refusal::{EndpointError, Reason, ToldApp, refused_app};
use crate::flows::visit::customer_network;
use crate::model::{App, AppAuthMethod, Secret};
use crate::policy::sign_in::guesses::Scope;
use crate::protocol::oauth::{ErrorCode, OAuthError};

/// The credentials that an app presented.
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

/// Why an app is refused.
enum Refused {
    /// The request is wrong, for this reason.
    Wrong(Reason),
    /// There were too many wrong secrets, and the app must wait this long.
    Wait(Duration),
}

/// The error of introspection and revocation when the token is missing.
pub(super) const TOKEN_MISSING: OAuthError = OAuthError::new(ErrorCode::InvalidRequest, "token is missing");

/// The client id, the secret and the method with which an app presents itself.
fn presented_method(
    presented: &ClientCredentials,
) -> Result<(&str, Option<&Secret>, AppAuthMethod), (OAuthError, Reason)> {
    match presented {
        ClientCredentials { basic: Some(_), form_secret: Some(_), .. } => {
            Err((TWO_METHODS, Reason::ClientTwoMethods))
        }
        ClientCredentials { basic: Some((id, _)), form_id: Some(other), .. } if id != other => {
            Err((TWO_METHODS, Reason::ClientTwoMethods))
        }
        ClientCredentials { basic: Some((id, secret)), .. } => {
            Ok((id, Some(secret), AppAuthMethod::ClientSecretBasic))
        }
        ClientCredentials { form_id: Some(id), form_secret: Some(secret), .. } => {
            Ok((id, Some(secret), AppAuthMethod::ClientSecretPost))
        }
        ClientCredentials { form_id: Some(id), .. } => Ok((id, None, AppAuthMethod::None)),
        ClientCredentials { form_id: None, .. } => Err((FAILED, Reason::ClientMissing)),
    }
}

/// Whether the secret is one of the app's. It is compared with every stored hash, and for an unknown app with one that
/// nothing fits, so that the time tells neither which hash fits nor whether the app exists.
fn secret_fits(entry: Option<&AppEntry>, secret: &Secret) -> bool {
    let Some(entry) = entry else { return secret_hash::matches(secret, "") };
    entry.app.secret_hashes.iter().filter(|hash| secret_hash::matches(secret, hash)).count() > 0
}

/// Refuses an app's request that the broker cannot read.
pub fn refuse_request(reason: Reason, error: OAuthError) -> EndpointError {
    refused_app(Event::new("app_request"), reason, error)
}

impl Clients {
    /// The app that presented these credentials. `network` is where the request came from.
    pub async fn authenticate_client(
        &self,
        network: &str,
        presented: &ClientCredentials,
    ) -> Result<Arc<AppEntry>, EndpointError> {
        let event = Event::new("client_authentication");
        let (client_id, secret, method) = match presented_method(presented) {
            Ok(method) => method,
            Err((error, reason)) => return Err(refused_app(event, reason, error)),
        };
        let entry = self.core.directory.app(client_id).await?;
        let fits = secret.is_none_or(|secret| secret_fits(entry.as_deref(), secret));
        let verdict = match &entry {
            None => Err(Reason::UnknownClient),
            Some(entry) if !entry.is_enabled() => Err(Reason::ClientDisabled),
            Some(entry) if entry.app.settings.auth_method != method => Err(Reason::ClientAuthMethod),
            Some(entry) if fits => Ok(Arc::clone(entry)),
            Some(_) => Err(Reason::ClientSecret),
        };
        let verdict = match secret {
            Some(_) if App::is_client_id(client_id) => self.counted(network, client_id, verdict).await?,
            _ => verdict.map_err(Refused::Wrong),
        };
        let refused = match verdict {
            Ok(entry) => return Ok(entry),
            Err(refused) => refused,
        };
        let event = Event {
            organization: entry.as_ref().map(|entry| entry.organization.id),
            app: entry.as_ref().map(|entry| entry.app.id),
            ..event
        };
        Err(match refused {
            Refused::Wrong(reason) => refused_app(event, reason, FAILED),
            Refused::Wait(wait) => refused_app(event, Reason::GuessesClient, ToldApp::TooMany(wait)),
        })
    }

    /// Checks the verdict against the guesses from that network, and counts a wrong secret.
    async fn counted(
        &self,
        network: &str,
        client_id: &str,
        verdict: Result<Arc<AppEntry>, Reason>,
    ) -> Result<Result<Arc<AppEntry>, Refused>, EndpointError> {
        let network = customer_network(network);
        let pair = (client_id.to_owned(), network.clone());
        let judged = self.client_guesses.judge(pair, verdict.is_ok(), self.core.clock.now());
        match (judged, verdict) {
            (Judged::Wait(wait), _) => Ok(Err(Refused::Wait(wait))),
            (Judged::Right, verdict) => Ok(verdict.map_err(Refused::Wrong)),
            (Judged::Wrong(wrong), verdict) => {
                // An unknown client id gets no row, since an attacker can make up any number of them.
                let seen = if self.core.directory.app(client_id).await?.is_some() {
                    let subject = self.core.network_tag(&format!("client:{client_id}:{network}"));
                    count_failure(&self.core.database, &*self.core.clock, Scope::Client, &subject).await?
                } else {
                    None
                };
                wrong.counted(seen, self.core.clock.now());
                Ok(verdict.map_err(Refused::Wrong))
            }
        }
    }
}
