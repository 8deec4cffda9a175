//! The `UserInfo` endpoint (`OpenID` Connect Core 1.0, section 5.3; RFC 6750).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt as _};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::emulator::html;
use crate::emulator::idp::Idp;

impl Idp {
    fn userinfo(&self, headers: &HeaderMap) -> Option<Map<String, Value>> {
        let bearer = headers.typed_get::<Authorization<Bearer>>()?;
        let grant = self.tokens.get(bearer.token(), self.now())?;
        let user = self.directory.user(&grant.session.username)?;
        Some(self.userinfo_claims(&grant, user))
    }
}

pub(in crate::emulator::idp) async fn show_userinfo(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
) -> Response {
    if let Some(claims) = idp.userinfo(&headers) {
        return html::json(StatusCode::OK, &Value::Object(claims));
    }
    let challenge = "Bearer error=\"invalid_token\"";
    let builder = Response::builder().status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, challenge);
    html::finish(builder, Body::empty())
}
