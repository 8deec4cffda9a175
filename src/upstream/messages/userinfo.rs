//! Calls to the UserInfo endpoint (`OpenID` Connect Core, section 5.3; RFC 6750).
//!
//! Its `sub` must equal the ID token's, or the whole response is refused (section 5.3.2). Signed responses
//! (`application/jwt`) are refused: the broker does not ask for them.

use bytes::Bytes;
use headers::{Authorization, HeaderMapExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::discovery::Metadata;
use super::token_answer::is_json;
use crate::model::Secret;
use crate::protocol::json::{self, ClaimError, Claims, JsonError};

const MAX_BYTES: usize = 1 << 20;

/// Why a UserInfo response was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserInfoError {
    /// The metadata names no endpoint, but it is needed.
    #[error("the identity provider has no userinfo endpoint")]
    NoEndpoint,
    /// The access token cannot be sent in a header.
    #[error("the access token cannot be sent")]
    AccessToken,
    /// A status other than 200.
    #[error("the endpoint answered with status {0}")]
    Status(u16),
    /// A signed or encrypted response, which the broker did not ask for.
    #[error("the response is a token, which was not asked for")]
    Signed,
    /// The media type is not JSON.
    #[error("the response is not JSON by its media type")]
    ContentType,
    /// Not a strict JSON object.
    #[error("the response is refused: {0}")]
    Json(#[from] JsonError),
    /// `sub` is missing or of the wrong type.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// `sub` differs from the ID token's.
    #[error("the response is about another user")]
    SubjectMismatch,
}

impl UserInfoError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "userinfo_no_endpoint",
            Self::AccessToken => "userinfo_access_token",
            Self::Status(_) => "userinfo_status",
            Self::Signed => "userinfo_signed",
            Self::ContentType => "userinfo_content_type",
            Self::Json(_) => "userinfo_json",
            Self::Claim(_) => "userinfo_sub_malformed",
            Self::SubjectMismatch => "userinfo_sub_mismatch",
        }
    }
}

/// The request that asks for claims.
///
/// # Errors
/// The provider has no such endpoint, or the token cannot stand in a header.
pub(in crate::upstream) fn request(
    metadata: &Metadata,
    access_token: &Secret,
) -> Result<Request<Bytes>, UserInfoError> {
    let endpoint = metadata.userinfo_endpoint.as_ref().ok_or(UserInfoError::NoEndpoint)?;
    let bearer = Authorization::bearer(access_token.expose()).map_err(|_| UserInfoError::AccessToken)?;
    let mut request = Request::get(endpoint.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| UserInfoError::AccessToken)?;
    request.headers_mut().typed_insert(bearer);
    Ok(request)
}

/// The claims of a response, if they are those of `subject`.
///
/// # Errors
/// The response is not strict JSON, or is about another user.
pub fn read(answer: &Response<Bytes>, subject: &str) -> Result<Map<String, Value>, UserInfoError> {
    if answer.status() != StatusCode::OK {
        return Err(UserInfoError::Status(answer.status().as_u16()));
    }
    if !is_json(answer.headers()) {
        let media = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let token = media.is_some_and(|media| media.to_ascii_lowercase().starts_with("application/jwt"));
        return Err(if token { UserInfoError::Signed } else { UserInfoError::ContentType });
    }
    let object = json::parse_object(answer.body(), MAX_BYTES)?;
    if Claims::of(&object).required_string("sub")? != subject {
        return Err(UserInfoError::SubjectMismatch);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media: Option<&str>, body: &str) -> Response<Bytes> {
        let mut builder = Response::builder().status(status);
        if let Some(media) = media {
            builder = builder.header(CONTENT_TYPE, media);
        }
        builder.body(Bytes::from(body.to_owned())).unwrap()
    }

    #[test]
    fn only_a_json_answer_about_the_same_person_is_read() {
        let json = Some("application/json");
        let good = r#"{"sub":"bob","email":"bob@acme.test"}"#;
        for media in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
            assert!(read(&answer(200, Some(media), good), "bob").is_ok(), "{media}");
        }
        let refused = [
            (answer(200, json, r#"{"sub":"eve"}"#), "userinfo_sub_mismatch"),
            (answer(200, json, r#"{"sub":"Bob"}"#), "userinfo_sub_mismatch"),
            (answer(200, json, r#"{"sub":"bob "}"#), "userinfo_sub_mismatch"),
            (answer(200, json, r#"{"email":"bob@acme.test"}"#), "userinfo_sub_malformed"),
            (answer(200, json, r#"{"sub":["bob"]}"#), "userinfo_sub_malformed"),
            (answer(200, json, r#"{"sub":"bob","sub":"eve"}"#), "userinfo_json"),
            (answer(200, json, r#"["bob"]"#), "userinfo_json"),
            (answer(200, json, ""), "userinfo_json"),
            (answer(401, json, good), "userinfo_status"),
            (answer(204, json, good), "userinfo_status"),
            (answer(200, Some("application/jwt"), good), "userinfo_signed"),
            (answer(200, Some("application/jsonp"), good), "userinfo_content_type"),
            (answer(200, Some("text/html"), good), "userinfo_content_type"),
            (answer(200, None, good), "userinfo_content_type"),
        ];
        for (answer, code) in refused {
            assert_eq!(read(&answer, "bob").unwrap_err().code(), code, "{answer:?}");
        }
    }
}
