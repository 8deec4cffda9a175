//! The faults of an emulated identity provider that affect whole responses. Those that affect a token are where the
//! token is made.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::Idp;
use crate::crypto::CryptoError;
use crate::crypto::keys::SigningKey;
use crate::emulator::fault::Fault;
use crate::emulator::html;

/// How long a slow response takes: longer than any relying party waits.
const SLOW: Duration = Duration::from_secs(30);

/// The response in place of JSON.
const GARBAGE: &str = "{\"issuer\": \"https://\u{fffd}\u{fffd}\u{fffd}<html>";

/// Responds late, wrongly or not at all.
pub(super) async fn trouble(State(idp): State<Arc<Idp>>, request: Request, next: Next) -> Response {
    if idp.faults.has(Fault::Down) {
        return html::plain(StatusCode::SERVICE_UNAVAILABLE, "This provider is down.");
    }
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    if !route.is_some_and(|route| idp.is_for_clients(&route)) {
        return next.run(request).await;
    }
    if idp.faults.has(Fault::Slow) {
        tokio::time::sleep(SLOW).await;
    }
    if idp.faults.has(Fault::Garbage) {
        let builder = Response::builder().status(StatusCode::OK).header(CONTENT_TYPE, "application/json");
        return html::finish(builder, GARBAGE.into());
    }
    next.run(request).await
}

impl Idp {
    /// Whether clients call this route; the others are for browsers.
    fn is_for_clients(&self, route: &str) -> bool {
        let paths = self.habits.paths;
        [paths.token, paths.userinfo, paths.keys].contains(&route) || route.ends_with(super::METADATA)
    }

    /// The key that signs: the published one, or one that is not published.
    pub(super) fn signing_key(&self) -> Result<&SigningKey, CryptoError> {
        if self.faults.has(Fault::RotatedKeys) { self.unpublished.get(self.key.alg()) } else { Ok(&self.key) }
    }
}

/// A key that is made when it is first needed, and never published.
#[derive(Default)]
pub(super) struct Unpublished(OnceLock<SigningKey>);

impl Unpublished {
    fn get(&self, alg: crate::model::SigningAlg) -> Result<&SigningKey, CryptoError> {
        if let Some(key) = self.0.get() {
            return Ok(key);
        }
        let key = SigningKey::generate(alg, "emulator-unpublished".to_owned())?;
        Ok(self.0.get_or_init(|| key))
    }
}
