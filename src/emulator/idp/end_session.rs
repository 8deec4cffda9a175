//! Sign-out that a client asks for (`OpenID` Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use super::Idp;
use super::pages::Body;
use crate::crypto::jws;
use crate::emulator::directory::Client;
use crate::emulator::{cookie, form, html};
use crate::protocol::jose::CompactJws;
use crate::protocol::json::Claims;
use crate::protocol::oauth::{Parameters, add_to_query};

/// The longest hint that is accepted, in bytes.
const MAX_HINT: usize = 16 * 1024;

impl Idp {
    fn logout(&self, parameters: &Parameters, headers: &HeaderMap) -> Response {
        if parameters.first_repeated().is_some() {
            return self.page(StatusCode::BAD_REQUEST, Body::Error { reason: "A parameter is repeated." });
        }
        let field = |name| parameters.get(name);
        let hinted = field("id_token_hint").map(|hint| self.client_of_hint(hint));
        if matches!(hinted, Some(None)) || self.habits.logout_needs_hint && hinted.is_none() {
            let reason = "The id_token_hint is missing, or this provider has not issued it.";
            return self.page(StatusCode::BAD_REQUEST, Body::Error { reason });
        }
        if let Some(id) = cookie::read(headers, &self.cookie) {
            self.sessions.take(id, self.now());
        }
        let client = hinted.flatten().or_else(|| self.directory.client(field("client_id")?));
        let cookies = [cookie::clear(&self.cookie)];
        match return_to(client, field("post_logout_redirect_uri")) {
            Some(uri) => {
                let location = match field("state") {
                    Some(state) => add_to_query(uri, &[("state", state)]),
                    None => uri.to_owned(),
                };
                html::see_other(&location, &cookies)
            }
            None => self.page_with(StatusCode::OK, Body::SignedOut, &cookies),
        }
    }

    /// The client for which an ID token of this identity provider was made. An expired token is accepted, too (section
    /// 2).
    fn client_of_hint(&self, hint: &str) -> Option<&Client> {
        let token = CompactJws::parse(hint, MAX_HINT).ok()?;
        jws::verify(&token, self.key.alg(), self.key.public_jwk()).ok()?;
        let members = token.claims().ok()?;
        self.directory.client(Claims::of(&members).required_string("aud").ok()?)
    }
}

/// Where the sign-out returns to: only an address that this client has registered.
fn return_to<'a>(client: Option<&Client>, wanted: Option<&'a str>) -> Option<&'a str> {
    let registered = &client?.post_logout_redirect_uris;
    wanted.filter(|uri| registered.iter().any(|known| known == uri))
}

pub(super) async fn get_logout(State(idp): State<Arc<Idp>>, uri: Uri, headers: HeaderMap) -> Response {
    idp.logout(&form::of_query(&uri), &headers)
}

pub(super) async fn post_logout(State(idp): State<Arc<Idp>>, headers: HeaderMap, body: Bytes) -> Response {
    idp.logout(&form::read(&body), &headers)
}
