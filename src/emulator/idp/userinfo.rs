//! The `UserInfo` endpoint (`OpenID` Connect Core 1.0, section 5.3; RFC 6750).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::Idp;
use crate::emulator::html;

impl Idp {
    fn userinfo(&self, headers: &HeaderMap) -> Option<Map<String, Value>> {
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        let grant = self.tokens.get(token, self.now()).filter(|_| bearer)?;
        let user = self.directory.user(&grant.session.username)?;
        Some(self.userinfo_claims(&grant, user))
    }
}

pub(super) async fn show_userinfo(State(idp): State<Arc<Idp>>, headers: HeaderMap) -> Response {
    if let Some(claims) = idp.userinfo(&headers) {
        return html::json(StatusCode::OK, &Value::Object(claims));
    }
    let challenge = "Bearer error=\"invalid_token\"";
    let builder = Response::builder().status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, challenge);
    html::finish(builder, Body::empty())
}
