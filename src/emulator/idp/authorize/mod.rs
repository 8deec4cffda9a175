//! The authorization endpoint (`OpenID` Connect Core 1.0, section 3.1.2).

mod answer;
mod request;
pub(super) mod sign_in;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use super::pages::Body;
use super::{Idp, Session, tenant_in};
use crate::emulator::directory::Directory;
use crate::emulator::form;
use crate::model::Timestamp;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use request::{AuthorizeRequest, Prompt};

/// The result of an authorization request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// The user has signed in well enough.
    Grant(Session),
    /// The user must sign in.
    Ask,
    /// The user would have to sign in, but must not be asked.
    LoginRequired,
}

fn decide(
    request: &AuthorizeRequest,
    session: Option<Session>,
    directory: &Directory,
    honours_max_age: bool,
    now: Timestamp,
) -> Decision {
    let fits = |session: &Session| {
        let fresh =
            request.max_age.filter(|_| honours_max_age).is_none_or(|age| now.since(session.auth_time) <= age);
        let hinted = request.login_hint.as_deref().and_then(|hint| directory.user(hint));
        let meant = hinted.is_none_or(|user| user.username == session.username);
        fresh && meant && request.prompt != Prompt::SignIn
    };
    match session.filter(fits) {
        Some(session) => Decision::Grant(session),
        None if request.prompt == Prompt::Silent => Decision::LoginRequired,
        None => Decision::Ask,
    }
}

impl Idp {
    fn authorize(&self, parameters: &Parameters, tenant: &str, headers: &HeaderMap) -> Response {
        let request = match AuthorizeRequest::read(parameters, &self.directory) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(&refusal),
        };
        let session = self.session(headers);
        match decide(&request, session, &self.directory, self.habits.honours_max_age, self.now()) {
            Decision::Grant(session) => self.grant(&request, session, &[]),
            Decision::Ask => {
                let username = request.login_hint.as_deref().unwrap_or_default();
                self.ask(StatusCode::OK, tenant, &parameters.to_text(), username, None)
            }
            Decision::LoginRequired => {
                let description = "No user is signed in here to whom this request may refer.";
                self.deny(&request.target, &OAuthError::new(ErrorCode::LoginRequired, description))
            }
        }
    }

    /// The sign-in page. It contains the request, which is read again when the form comes back.
    pub(super) fn ask(
        &self,
        status: StatusCode,
        tenant: &str,
        request: &str,
        username: &str,
        error: Option<&str>,
    ) -> Response {
        let action = self.url(self.habits.paths.sign_in, tenant);
        self.page(status, Body::SignIn { action: &action, request, username, error })
    }
}

pub(super) async fn get_authorize(State(idp): State<Arc<Idp>>, uri: Uri, headers: HeaderMap) -> Response {
    idp.authorize(&form::of_query(&uri), tenant_in(uri.path()), &headers)
}

pub(super) async fn post_authorize(
    State(idp): State<Arc<Idp>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    idp.authorize(&form::read(&body), tenant_in(uri.path()), &headers)
}
