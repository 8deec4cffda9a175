//! The identity provider's own sign-in form.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use super::request::AuthorizeRequest;
use crate::crypto;
use crate::emulator::directory::User;
use crate::emulator::idp::pages::Body;
use crate::emulator::idp::{Idp, SESSION_LIFETIME, Session, tenant_in};
use crate::emulator::{cookie, form};
use crate::protocol::oauth::Parameters;

impl Idp {
    fn sign_in(&self, form: &Parameters, tenant: &str, headers: &HeaderMap) -> Response {
        let field = |name| form.get(name).unwrap_or_default();
        let parameters = Parameters::parse(field("request")).unwrap_or_default();
        let request = match AuthorizeRequest::read(&parameters, &self.directory) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(&refusal),
        };
        let Some(user) = self.person(field("username"), field("password")) else {
            let error = Some("Username or password is wrong.");
            return self.ask(StatusCode::FORBIDDEN, tenant, field("request"), field("username"), error);
        };
        if let Some(id) = cookie::read(headers, &self.cookie) {
            self.sessions.take(id, self.now());
        }
        let session = Session { username: user.username.clone(), auth_time: self.now(), sid: self.token() };
        let id = self.token();
        self.sessions.put(id.clone(), session.clone(), self.now(), SESSION_LIFETIME);
        self.grant(&request, session, &[cookie::set(&self.cookie, &id)])
    }

    fn person(&self, name: &str, password: &str) -> Option<&User> {
        let user = self.directory.user(name)?;
        let right = crypto::constant_time_eq(user.password.expose().as_bytes(), password.as_bytes());
        right.then_some(user)
    }
}

/// Whether another site made the browser send this form.
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

pub(in crate::emulator::idp) async fn post_sign_in(
    State(idp): State<Arc<Idp>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_foreign(&headers) {
        return idp.page(StatusCode::FORBIDDEN, Body::Error { reason: "This form came from another site." });
    }
    idp.sign_in(&form::read(&body), tenant_in(uri.path()), &headers)
}
