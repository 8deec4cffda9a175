//! Every reason that a page can give for stopping: the `data-error` codes, their HTTP status, and their texts.
//!
//! The codes are the public codes of the audit reasons. What people read is in `locales/*/errors.ftl`: a message
//! `error-<code>` (what happened) with the attributes `why` and `next` (what to do now). `docs/errors.md` is made
//! from this table.

use http::StatusCode;

/// One reason: its code, and the status that a page which consists of nothing else is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The public code, as in `data-error` and in the audit log.
    pub code: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
}

const fn reason(code: &'static str, status: StatusCode) -> Reason {
    Reason { code, status }
}

/// What is said for a code that has no text of its own.
pub const UNEXPECTED: Reason = reason("unexpected", StatusCode::INTERNAL_SERVER_ERROR);

/// Every reason, in the order of a sign-in.
pub const REASONS: &[Reason] = &[
    reason("invalid_request", StatusCode::BAD_REQUEST),
    reason("unknown_client", StatusCode::BAD_REQUEST),
    reason("redirect_uri_mismatch", StatusCode::BAD_REQUEST),
    reason("bad_credentials", StatusCode::FORBIDDEN),
    reason("too_many_attempts", StatusCode::TOO_MANY_REQUESTS),
    reason("busy", StatusCode::TOO_MANY_REQUESTS),
    reason("unknown_domain", StatusCode::NOT_FOUND),
    reason("domain_has_no_connection", StatusCode::NOT_FOUND),
    reason("idp_refused", StatusCode::FORBIDDEN),
    reason("idp_unreachable", StatusCode::BAD_GATEWAY),
    reason("idp_answer_invalid", StatusCode::BAD_REQUEST),
    reason("no_account", StatusCode::FORBIDDEN),
    reason("email_taken", StatusCode::CONFLICT),
    reason("not_allowed", StatusCode::FORBIDDEN),
    reason("account_disabled", StatusCode::FORBIDDEN),
    reason("connection_disabled", StatusCode::FORBIDDEN),
    reason("organization_disabled", StatusCode::FORBIDDEN),
    reason("flow_expired", StatusCode::GONE),
    reason("flow_finished", StatusCode::GONE),
    reason("session_ended", StatusCode::FORBIDDEN),
    reason("cross_site", StatusCode::FORBIDDEN),
    reason("not_found", StatusCode::NOT_FOUND),
    reason("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
    reason("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    UNEXPECTED,
];

/// The reason of a code; [`UNEXPECTED`] for one that is not in the table.
pub fn find_reason(code: &str) -> Reason {
    REASONS.iter().copied().find(|reason| reason.code == code).unwrap_or(UNEXPECTED)
}
