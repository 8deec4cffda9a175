//! What a token endpoint may answer: JSON by its media type, without repeated members, bounded (RFC 6749, sections 5.1 and
//! 5.2).

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};

use crate::protocol::json::{self, JsonError};

const MAX_BYTES: usize = 1 << 20;

/// Why an answer of the token endpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenAnswerError {
    /// The media type is not JSON.
    #[error("the answer is not JSON by its media type")]
    ContentType,
    /// No strict JSON object.
    #[error("the answer is refused: {0}")]
    Json(#[from] JsonError),
    /// An error status without an error code in it.
    #[error("the answer has status {0} and no error code")]
    Status(u16),
    /// A member is missing or of the wrong type.
    #[error("a member of the answer is missing or of the wrong type")]
    Member,
    /// The access token is of a type that is not `Bearer`.
    #[error("the access token is not a bearer token")]
    TokenType,
    /// There is no ID token.
    #[error("the answer has no ID token")]
    NoIdToken,
    /// The code, verifier or redirect URI cannot be sent.
    #[error("the request cannot be made")]
    Request,
}

impl TokenAnswerError {
    /// The stable name of the reason, as audit records carry it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ContentType => "token_answer_content_type",
            Self::Json(_) => "token_answer_json",
            Self::Status(_) => "token_answer_status",
            Self::Member => "token_answer_member",
            Self::TokenType => "token_answer_token_type",
            Self::NoIdToken => "token_answer_no_id_token",
            Self::Request => "token_answer_request",
        }
    }
}

/// Whether an answer of the token endpoint is strict JSON: tokens with 200, an error code with any other status.
///
/// # Errors
/// What is wrong with it.
pub fn check_answer(answer: &Response<Bytes>) -> Result<(), TokenAnswerError> {
    let checked = if is_json(answer.headers()) {
        json::parse_object(answer.body(), MAX_BYTES).map_err(TokenAnswerError::from)
    } else {
        Err(TokenAnswerError::ContentType)
    };
    match (answer.status(), checked) {
        (StatusCode::OK, Ok(_)) => Ok(()),
        (StatusCode::OK, Err(error)) => Err(error),
        (_, Ok(object)) if object.get("error").is_some_and(serde_json::Value::is_string) => Ok(()),
        (status, _) => Err(TokenAnswerError::Status(status.as_u16())),
    }
}

/// Whether the media type is `application/json`, whatever its parameters.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}
